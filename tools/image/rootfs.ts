/**
 * The root file system of the image without a container engine: `npm run image:rootfs`. It takes the steps that
 * deploy/Dockerfile takes, for this machine's architecture, and leaves the result in build/image/rootfs/. The system
 * below the agent is kept in the cache folder as long as tools/image/system.sh stays as it is.
 */

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fromRoot } from '../../src/root.ts';
import type { DebianArchitecture } from '../../test/vm/architecture.ts';
import { Archive } from '../../test/vm/archive.ts';
import { fetched, hashOf, must, withTemporary } from '../../test/vm/host.ts';

/** The suite of deploy/Dockerfile: its Node.js is 24, the long-term one; Debian 12 and 13 have older ones. */
export const SUITE = 'forky';
const SYSTEM = fromRoot('tools/image/system.sh');
const CACHE = fromRoot('.cache/image');
const ROOTFS = fromRoot('build/image/rootfs');
/** Where the agent lies in the image. */
const HOME = 'opt/plainsight';

/** Packages of the suite with all they depend on, unpacked once; the agent's own without any. @throws NotFetched */
export async function makeSystem(...packages: string[]): Promise<string> {
  const architecture: DebianArchitecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const path = join(CACHE, `system-${hashOf(SUITE, architecture, readFileSync(SYSTEM), ...packages)}`);
  if (!existsSync(path)) {
    const { env } = await Archive.open(SUITE, architecture);
    mkdirSync(CACHE, { recursive: true });
    await withTemporary(path, async (tree) => {
      await fetched(`the packages of ${SUITE}`, async () => {
        rmSync(tree, { recursive: true, force: true });
        await must('bash', [SYSTEM, tree, ...packages], { env });
      });
      if (!existsSync(path)) renameSync(tree, path);
    });
  }
  // runc takes no path with a symbolic link in it.
  return realpathSync(path);
}

/** Returns its path. Needs the build (tools/setup.sh). @throws NotFetched */
export async function makeRootfs(): Promise<string> {
  const system = await makeSystem();
  await must(process.execPath, [fromRoot('build/tools/image/bundle.js')]);
  rmSync(ROOTFS, { recursive: true, force: true });
  cpSync(system, ROOTFS, { recursive: true, verbatimSymlinks: true });
  cpSync(fromRoot('build/image/app'), join(ROOTFS, HOME), { recursive: true });
  return realpathSync(ROOTFS);
}

/** Bytes by folder: all, and of them the agent's own. */
export async function sizes(rootfs: string): Promise<{ readonly all: number; readonly agent: number }> {
  const size = async (path: string) =>
    Number((await must('du', ['--summarize', '--block-size=1', path])).split('\t')[0]);
  return { all: await size(rootfs), agent: await size(join(rootfs, HOME)) };
}

export interface ImageConfiguration {
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly env: readonly string[];
}

/** How deploy/Dockerfile has the agent started: read, so that what is tested is what it says. */
export function readDockerfile(): ImageConfiguration {
  const text = readFileSync(fromRoot('deploy/Dockerfile'), 'utf8').replace(/\\\n\s*/g, '');
  const final = text.slice(text.lastIndexOf('\nFROM '));
  const words = (name: string) => JSON.parse(new RegExp(`^${name} (\\[.*\\])$`, 'm').exec(final)![1]!) as string[];
  const env = [...final.matchAll(/^ENV (.*)$/gm)].flatMap(([, list]) => list!.split(' '));
  return { entrypoint: words('ENTRYPOINT'), command: words('CMD'), env };
}

/** Of Node.js in the file system, as its package has it. */
export function nodeVersion(rootfs: string): string {
  const text = readFileSync(join(rootfs, 'var/lib/dpkg/status.d/nodejs'), 'utf8');
  return /^Version: (\d+\.\d+\.\d+)/m.exec(text)![1]!;
}

if (process.argv[1] === fromRoot('build/tools/image/rootfs.js')) {
  const rootfs = await makeRootfs();
  const { all, agent } = await sizes(rootfs);
  const packages = readdirSync(join(rootfs, 'var/lib/dpkg/status.d')).length;
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  console.log(`${rootfs}: ${megabytes(all)}, of them ${megabytes(agent)} the agent`);
  console.log(`Node.js ${nodeVersion(rootfs)}, ${packages} Debian packages of ${SUITE}`);
}
