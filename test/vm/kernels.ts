/**
 * The rows of the matrix, and for each of them a kernel to boot: the newest package of the row's suite, unpacked into the
 * cache folder, with an initramfs of busybox and the few modules that a root on a virtio disk takes. A kernel that was
 * fetched once is kept and used when the archive cannot be reached.
 */

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { fromRoot } from '../../src/root.ts';
import type { DebianArchitecture } from './architecture.ts';
import { Archive } from './archive.ts';
import { CACHE, hashOf, must, NotFetched, say, withTemporary } from './host.ts';

export interface KernelRow {
  /** What the row is called on the command line and in the table. */
  readonly name: string;
  readonly suite: string;
  /** A regular expression for the whole name of the package; the newest match is taken. */
  readonly package: string;
  readonly architecture: DebianArchitecture;
  /** Further words of the kernel's command line. */
  readonly options?: readonly string[];
  /** Files of test/kernel/, without their ending, for a guest in which the programs are not expected to load. */
  readonly tests?: readonly string[];
  /** Only what each kernel must pass by itself: the rest would take an hour of a foreign processor. */
  readonly core?: true;
}

export interface Kernel {
  readonly row: KernelRow;
  /** As uname -r says it. */
  readonly release: string;
  /** Of the Debian package. */
  readonly version: string;
  readonly image: string;
  readonly initramfs: string;
}

/** What the disks of a guest need, and what its tests may use. A module that a kernel has built in is no file there. */
const MODULES = ['virtio_pci', 'virtio_blk', 'crc32c_generic', 'crc32c-intel', 'ext4'];
const BUSYBOX = 'busybox-static';
const BUSYBOX_SUITE = 'bookworm';

export function readRows(): KernelRow[] {
  return JSON.parse(readFileSync(fromRoot('test/vm/kernels.json'), 'utf8')) as KernelRow[];
}

/** @throws NotFetched when there is no such kernel here and none can be had. */
export async function fetchKernel(row: KernelRow): Promise<Kernel> {
  const record = join(CACHE, 'kernels', `${row.name}-${row.architecture}.json`);
  let folder: string;
  try {
    folder = await fetchNewest(row);
    writeFileSync(record, JSON.stringify({ folder }));
  } catch (error) {
    if (!(error instanceof NotFetched) || !existsSync(record)) throw error;
    folder = (JSON.parse(readFileSync(record, 'utf8')) as { folder: string }).folder;
    say(`${row.name}: uses ${basename(folder)}, which was fetched before: ${error.message}`);
  }
  const release = readdirSync(join(folder, 'lib/modules'))[0]!;
  const version = basename(folder).split('_')[1] ?? '';
  return {
    row,
    release,
    version,
    image: [join(folder, `boot/vmlinuz-${release}`), join(folder, 'lib/modules', release, 'vmlinuz')].find(existsSync)!,
    initramfs: await makeInitramfs(folder, release, await fetchBusybox(row.architecture)),
  };
}

async function fetchNewest(row: KernelRow): Promise<string> {
  const archive = await Archive.open(row.suite, row.architecture);
  const name = (await archive.find(row.package)).at(-1);
  if (name === undefined) throw new NotFetched(`no package of ${row.suite} is called ${row.package}`);
  // Newer packages of the kernel are split: the image package only depends on these two.
  const [, suffix = ''] = /^linux-image-(.*)$/.exec(name) ?? [];
  const escaped = suffix.replaceAll(/[.+]/g, '\\$&');
  const parts = await archive.find(`linux-(binary|modules)-${escaped}`);
  const folder = join(CACHE, 'kernels', `${name}_${(await archive.version(name)).replaceAll(':', '.')}`);
  if (existsSync(folder)) return folder;

  say(`${row.name}: fetches ${name} from ${row.suite}`);
  await withTemporary(folder, async (unpacked) => {
    await archive.unpack([name, ...parts], unpacked);
    if (!existsSync(join(unpacked, 'lib'))) renameSync(join(unpacked, 'usr/lib'), join(unpacked, 'lib'));
    const release = readdirSync(join(unpacked, 'lib/modules'))[0]!;
    // Unpacked, not installed: the list of dependencies that the package's script makes is still missing.
    await must('depmod', ['-b', unpacked, release]);
    renameSync(unpacked, folder);
  });
  return folder;
}

async function fetchBusybox(architecture: DebianArchitecture): Promise<string> {
  const folder = join(CACHE, `busybox-${architecture}`);
  const program = join(folder, 'bin/busybox');
  if (!existsSync(program)) await (await Archive.open(BUSYBOX_SUITE, architecture)).unpack([BUSYBOX], folder);
  return program;
}

/** `kernel/fs/ext4/ext4.ko` and what it needs, in the order in which they must be loaded. */
function modulesInOrder(folder: string): string[] {
  const needs = new Map<string, string[]>();
  for (const line of readFileSync(join(folder, 'modules.dep'), 'utf8').trim().split('\n')) {
    const [path = '', list = ''] = line.split(':');
    needs.set(path, list.trim().split(' ').filter(Boolean));
  }
  const nameOf = (path: string) =>
    basename(path)
      .replace(/\.ko(\.\w+)?$/, '')
      .replaceAll('-', '_');
  const byName = new Map([...needs.keys()].map((path) => [nameOf(path), path]));
  const ordered: string[] = [];
  const add = (path: string) => {
    if (ordered.includes(path)) return;
    for (const needed of needs.get(path) ?? []) add(needed);
    ordered.push(path);
  };
  for (const name of MODULES) {
    const path = byName.get(name.replaceAll('-', '_'));
    if (path !== undefined) add(path);
  }
  return ordered;
}

async function makeInitramfs(kernel: string, release: string, busybox: string): Promise<string> {
  const script = readFileSync(fromRoot('test/vm/initramfs.sh'));
  const image = join(kernel, `initramfs-${hashOf(script, busybox, ...MODULES)}.cpio`);
  if (existsSync(image)) return image;

  const modules = join(kernel, 'lib/modules', release);
  await withTemporary(image, async (folder) => {
    const tree = join(folder, 'tree');
    for (const name of ['bin', 'modules', 'proc', 'sys', 'dev', 'new'])
      mkdirSync(join(tree, name), { recursive: true });
    copyFileSync(busybox, join(tree, 'bin/busybox'));
    writeFileSync(join(tree, 'init'), script, { mode: 0o755 });
    for (const [index, path] of modulesInOrder(modules).entries()) {
      const copy = join(tree, 'modules', `${String(index).padStart(2, '0')}-${basename(path)}`);
      copyFileSync(join(modules, path), copy);
      const decompress = { xz: 'xz', zst: 'zstd', gz: 'gzip' }[copy.split('.').at(-1)!];
      if (decompress === undefined) continue;
      await must(decompress, ['-d', '-q', '--force', copy]);
      // zstd keeps what it has unpacked.
      rmSync(copy, { force: true });
    }
    const pack = 'cd "$1" && find . | cpio --quiet -o -H newc -R 0:0 >"$2"';
    await must('sh', ['-c', pack, 'sh', tree, join(folder, 'image')]);
    renameSync(join(folder, 'image'), image);
  });
  return image;
}
