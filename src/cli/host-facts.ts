/**
 * What `doctor` looks at: read here, judged in host-checks.ts. Every file of the host is read below one folder, so that
 * tests run on a made-up tree. Whatever cannot be read is undefined, never an exception.
 */

import { closeSync, fstatSync, openSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { PlainsightError } from '../errors.ts';
import type { KernelFeature, Native, ProbeResult } from '../native.ts';

export type BtfState = 'ok' | 'absent' | 'unreadable' | 'empty' | 'not BTF' | 'cut off';
export type CgroupMode = 'v1' | 'v2' | 'hybrid' | 'none';

export interface HostFacts {
  /** As `uname -r` prints it. */
  readonly kernelRelease: string | undefined;
  /** As Node.js names it. */
  readonly architecture: string;
  readonly btf: { readonly path: string; readonly state: BtfState };
  /** Effective capabilities, a bit each. */
  readonly capabilities: bigint | undefined;
  /** `none` where the kernel has no lockdown. */
  readonly lockdown: string;
  readonly perfEventParanoid: number | undefined;
  readonly unprivilegedBpfDisabled: number | undefined;
  /** The soft limit; infinite when unlimited. */
  readonly memlockBytes: number | undefined;
  readonly cgroup: CgroupMode;
  /** Whether process numbers here are those of the host; undefined: cannot be told. */
  readonly initialPidNamespace: boolean | undefined;
  /** Undefined: not tried. A string: why it could not be tried. */
  readonly features: Readonly<Partial<Record<KernelFeature, ProbeResult>>> | string | undefined;
}

export interface FactSources {
  /** In front of every path below; empty for the host itself. */
  readonly hostRoot: string;
  readonly architecture: string;
  readonly procRoot: string;
  readonly btfPath: string | undefined;
  /** Undefined: leave out the features that are found by trying. */
  readonly native: (() => Promise<Native>) | undefined;
}

/** Without `btf`: the types may come from --btf-path, and the line about BTF looks at what is used. */
export const FEATURES_TRIED: readonly KernelFeature[] = [
  'bpf',
  'ring_buffer',
  'sock_length_tracepoints',
  'task_pt_regs',
  'sk_storage_tracing',
  'sys_exit_tracepoint',
  'uprobe_multi',
  'uprobe',
  'attach_cookie',
  'tcp_tracepoints',
];

export async function readHostFacts(sources: FactSources): Promise<HostFacts> {
  const { hostRoot, architecture, procRoot, btfPath } = sources;
  const at = (path: string) => readText(hostRoot + path);
  const mountInfo = at('/proc/self/mountinfo') ?? '';
  const path = btfPath ?? `${hostRoot}/sys/kernel/btf/vmlinux`;
  return {
    kernelRelease: at('/proc/sys/kernel/osrelease')?.trim(),
    architecture,
    btf: { path, state: readBtfState(path) },
    capabilities: parseCapabilities(at('/proc/self/status') ?? ''),
    lockdown: parseLockdown(at('/sys/kernel/security/lockdown')),
    perfEventParanoid: parseNumber(at('/proc/sys/kernel/perf_event_paranoid')),
    unprivilegedBpfDisabled: parseNumber(at('/proc/sys/kernel/unprivileged_bpf_disabled')),
    memlockBytes: parseMemlock(at('/proc/self/limits') ?? ''),
    cgroup: parseCgroupMode(mountInfo),
    initialPidNamespace: initialPidNamespace([`${hostRoot}/proc/self/ns/pid`, `${hostRoot}${procRoot}/1/ns/pid`]),
    features: sources.native && (await tryFeatures(sources.native)),
  };
}

async function tryFeatures(load: () => Promise<Native>): Promise<HostFacts['features']> {
  let native: Native;
  try {
    native = await load();
  } catch (error) {
    return (error as Error).message;
  }
  const results: Partial<Record<KernelFeature, ProbeResult>> = {};
  for (const feature of FEATURES_TRIED) {
    try {
      results[feature] = native.probeFeature(feature);
    } catch (error) {
      const { errno = -1, message } = error as { errno?: number; message: string };
      results[feature] = { errno, detail: message };
    }
  }
  return results;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** struct btf_header of include/uapi/linux/btf.h (v6.12). */
const BTF_HEADER_BYTES = 24;
const BTF_MAGIC = 0xeb9f;

export function readBtfState(path: string): BtfState {
  const header = Buffer.alloc(BTF_HEADER_BYTES);
  let filled: number;
  let sizeBytes: number;
  try {
    const file = openSync(path, 'r');
    try {
      filled = readSync(file, header, 0, BTF_HEADER_BYTES, 0);
      sizeBytes = fstatSync(file).size;
    } finally {
      closeSync(file);
    }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'absent' : 'unreadable';
  }
  if (filled === 0) return 'empty';
  // Both supported architectures are little-endian.
  if (filled < 2 || header.readUInt16LE(0) !== BTF_MAGIC) return 'not BTF';
  if (filled < BTF_HEADER_BYTES) return 'cut off';
  const [headerBytes, typeOffset, typeBytes, stringOffset, stringBytes] = [4, 8, 12, 16, 20].map((at) =>
    header.readUInt32LE(at),
  ) as [number, number, number, number, number];
  const end = headerBytes + Math.max(typeOffset + typeBytes, stringOffset + stringBytes);
  return typeBytes > 0 && stringBytes > 0 && end <= sizeBytes ? 'ok' : 'cut off';
}

function parseNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^-?\d+\s*$/.test(text) ? Number(text) : undefined;
}

/** From /proc/PID/status. */
export function parseCapabilities(status: string): bigint | undefined {
  const hex = /^CapEff:\s*([0-9a-f]{1,16})$/m.exec(status)?.[1];
  return hex === undefined ? undefined : BigInt(`0x${hex}`);
}

/** `none [integrity] confidentiality` -> `integrity` */
export function parseLockdown(text: string | undefined): string {
  return /\[(\w+)\]/.exec(text ?? '')?.[1] ?? 'none';
}

/** The soft limit from /proc/PID/limits. */
export function parseMemlock(limits: string): number | undefined {
  const soft = /^Max locked memory\s+(\d+|unlimited)\s/m.exec(limits)?.[1];
  if (soft === undefined) return undefined;
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}

/** proc(5): the type of the file system is the first field after the separator `-`. */
function fileSystems(mountInfo: string): string[] {
  return mountInfo.split('\n').map((line) => / - (\S+) /.exec(line)?.[1] ?? '');
}

/** From /proc/PID/mountinfo. */
export function parseCgroupMode(mountInfo: string): CgroupMode {
  const types = new Set(fileSystems(mountInfo));
  if (types.has('cgroup2')) return types.has('cgroup') ? 'hybrid' : 'v2';
  return types.has('cgroup') ? 'v1' : 'none';
}

/** PROC_PID_INIT_INO of include/linux/proc_ns.h (v6.12): the same on every machine. */
const INITIAL_PID_NAMESPACE = 'pid:[4026531836]';

function initialPidNamespace(links: readonly string[]): boolean | undefined {
  let result: boolean | undefined;
  for (const link of links) {
    try {
      if (readlinkSync(link) === INITIAL_PID_NAMESPACE) return true;
      result = false;
    } catch {
      // Another user's process 1: the next link, or else nothing, tells.
    }
  }
  return result;
}

/** @throws PlainsightError USAGE when a file that the configuration names cannot be read. */
export function requireReadable(flag: string, path: string, kind: 'file' | 'folder'): void {
  try {
    const file = openSync(path, 'r');
    try {
      if (fstatSync(file).isDirectory() !== (kind === 'folder'))
        throw Object.assign(new Error(), { code: `not a ${kind}` });
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new PlainsightError('USAGE', `--${flag}: '${path}' cannot be read (${code}); give a readable ${kind}`, {
      cause,
    });
  }
}
