/** What a container takes of memory: what its process has mapped, and what its cgroup is charged, as kubelet reads it. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Memory {
  /** Of the process: pages of memory and of files that are mapped. */
  readonly residentBytes: number;
  /** Of them those that are of no file. */
  readonly anonymousBytes: number;
  /** Of the cgroup: these, the page cache of files it was the first to read, and what the kernel holds for it. */
  readonly chargedBytes: number;
  /** The same without what can be reclaimed first (inactive_file): by this kubelet evicts, and `kubectl top` shows it. */
  readonly workingSetBytes: number;
}

const CGROUPS = '/sys/fs/cgroup';

/** `cgroup` as it was given to the runtime; its hierarchy may be of version 1 or 2. */
export function readMemory(pid: number, cgroup: string): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const bytes = (name: string) => Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(status)![1]) * 1024;
  const second = existsSync(join(CGROUPS, cgroup, 'memory.current'));
  const folder = second ? join(CGROUPS, cgroup) : join(CGROUPS, 'memory', cgroup);
  const charged = Number(readFileSync(join(folder, second ? 'memory.current' : 'memory.usage_in_bytes'), 'utf8'));
  const stat = readFileSync(join(folder, 'memory.stat'), 'utf8');
  const inactive = Number(/^(?:total_)?inactive_file (\d+)$/m.exec(stat)![1]);
  return {
    residentBytes: bytes('VmRSS'),
    anonymousBytes: bytes('RssAnon'),
    chargedBytes: charged,
    workingSetBytes: charged - inactive,
  };
}

export function describeMemory(memory: Memory): string {
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const { residentBytes, anonymousBytes, chargedBytes, workingSetBytes } = memory;
  return (
    `${megabytes(residentBytes)} resident, of them ${megabytes(anonymousBytes)} not of files; ` +
    `its cgroup ${megabytes(chargedBytes)}, of them ${megabytes(workingSetBytes)} the working set`
  );
}
