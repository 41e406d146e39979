/**
 * The addon for another architecture than this machine's: built by tools/build-native.sh in a folder of its own in the
 * cache, with Debian's cross compiler and the libraries of that architecture, which are unpacked there and not installed.
 * Its inputs are those of the host's addon; an unchanged one is kept.
 */

import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { fromRoot } from '../../src/root.ts';
import type { Architecture } from './architecture.ts';
import { Archive } from './archive.ts';
import { CACHE, hashOf, must, say, withTemporary } from './host.ts';

/** With the libbpf that this host's Debian has too; what it is linked to is in every later release. */
const SUITE = 'bookworm';
const PACKAGES = ['libbpf-dev', 'libelf-dev', 'libelf1', 'zlib1g-dev', 'zlib1g'];
const SOURCES = ['native', 'binding.gyp', 'package.json', 'bpf/events.h', 'tools/build-native.sh'];

/** A folder that holds build/native/plainsight.node. @throws NotFetched */
export async function makeAddon(architecture: Architecture): Promise<string> {
  const libraries = await fetchLibraries(architecture);
  const folder = join(CACHE, `addon-${architecture.debian}-${hashOf(libraries, ...SOURCES.flatMap(contents))}`);
  if (existsSync(folder)) return folder;

  say(`builds the addon for ${architecture.debian}`);
  await withTemporary(folder, async (building) => {
    for (const path of SOURCES) cpSync(fromRoot(path), join(building, path), { recursive: true });
    symlinkSync(fromRoot('node_modules'), join(building, 'node_modules'));
    const { triplet } = architecture;
    const places = [
      // After the compiler's own, so that only what is found nowhere else is taken from there.
      ...['include', `include/${triplet}`].map((path) => `-idirafter ${libraries}/usr/${path}`),
      ...['usr/lib', 'lib'].map((path) => `-L${libraries}/${path}/${triplet}`),
      `-Wl,-rpath-link,${libraries}/lib/${triplet}`,
    ];
    const env = {
      ...process.env,
      CC: `${triplet}-gcc`,
      CXX: `${triplet}-g++ ${places.join(' ')}`,
      npm_config_arch: architecture.node,
    };
    await must('nice', ['bash', 'tools/build-native.sh'], { cwd: building, env });
    renameSync(building, folder);
  });
  for (const name of readdirSync(CACHE)) {
    const path = join(CACHE, name);
    if (new RegExp(`^addon-${architecture.debian}-[0-9a-f]+$`).test(name) && path !== folder) {
      rmSync(path, { recursive: true });
    }
  }
  return folder;
}

function contents(path: string): Buffer[] {
  const whole = fromRoot(path);
  if (path !== 'native') return [readFileSync(whole)];
  return readdirSync(whole)
    .sort()
    .map((name) => readFileSync(join(whole, name)));
}

async function fetchLibraries({ debian, triplet }: Architecture): Promise<string> {
  const folder = join(CACHE, `libraries-${debian}`);
  if (existsSync(folder)) return folder;
  const archive = await Archive.open(SUITE, debian);
  await withTemporary(folder, async (unpacked) => {
    mkdirSync(unpacked, { recursive: true });
    await archive.unpack(PACKAGES, unpacked);
    // Links of -dev packages to /lib are meant for an installed system.
    const libraries = join(unpacked, 'usr/lib', triplet);
    for (const entry of readdirSync(libraries, { withFileTypes: true })) {
      const path = join(libraries, entry.name);
      if (!entry.isSymbolicLink() || !readlinkSync(path).startsWith('/')) continue;
      const target = readlinkSync(path);
      rmSync(path);
      symlinkSync(`../../..${target}`, path);
    }
    renameSync(unpacked, folder);
  });
  return folder;
}
