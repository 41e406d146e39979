/**
 * The table of offsets for Go: builds and runs tools/offsets/go with each toolchain, whose debug information gives the
 * offsets and which tries them on a live connection and a live goroutine.
 *
 *   node build/tools/offsets/generate.js            compares with offsets/go.json; exit status 1 when they differ
 *   node build/tools/offsets/generate.js --write    writes it
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromRoot } from '../../src/root.ts';
import { buildGoFolder } from '../../test/go/programs.ts';
import { GO_CACHE, GO_VERSIONS, type GoVersion, goToolchain } from '../../test/go/toolchains.ts';
import { must, withTemporary } from '../../test/vm/host.ts';

const TABLE = fromRoot('offsets/go.json');
const PROGRAM = fromRoot('tools/offsets/go');

export interface GeneratedEntry {
  readonly version: GoVersion;
  readonly verifiedOn: string;
  readonly layout: Readonly<Record<string, number>>;
}

export async function generateEntry(version: GoVersion): Promise<GeneratedEntry> {
  const toolchain = await goToolchain(version);
  return withTemporary(join(GO_CACHE, `offsets-${process.pid}-${version}`), async (path) => {
    await buildGoFolder(toolchain, PROGRAM, path);
    const { release, layout } = JSON.parse(await must(path, [])) as { release: string; layout: Record<string, number> };
    const sorted = Object.fromEntries(Object.entries(layout).sort(([a], [b]) => (a < b ? -1 : 1)));
    return { version, verifiedOn: release, layout: sorted };
  });
}

export async function generateTable(): Promise<string> {
  const versions: GeneratedEntry[] = [];
  for (const version of GO_VERSIONS) versions.push(await generateEntry(version));
  const table = {
    $schema: './schema/go.json',
    library: 'go',
    source:
      'structures crypto/tls.Conn, net.TCPConn, net.netFD, internal/poll.FD, runtime.iface, internal/abi.ITab and runtime.g of each release, by its debug information',
    pointerBytes: 8,
    versions,
  };
  return `${JSON.stringify(table, null, 2)}\n`;
}

async function main(args: readonly string[]): Promise<number> {
  const table = await generateTable();
  if (args.includes('--write')) {
    writeFileSync(TABLE, table);
    return 0;
  }
  if (table === readFileSync(TABLE, 'utf8')) return 0;
  console.error('offsets/go.json differs from what the toolchains say; run this with --write');
  return 1;
}

if (process.argv[1]?.endsWith('offsets/generate.js')) process.exitCode = await main(process.argv.slice(2));
