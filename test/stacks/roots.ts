/**
 * Roots of other Debian suites with the TLS libraries of each: unpacked by mmdebstrap into the cache folder, never into
 * this system. Our own server and client is compiled against the headers and libraries of each root and runs there by
 * chroot, in a mount namespace of its own. A root that was made once is kept.
 */

import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fromRoot } from '../../src/root.ts';
import { configureApt } from '../vm/archive.ts';
import { CACHE, fetched, hashOf, must, say, withTemporary } from '../vm/host.ts';

const SOURCE = fromRoot('fixtures/servers/tls-http.c');
const PACKAGES = ['libssl-dev', 'libgnutls28-dev', 'libc6-dev'];
/** bullseye has none. */
const BORINGSSL_PACKAGES = ['android-libboringssl-dev'];
const TRIPLET = 'x86_64-linux-gnu';
const FOLDER = 'plainsight';

/** What the program is compiled with, beside the headers and libraries of the root. */
const VARIANTS = {
  openssl: ['-lssl', '-lcrypto'],
  'openssl-static': ['-l:libssl.a', '-l:libcrypto.a', '-lpthread', '-ldl'],
  'openssl-stripped': ['-s', '-l:libssl.a', '-l:libcrypto.a', '-lpthread', '-ldl'],
  gnutls: ['-DUSE_GNUTLS', '-lgnutls'],
  boringssl: ['-lssl', '-lcrypto'],
} as const satisfies Record<string, readonly string[]>;
export type Variant = keyof typeof VARIANTS;

/** What the archives of static libraries need, where the suite's OpenSSL was built with it. */
const FURTHER_LIBRARIES = ['libz.so.1', 'libzstd.so.1'];

export interface Root {
  readonly suite: string;
  readonly path: string;
  /** Path of the program inside of the root. */
  program(variant: Variant): Promise<string>;
  /** A command that runs something there, with a folder of this system at /mnt. */
  command(folder: string, program: string, ...args: string[]): [string, ...string[]];
}

const opened = new Map<string, Promise<Root>>();

/** Each suite is tried once in a run. @throws NotFetched */
export function openRoot(suite: string): Promise<Root> {
  const root = opened.get(suite) ?? makeRoot(suite);
  opened.set(suite, root);
  return root;
}

async function makeRoot(suite: string): Promise<Root> {
  const { source, transport } = await configureApt(suite, 'amd64');
  const packages = suite === 'bullseye' ? PACKAGES : [...PACKAGES, ...BORINGSSL_PACKAGES];
  const path = join(CACHE, 'roots', `${suite}-${hashOf(source, ...packages)}`);
  if (!existsSync(path)) {
    say(`unpacks a root of ${suite}`);
    await withTemporary(`${path}.${process.pid}`, async (tree) => {
      mkdirSync(dirname(tree), { recursive: true });
      const options = [...transport.split('\n').filter(Boolean), 'Acquire::Languages "none";'];
      await fetched(`the packages of ${suite}`, async () => {
        rmSync(tree, { recursive: true, force: true });
        const base = ['--quiet', '--mode=root', '--variant=extract', `--include=${packages.join(',')}`];
        await must('mmdebstrap', [...base, ...options.map((line) => `--aptopt=${line}`), suite, tree, source]);
      });
      complete(tree);
      renameSync(tree, path);
    });
  }
  return {
    suite,
    path,
    program: (variant) => compile(path, variant),
    command: (folder, program, ...args) => [
      ...(['unshare', '--mount', '--propagation', 'private', 'sh', '-c'] as const),
      'mount --bind "$0" "$1/mnt" && exec chroot "$@"',
      folder,
      path,
      program,
      ...args,
    ],
  };
}

/** What the packages' own scripts would have done: the links of a merged /usr, and links that stay within the root. */
export function complete(tree: string): void {
  for (const name of ['lib', 'lib64', 'bin', 'sbin']) {
    if (!existsSync(join(tree, name)) && existsSync(join(tree, 'usr', name)))
      symlinkSync(`usr/${name}`, join(tree, name));
  }
  for (const name of ['mnt', FOLDER]) mkdirSync(join(tree, name), { recursive: true });
  for (const name of ['lib64', `lib/${TRIPLET}`, `usr/lib/${TRIPLET}`]) {
    const folder = join(tree, name);
    for (const file of existsSync(folder) ? readdirSync(folder) : []) {
      const link = join(folder, file);
      if (!lstatSync(link).isSymbolicLink()) continue;
      const target = readlinkSync(link);
      if (!target.startsWith('/')) continue;
      unlinkSync(link);
      symlinkSync(relative(folder, join(tree, target)), link);
    }
  }
}

async function compile(tree: string, variant: Variant): Promise<string> {
  const libraries = [join(tree, 'usr/lib', TRIPLET), join(tree, 'lib', TRIPLET)];
  const boringssl = variant === 'boringssl';
  const shown = join('/usr/lib', TRIPLET, 'android');
  const further = FURTHER_LIBRARIES.filter((name) => libraries.some((folder) => existsSync(join(folder, name))));
  const flags = [
    '-O2',
    `--sysroot=${tree}`,
    // GCC looks into the folders of its own system before those of the root.
    `-B${libraries[0]}/`,
    `-Wl,-rpath-link,${libraries.join(':')}`,
    ...(boringssl ? [`-I${join(tree, 'usr/include/android')}`, `-L${join(tree, shown)}`, `-Wl,-rpath,${shown}`] : []),
    ...libraries.map((folder) => `-L${folder}`),
    ...VARIANTS[variant].filter((flag) => !flag.startsWith('-l')),
    SOURCE,
    ...VARIANTS[variant].filter((flag) => flag.startsWith('-l')),
    ...(variant.startsWith('openssl-') ? further.map((name) => `-l:${name}`) : []),
  ];
  const name = `${variant}-${hashOf(readFileSync(SOURCE), ...flags)}`;
  const program = join(tree, FOLDER, name);
  if (!existsSync(program)) {
    await withTemporary(`${program}.${process.pid}`, async (output) => {
      await must('gcc', [...flags, '-o', output]);
      copyFileSync(output, `${output}.done`);
      renameSync(`${output}.done`, program);
    });
  }
  return `/${FOLDER}/${name}`;
}
