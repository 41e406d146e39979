/**
 * What the kernel matrix needs of the machine it runs on: a cache folder, programs of Debian packages, and child
 * processes that are waited for. The only place that installs anything into this system, and it says what.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fromRoot } from '../../src/root.ts';
import { type Architecture, isForeign } from './architecture.ts';

export const CACHE = fromRoot('.cache/vm');
const TRIES = 3;
/** The end of an error output says why. */
const ERROR_LINES = 8;

/** Something could not be fetched: the rows that need it are not run, and fail nothing. */
export class NotFetched extends Error {}

/** This machine lacks something that is not installed by this user here. */
export class NotPossible extends Error {}

export interface Finished {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Programs that run now: ended with this process, by their handle. */
const children = new Set<ChildProcess>();

/** Has a child killed when this process ends in an orderly way; setpriv --pdeathsig serves for the other ways. */
export function keep(child: ChildProcess): void {
  children.add(child);
  child.once('close', () => children.delete(child));
}

/** Files and folders of this process only. */
const temporary = new Set<string>();

let made = 0;

/** Does something with a file or folder of that name and more, gone afterwards, also when a signal ends this process. */
export async function withTemporary<T>(name: string, action: (path: string) => Promise<T>): Promise<T> {
  const path = `${name}-${++made}.${process.pid}.tmp`;
  temporary.add(path);
  try {
    return await action(path);
  } finally {
    rmSync(path, { recursive: true, force: true });
    temporary.delete(path);
  }
}

/** Removes from the cache folder what processes that were killed have left: names with a process id that is no more. */
function removeLeftovers(): void {
  const folders = [CACHE, join(CACHE, 'kernels')].filter((folder) => existsSync(folder));
  for (const path of folders.flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))) {
    const pid = /\.(\d+)\.tmp$/.exec(path)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmSync(path, { recursive: true, force: true });
  }
}

export function endAllWithThisProcess(): void {
  process.on('exit', () => {
    for (const child of children) child.kill('SIGKILL');
    for (const path of temporary) rmSync(path, { recursive: true, force: true });
  });
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ] as const) {
    process.on(signal, () => process.exit(128 + number));
  }
}

/** A program without a shell and without stdin; any exit status is a result. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  keep(child);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) =>
      resolve({
        status: code ?? 1,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      }),
    );
  });
}

/** As run(), and anything but exit status 0 is an error. */
export async function must(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { status, stdout, stderr } = await run(command, args, options);
  if (status === 0) return stdout;
  const reason = (stderr.trim() || stdout.trim()).split('\n').slice(-ERROR_LINES).join('\n  ');
  throw new Error(`${command} ended with ${status}: ${reason}`);
}

/** Tried three times: an archive may fail for a moment. @throws NotFetched */
export async function fetched<T>(what: string, action: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await action();
    } catch (error) {
      if (error instanceof NotFetched || error instanceof NotPossible) throw error;
      const { message } = error as Error;
      if (attempt === TRIES) throw new NotFetched(`${what} could not be fetched in ${TRIES} tries: ${message}`);
      say(`${what}: try ${attempt} of ${TRIES} failed: ${message}`);
      await sleep(attempt * 5000);
    }
  }
}

/** Progress, on stderr: stdout is for results. */
export function say(text: string): void {
  process.stderr.write(`vm: ${text}\n`);
}

export function hashOf(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part.length}:`).update(part);
  return hash.digest('hex').slice(0, 16);
}

/** Programs of the system administrator are not on every user's PATH. */
const FOLDERS = [...(process.env.PATH ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin'];

export function findProgram(name: string): string | undefined {
  return FOLDERS.map((folder) => `${folder}/${name}`).find((path) => existsSync(path));
}

/** Installs what is missing when this user can. @throws NotPossible with the command that does it */
export async function setUpHost(architecture: Architecture): Promise<void> {
  const { emulator, emulatorPackage, triplet, compilerPackage } = architecture;
  removeLeftovers();
  const packages: Record<string, string> = {
    [emulator]: emulatorPackage,
    mmdebstrap: 'mmdebstrap',
    cpio: 'cpio',
    xz: 'xz-utils',
    zstd: 'zstd',
    depmod: 'kmod',
    mke2fs: 'e2fsprogs',
    setpriv: 'util-linux',
    ...(isForeign(architecture) ? { [`${triplet}-g++`]: compilerPackage } : {}),
  };
  const missing = Object.keys(packages).filter((program) => findProgram(program) === undefined);
  if (missing.length > 0) {
    const names = missing.map((program) => packages[program]!);
    if (findProgram('apt-get') === undefined) throw new NotPossible(`missing here: ${missing.join(', ')}`);
    const command = `apt-get update && apt-get install --no-install-recommends ${names.join(' ')}`;
    if (process.geteuid?.() !== 0) throw new NotPossible(`Debian packages are missing; run: sudo sh -c '${command}'`);
    say(`installs the Debian packages ${names.join(' ')} and what they depend on`);
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const arguments_ = ['install', '-y', '-qq', '--no-install-recommends', '-o', 'Dpkg::Use-Pty=0', ...names];
    await fetched(names.join(' '), async () => {
      await must('apt-get', ['update', '-qq'], { env });
      await must('apt-get', arguments_, { env });
    });
  }
  // mmdebstrap makes devices and mounts in the new tree.
  if (process.geteuid?.() !== 0) throw new NotPossible('root is needed to make the root file system of the guests');
  process.env.PATH = FOLDERS.join(':');
}
