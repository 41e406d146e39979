/**
 * What the containers run: nginx and Python of Debian 12, unpacked by mmdebstrap into the cache folder, never into this
 * system. Made once.
 */

import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { complete } from '../stacks/roots.ts';
import { configureApt } from '../vm/archive.ts';
import { CACHE, fetched, hashOf, must, say, withTemporary } from '../vm/host.ts';

const SUITE = 'bookworm';
const PACKAGES = ['base-files', 'libc-bin', 'dash', 'coreutils', 'nginx-light', 'python3', 'openssl'];
/** What images have and the packages' own scripts would make. */
const FOLDERS = ['proc', 'dev', 'tmp', 'srv', 'var/log/nginx', 'var/lib/nginx'];
const FILES = { 'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\n', 'etc/group': 'root:x:0:\n' };

/** @throws NotFetched */
export async function makeRootfs(): Promise<string> {
  const { source, transport } = await configureApt(SUITE, 'amd64');
  const path = join(CACHE, 'roots', `containers-${hashOf(source, ...PACKAGES, ...FOLDERS, JSON.stringify(FILES))}`);
  if (existsSync(path)) return path;
  say(`unpacks the root of the containers`);
  await withTemporary(`${path}.${process.pid}`, async (tree) => {
    mkdirSync(dirname(tree), { recursive: true });
    const options = [...transport.split('\n').filter(Boolean), 'Acquire::Languages "none";'];
    await fetched(`the packages of ${SUITE}`, async () => {
      rmSync(tree, { recursive: true, force: true });
      const base = ['--quiet', '--mode=root', '--variant=extract', `--include=${PACKAGES.join(',')}`];
      await must('mmdebstrap', [...base, ...options.map((line) => `--aptopt=${line}`), SUITE, tree, source]);
    });
    complete(tree);
    for (const name of FOLDERS) mkdirSync(join(tree, name), { recursive: true });
    for (const [name, text] of Object.entries(FILES)) writeFileSync(join(tree, name), text);
    renameSync(tree, path);
  });
  return path;
}
