/**
 * The tables of offsets for OpenSSL and BoringSSL: compiles tools/offsets/tls against the internal headers of Debian's
 * source packages, for both machines.
 *
 *   node build/tools/offsets/generate-tls.js            compares with offsets/*.json; exit status 1 when they differ
 *   node build/tools/offsets/generate-tls.js --write    writes them
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromRoot } from '../../src/root.ts';
import type { DebianArchitecture } from '../../test/vm/architecture.ts';
import { compiledNumbers, type SourceTree, sourceTree, withOpensslHeaders } from './tls/sources.ts';

export type TableName = 'openssl' | 'boringssl';

/** BIO_TYPE_SOCKET of both libraries' bio.h: 5, with the flags of a source/sink and of a descriptor. */
const SOCKET_TYPE = 0x505;
const MACHINES: Readonly<Record<string, DebianArchitecture>> = { x64: 'amd64', arm64: 'arm64' };

interface Table {
  readonly source: string;
  readonly package: string;
  /** Version in the table -> suite of Debian that has it. */
  readonly versions: Readonly<Record<string, string>>;
  readonly numbers: (tree: SourceTree, architecture: DebianArchitecture) => Promise<Map<string, number>>;
}

export const TABLES: Readonly<Record<TableName, Table>> = {
  openssl: {
    source:
      "ssl_st or ssl_connection_st (ssl/ssl_local.h), bio_st (crypto/bio/bio_local.h) and bio_method_st (include/internal/bio.h) of Debian's source packages, as a compiler lays them out",
    package: 'openssl',
    versions: { '1.1.1': 'bullseye', '3.0': 'bookworm', '3.5': 'trixie', '3.6': 'sid', '4.0': 'experimental' },
    numbers: (tree, architecture) =>
      withOpensslHeaders(tree, architecture, (includes) => compiledNumbers('openssl.c', architecture, includes)),
  },
  boringssl: {
    source:
      "ssl_st (ssl/internal.h), bio_st and bio_method_st (openssl/bio.h) of Debian's source packages of Android's BoringSSL, as a compiler lays them out",
    package: 'android-platform-external-boringssl',
    versions: { '13': 'bookworm', '14': 'sid' },
    numbers: (tree, architecture) =>
      compiledNumbers('boringssl.cc', architecture, [join(tree.path, 'src'), join(tree.path, 'src/include')]),
  },
};

export interface GeneratedVersion {
  readonly version: string;
  readonly verifiedOn: string;
  readonly layouts: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** @throws NotFetched */
export async function generateVersion(name: TableName, version: string): Promise<GeneratedVersion> {
  const table = TABLES[name];
  const tree = await sourceTree(table.versions[version]!, table.package);
  const layouts: Record<string, Record<string, number>> = {};
  for (const [machine, architecture] of Object.entries(MACHINES)) {
    const { socketType, ...layout } = Object.fromEntries(await table.numbers(tree, architecture));
    if (socketType !== SOCKET_TYPE) throw new Error(`${name} ${version} calls a socket BIO ${socketType}`);
    layouts[machine] = layout;
  }
  return { version, verifiedOn: tree.release, layouts };
}

export async function generateTable(name: TableName): Promise<string> {
  const versions: GeneratedVersion[] = [];
  for (const version of Object.keys(TABLES[name].versions)) versions.push(await generateVersion(name, version));
  versions.sort((a, b) => new Intl.Collator('en', { numeric: true }).compare(a.version, b.version));
  const { source } = TABLES[name];
  const table = { $schema: './schema/tls.json', library: name, source, pointerBytes: 8, versions };
  return `${JSON.stringify(table, null, 2)}\n`;
}

async function main(args: readonly string[]): Promise<number> {
  let status = 0;
  for (const name of Object.keys(TABLES) as TableName[]) {
    const path = fromRoot(`offsets/${name}.json`);
    const table = await generateTable(name);
    if (args.includes('--write')) writeFileSync(path, table);
    else if (table !== readFileSync(path, 'utf8')) {
      console.error(`offsets/${name}.json differs from what the headers say; run this with --write`);
      status = 1;
    }
  }
  return status;
}

if (process.argv[1]?.endsWith('offsets/generate-tls.js')) process.exitCode = await main(process.argv.slice(2));
