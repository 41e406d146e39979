/**
 * What a guest boots into: a root file system of a Debian release with servers, clients and the host's Node.js as one
 * ext4 image, and the built project as a tar archive that the guest unpacks. Both in the cache folder, named by a hash
 * of what they are made of; old ones are removed.
 */

import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fromRoot } from '../../src/root.ts';
import { makeAddon } from './addon.ts';
import { type Architecture, isForeign } from './architecture.ts';
import { configureApt } from './archive.ts';
import { CACHE, fetched, hashOf, must, run, say, withTemporary } from './host.ts';

const SUITE = 'bookworm';
/** Where Node.js comes from Debian: the first release with one that is new enough. */
const FOREIGN_SUITE = 'trixie';
const PACKAGES = [
  ...['nginx-light', 'curl', 'python3', 'nghttp2-client', 'openssl'],
  ...['iproute2', 'procps', 'util-linux', 'kmod', 'hostname', 'busybox-static', 'bpftool', 'libcap2-bin'],
  // Run-time libraries of the addon, of Node.js and of bpf-stats.py.
  ...['libelf1', 'zlib1g', 'libstdc++6', 'libgcc-s1', 'libbpf1'],
];
/**
 * Packages of a foreign architecture are only unpacked, as none of their scripts can run here: what the others depend on as
 * essential is named too.
 */
const FOREIGN_PACKAGES = [
  ...PACKAGES.map((name) => (name === 'libelf1' ? 'libelf1t64' : name)),
  ...['base-files', 'base-passwd', 'bash', 'dash', 'coreutils', 'findutils', 'grep', 'sed', 'gawk', 'tar', 'mount'],
  ...['libc-bin', 'nodejs'],
];
/** Room for what tests write. The file is sparse. */
const FREE_MIB = 512;

const ADDON = 'build/native/plainsight.node';

/** Of what is built and written down, all that runs in a guest. */
const PROJECT = [...['bin', 'package.json', 'fixtures', 'offsets', 'test'], ...['build/src', 'build/test']];

/** An ext4 image; the disk called `root`. @throws NotFetched */
export async function makeRootImage(architecture: Architecture): Promise<string> {
  const node = process.execPath;
  const foreign = isForeign(architecture);
  const suite = foreign ? FOREIGN_SUITE : SUITE;
  const packages = foreign ? FOREIGN_PACKAGES : PACKAGES;
  const { size, mtimeMs } = statSync(node);
  const { source, transport } = await configureApt(suite, architecture.debian);
  const nodeHere = foreign ? '' : `${node} ${process.version} ${size} ${mtimeMs} `;
  const hash = hashOf(source, `${nodeHere}${FREE_MIB}`, ...packages);
  const image = join(CACHE, `root-${architecture.debian}-${hash}.ext4`);
  if (existsSync(image)) return image;

  say('makes the root file system of the guests');
  mkdirSync(CACHE, { recursive: true });
  await withTemporary(image, async (folder) => {
    const tree = join(folder, 'tree');
    await fetched(`the packages of ${suite}`, async () => {
      rmSync(tree, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true });
      const options = transport
        .split('\n')
        .filter(Boolean)
        .map((line) => `--aptopt=${line}`);
      const without = ['doc', 'man', 'locale', 'info'].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`);
      const what = [`--include=${packages.join(',')}`, `--architectures=${architecture.debian}`];
      const base = ['--quiet', '--mode=root', `--variant=${foreign ? 'extract' : 'minbase'}`, ...options, ...without];
      await must('mmdebstrap', [...base, ...what, suite, tree, source]);
    });
    if (foreign) finishUnpacked(tree);
    else await addNode(node, tree);
    for (const name of ['plainsight', 'results']) mkdirSync(join(tree, name), { recursive: true });
    const used = Number((await must('du', ['-sm', tree])).split('\t')[0]);
    // A tenth for the file system's own tables.
    const size = `${Math.ceil(used * 1.1) + FREE_MIB}M`;
    await must('mke2fs', ['-q', '-t', 'ext4', '-O', '^has_journal', '-d', tree, join(folder, 'image'), size]);
    renameSync(join(folder, 'image'), image);
  });
  removeOthers(`root-${architecture.debian}-`, image);
  return image;
}

/** What the scripts of packages would have made, as far as something here needs it. */
function finishUnpacked(tree: string): void {
  for (const name of ['passwd', 'group']) {
    copyFileSync(join(tree, `usr/share/base-passwd/${name}.master`), join(tree, 'etc', name));
  }
  for (const name of ['dev', 'proc', 'sys', 'run', 'root', 'tmp']) mkdirSync(join(tree, name), { recursive: true });
}

/** Node.js of this host, and those of its libraries that the guest does not have. */
async function addNode(node: string, tree: string): Promise<void> {
  copyFileSync(node, join(tree, 'usr/local/bin/node'));
  const libraries = [...(await must('ldd', [node])).matchAll(/^\s+(\S+) => (\/\S+) /gm)];
  const { stdout: cached } = await run('chroot', [tree, '/sbin/ldconfig', '-p']);
  for (const [, name = '', path = ''] of libraries) {
    if (!cached.includes(`\t${name} `)) copyFileSync(path, join(tree, 'usr/local/lib', name));
  }
  await must('chroot', [tree, '/sbin/ldconfig']);
  // Fails here, with its reason, rather than in every guest.
  await must('chroot', [tree, '/usr/local/bin/node', '--version']);
}

/** Makes the disk called `project`, a tar archive, for as long as the action takes. */
export async function withProject<T>(architecture: Architecture, action: (project: string) => Promise<T>): Promise<T> {
  const lock = JSON.parse(readFileSync(fromRoot('package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean }>;
  };
  const modules = Object.keys(lock.packages).filter((path) => path !== '' && lock.packages[path]?.dev !== true);
  const wanted = [...PROJECT, `build/bpf/${architecture.node}`, ...modules];
  const paths = wanted.filter((path) => existsSync(fromRoot(path)));
  const addon = isForeign(architecture) ? await makeAddon(architecture) : fromRoot('.');
  return withTemporary(join(CACHE, `project-${architecture.debian}`), async (archive) => {
    const options = ['--create', '--owner=0', '--group=0', '--exclude=*.map', '--file', archive];
    await must('tar', [...options, '-C', fromRoot('.'), ...paths, '-C', addon, ADDON]);
    return action(archive);
  });
}

function removeOthers(prefix: string, current: string): void {
  for (const name of readdirSync(CACHE)) {
    // A name with a process id at its end is being made by somebody else.
    if (
      name.startsWith(prefix) &&
      name.endsWith('.ext4') &&
      name.split('.').length === 2 &&
      name !== basename(current)
    ) {
      rmSync(join(CACHE, name));
    }
  }
}
