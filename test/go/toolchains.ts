/**
 * Go toolchains and Go programs as Debian ships them, unpacked below .cache/go/ with dpkg -x: nothing is installed into
 * the system. What is there once is used without a network. One toolchain takes 200..400 MB on disk.
 */

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { fromRoot } from '../../src/root.ts';
import { Archive } from '../vm/archive.ts';
import { withTemporary } from '../vm/host.ts';

export const GO_CACHE = fromRoot('.cache/go');

/** Where Debian has each version; one line per minor version. */
const SUITES = {
  '1.19': 'bookworm',
  '1.21': 'bookworm-backports',
  '1.22': 'bookworm-backports',
  '1.23': 'bookworm-backports',
  '1.24': 'trixie',
  '1.25': 'trixie-backports',
  '1.26': 'trixie-backports',
  '1.27': 'sid',
} as const;

export type GoVersion = keyof typeof SUITES;

/** All that offsets are generated from. */
export const GO_VERSIONS = Object.keys(SUITES) as readonly GoVersion[];
/** Of these the programs are built in all variants: the oldest, the newest, and the two of current Debian. */
export const TESTED_GO_VERSIONS: readonly GoVersion[] = ['1.19', '1.23', '1.24', '1.27'];

interface DebianPackage {
  readonly suite: string;
  readonly package: string;
  readonly path: string;
  /** Packages of libraries that it cannot run without. */
  readonly needs?: readonly string[];
}

/** Programs that nobody here wrote. Debian strips those that are written in Go. */
const PROGRAMS = {
  caddy: { suite: 'bookworm', package: 'caddy', path: 'usr/bin/caddy' },
  prometheus: { suite: 'bookworm', package: 'prometheus', path: 'usr/bin/prometheus' },
  hey: { suite: 'bookworm', package: 'hey', path: 'usr/bin/hey' },
  etcd: { suite: 'bookworm', package: 'etcd-server', path: 'usr/bin/etcd' },
  'caddy-new': { suite: 'sid', package: 'caddy', path: 'usr/bin/caddy' },
  'prometheus-new': { suite: 'sid', package: 'prometheus', path: 'usr/bin/prometheus' },
  upx: { suite: 'bookworm-backports', package: 'upx-ucl', path: 'usr/bin/upx-ucl', needs: ['libucl1'] },
} as const satisfies Record<string, DebianPackage>;

export type DebianProgram = keyof typeof PROGRAMS;

export const DEBIAN_GO_PROGRAMS: readonly DebianProgram[] = [
  ...(['caddy', 'prometheus', 'hey', 'etcd', 'caddy-new', 'prometheus-new'] as const),
];

export interface Toolchain {
  /** As in `1.19`. */
  readonly version: GoVersion;
  /** As the programs that it builds say it: `go1.19.8`. */
  readonly release: string;
  readonly root: string;
  readonly command: string;
}

/** Unpacks it when it is not there yet. @throws NotFetched */
export async function goToolchain(version: GoVersion): Promise<Toolchain> {
  const folder = toolchainFolder(version);
  await unpackOnce(SUITES[version], [`golang-${version}-go`, `golang-${version}-src`], folder);
  const root = join(folder, 'usr/lib', `go-${version}`);
  const release = readFileSync(join(root, 'VERSION'), 'utf8').split('\n')[0]!.trim();
  return { version, release, root, command: join(root, 'bin/go') };
}

/** Path of a program, unpacked when it is not there yet. @throws NotFetched */
export async function debianProgram(name: DebianProgram): Promise<string> {
  const { suite, package: packageName, path, needs = [] }: DebianPackage = PROGRAMS[name];
  const folder = programFolder(`${name}-${suite}`);
  await unpackOnce(suite, [packageName], folder);
  // Backports come with what they need from the release that they are for.
  if (needs.length > 0) await unpackOnce('bookworm', needs, programFolder(`${name}-needs`));
  return join(folder, path);
}

/** Version of the package of a program that is unpacked, by its changelog: of the binary package, where it has its own. */
export function debianVersion(name: DebianProgram): string {
  const { suite, package: packageName } = PROGRAMS[name];
  const folder = join(programFolder(`${name}-${suite}`), 'usr/share/doc', packageName);
  const logs = ['changelog.Debian.amd64.gz', 'changelog.Debian.gz'].map((file) => join(folder, file));
  const log = logs.find((path) => existsSync(path));
  return log === undefined ? '' : (/\(([^)]+)\)/.exec(gunzipSync(readFileSync(log)).toString())?.[1] ?? '');
}

/** Libraries of a program that needs some, for LD_LIBRARY_PATH. */
export function debianLibraries(name: DebianProgram): string {
  return join(programFolder(`${name}-needs`), 'usr/lib/x86_64-linux-gnu');
}

function programFolder(name: string): string {
  return join(GO_CACHE, 'programs', name);
}

function toolchainFolder(version: GoVersion): string {
  return join(GO_CACHE, 'toolchains', `${version}-${SUITES[version]}`);
}

/** A folder is there as a whole or not at all, whoever else unpacks the same at the same time. */
async function unpackOnce(suite: string, packages: readonly string[], folder: string): Promise<void> {
  if (existsSync(folder)) return;
  const archive = await Archive.open(suite, 'amd64');
  const own = createHash('sha256').update(folder).digest('hex').slice(0, 8);
  await withTemporary(join(GO_CACHE, `unpack-${process.pid}-${own}`), async (temporary) => {
    mkdirSync(join(folder, '..'), { recursive: true });
    await archive.unpack(packages, temporary);
    try {
      renameSync(temporary, folder);
    } catch (error) {
      if (!existsSync(folder)) throw error;
    }
  });
}
