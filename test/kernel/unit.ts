/**
 * A cgroup that is called like a systemd service, so that what is started in it has a `service` label of its own and no
 * other process of this machine can be taken for it. Needs root and a cgroup v2 mount, which hybrid hierarchies have too.
 */

import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { run, sleep } from './harness.ts';

export interface Unit {
  readonly name: string;
  /** The command and its arguments, to be run so that the program is in the unit from its first instruction. */
  command(program: string, ...args: string[]): [string, ...string[]];
  pids(): number[];
  /** Takes in a process that runs already; its future children too. */
  add(pid: number): void;
}

function hierarchy(): string {
  const line = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((mount) => mount.includes(' - cgroup2 '));
  const path = line?.split(' ')[4];
  if (path === undefined) throw new Error('no cgroup v2 hierarchy is mounted here');
  return path;
}

let count = 0;

export function makeUnit(t: TestContext, role: string): Unit {
  const name = `plainsight-${process.pid}-${count++}-${role}`;
  const folder = join(hierarchy(), `${name}.service`);
  const processes = join(folder, 'cgroup.procs');
  mkdirSync(folder);
  const pids = () => readFileSync(processes, 'utf8').split('\n').filter(Boolean).map(Number);
  t.after(async () => {
    // Daemons that have left their parent end with the test too.
    for (let i = 0; i < 100 && pids().length > 0; i++) {
      for (const pid of pids()) end(pid, i < 20 ? 'SIGTERM' : 'SIGKILL');
      await sleep(50);
    }
    await remove(folder);
  });
  return {
    name,
    command: (program, ...args) => ['sh', '-c', 'echo $$ >"$0" && exec "$@"', processes, program, ...args],
    pids,
    add: (pid) => writeFileSync(processes, String(pid)),
  };
}

/** Runs a program in the unit to its end. Returns what it wrote to stdout. */
export async function runInUnit(
  unit: Unit,
  program: readonly [string, ...string[]],
  /** Comes after a while. Programs that are fed so may end as they like: what they received is looked at. */
  input?: { readonly text: string; readonly afterMs: number },
): Promise<string> {
  const [command, ...args] = unit.command(...program);
  const running = run(command, args, { maxBuffer: 64 * 1024 * 1024 });
  if (input) {
    running.catch(() => {});
    await sleep(input.afterMs);
    running.child.stdin?.on('error', () => {}).end(input.text);
    return running.then(
      ({ stdout }) => stdout,
      (error: { stdout?: string }) => error.stdout ?? '',
    );
  }
  return (await running).stdout;
}

/** The kernel is done with a process a little later than the list of processes is: until then the folder is busy. */
async function remove(folder: string): Promise<void> {
  for (let i = 0; ; i++) {
    try {
      rmdirSync(folder);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || i === 100) throw error;
      await sleep(50);
    }
  }
}

/** It may have ended by itself meanwhile. */
function end(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
