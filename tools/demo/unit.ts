/**
 * Gives each service of the demo a name of its own: a cgroup that is called like a systemd service. Where none can be made
 * (no cgroup v2, read-only, no root) the services go by the name of their executable, and nothing else is lost.
 */

import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';

export interface UnitFolder {
  /** False: services have no names of their own. */
  readonly hasNames: boolean;
  /** The command and its arguments, so that the program is in the unit from its first instruction. */
  command(service: string, words: readonly string[]): readonly string[];
  /** Processes that are in a unit of this folder now. */
  pids(): number[];
  /** To be called when all have ended. */
  remove(): void;
}

const NO_UNITS: UnitFolder = { hasNames: false, command: (_, words) => words, pids: () => [], remove: () => {} };

export function makeUnitFolder(services: readonly string[]): UnitFolder {
  const mount = cgroupMount();
  if (mount === undefined) return NO_UNITS;
  const folder = join(mount, `plainsight-demo-${process.pid}`);
  const folderOf = (service: string) => join(folder, `${service}.service`);
  try {
    for (const service of services) mkdirSync(folderOf(service), { recursive: true });
  } catch {
    removeAll(folder, services.map(folderOf));
    return NO_UNITS;
  }
  return {
    hasNames: true,
    command: (service, words) => [
      ...['sh', '-c', 'echo $$ >"$0" && exec "$@"', join(folderOf(service), 'cgroup.procs')],
      ...words,
    ],
    pids: () =>
      services.flatMap((service) =>
        readFileSync(join(folderOf(service), 'cgroup.procs'), 'utf8')
          .split('\n')
          .filter(Boolean)
          .map(Number),
      ),
    remove: () => removeAll(folder, services.map(folderOf)),
  };
}

function cgroupMount(): string | undefined {
  if (!existsSync('/proc/self/mountinfo')) return undefined;
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines.find((mount) => mount.includes(' - cgroup2 '))?.split(' ')[4];
}

function removeAll(folder: string, units: readonly string[]): void {
  for (const path of [...units, folder]) {
    try {
      rmdirSync(path);
    } catch {
      // Not made, or a process is still leaving it: an empty cgroup does no harm.
    }
  }
}
