/**
 * The only file that finds and loads the native addon, and the types of what it offers. The addon knows libbpf, the
 * ring buffer and mmap; it knows no protocol. Its errors are PlainsightError with `errno` (USAGE and EBADF: closed);
 * arguments of the wrong type are TypeError, numbers out of range are RangeError.
 */

import { createRequire } from 'node:module';
import { PlainsightError } from './errors.ts';
import { fromRoot } from './root.ts';

/** One attachment: a program at a tracepoint, or at a set of offsets of one file. */
export interface Link {
  /** Detaches. A second call does nothing. Never done by garbage collection while anything of the object is in use. */
  close(): void;
}

export interface BpfMap {
  readonly name: string;
  readonly keySize: number;
  /** Bytes of one value as user space sees it: per-CPU maps give `valueSize * possibleCpus`, each rounded up to 8. */
  readonly valueSize: number;
  readonly maxEntries: number;
  /** A copy of the value, undefined when there is no such key. */
  lookup(key: Uint8Array): Uint8Array | undefined;
  update(key: Uint8Array, value: Uint8Array): void;
  /** false when there was no such key. */
  delete(key: Uint8Array): boolean;
  /** All keys at this moment, concatenated (`keySize` bytes each); at most `limit` of them. */
  keys(limit: number): Uint8Array;
  /**
   * Copies at most `count` entries of a hash to the front of `keys` and `values`, which have room for exactly as many, in one
   * system call. `cursor`: undefined to begin, then `next` until that is undefined. What is added or deleted meanwhile may be
   * there or not. ENOSPC when `count` is less than one bucket of the hash holds, which some hundred never are.
   */
  batch(
    cursor: number | undefined,
    count: number,
    keys: Uint8Array,
    values: Uint8Array,
  ): { readonly count: number; readonly next: number | undefined };
}

export interface ProgramInfo {
  readonly name: string;
  readonly section: string;
  /** BPF instructions as compiled. */
  readonly instructions: number;
}

export interface UprobeSites {
  /** File offsets. */
  readonly offsets: BigUint64Array;
  /** What bpf_get_attach_cookie() gives at the offset of the same index. */
  readonly cookies: BigUint64Array;
}

export interface BpfObject {
  /** Those that are loaded. */
  readonly programs: readonly ProgramInfo[];
  map(name: string): BpfMap;
  /** Attaches a program by its section name: tp_btf, raw_tp, tracepoint. Its function's name will do as well. */
  attach(program: string): Link;
  /**
   * Attaches an uprobe program, named by its function (or by its section if it is the only one there), to all sites of
   * one file, all of them or none. 1..65536 sites; the path must be absolute.
   */
  attachUprobes(program: string, path: string, sites: UprobeSites, options: { returnProbe: boolean }): Link;
  /** Runs an iterator program once to its end: over `map` where it is one of map elements. What it prints is dropped. */
  iterate(program: string, map?: BpfMap): void;
  /**
   * Runs of a program that the kernel skipped since the load: it does not run on a CPU where it runs already, which
   * preemption or an interrupt can bring about. Always 0 below 5.12.
   */
  misses(program: string): number;
  /** Destroys the object and closes the links made from it. */
  close(): void;
}

export interface ObjectOptions {
  /** BTF of the running kernel from a file, for kernels without /sys/kernel/btf/vmlinux. */
  btfPath?: string;
  /** Maps of the same name in this object are replaced by these; a map whose shape differs is an error. */
  sharedMaps?: readonly BpfMap[];
  /** max_entries of maps that this object creates; names that it does not have are ignored. */
  mapSizes?: Readonly<Record<string, number>>;
  /** Programs of this object that are not loaded, by function or section as in attach(). */
  skipPrograms?: readonly string[];
  /** How uprobe programs are attached: one link for all sites of a file (6.6+), or a perf event per site (default). */
  uprobeMethod?: 'multi' | 'perf';
}

/** Copies records out of a BPF ring buffer, many per call, into one preallocated buffer. */
export interface RingBuffer {
  /** What drain() fills. */
  readonly batch: Uint8Array;
  /**
   * Moves as many whole records as fit into `batch`, each at a multiple of 8 bytes and as long as its first u32 says.
   * Returns the bytes filled: 0 when the ring is empty.
   */
  drain(): number;
  /** Bytes that wait in the ring. */
  pendingBytes(): number;
  /** Records that drain() could not hand over: longer than the batch, or shorter than 8 bytes. */
  dropped(): number;
  close(): void;
}

/** A read-only mapping of a regular file. Truncating the file under it reads as zeros, never as a crash. */
export interface MappedFile {
  readonly bytes: Uint8Array;
  readonly device: bigint;
  readonly inode: bigint;
  /** True once a page was missing because the file had been truncated while mapped. */
  readonly truncated: boolean;
  /** Unmaps; `bytes` becomes empty. */
  close(): void;
}

/** Kernel features that can be tried with one small load or attach. */
export type KernelFeature =
  | 'bpf'
  | 'btf'
  | 'ring_buffer'
  | 'sock_length_tracepoints'
  | 'sys_exit_tracepoint'
  | 'uprobe'
  | 'uprobe_multi'
  | 'attach_cookie'
  | 'task_pt_regs'
  | 'sk_storage_tracing'
  | 'tcp_tracepoints';

/** errno 0 means that it works. */
export interface ProbeResult {
  readonly errno: number;
  /** The name of the errno and what it means here, '' when it works. */
  readonly detail: string;
}

export interface Native {
  readonly libbpfVersion: string;
  openObject(path: string, options: ObjectOptions): BpfObject;
  /** `batchBytes`: 64 KiB to 64 MiB. The ring stays readable when the map's object is closed. */
  openRingBuffer(map: BpfMap, batchBytes: number): RingBuffer;
  mapFile(path: string): MappedFile;
  probeFeature(feature: KernelFeature): ProbeResult;
  /** Called with libbpf's own messages after the call that caused them; undefined silences them. */
  setLog(callback: ((level: 'warn' | 'info' | 'debug', message: string) => void) | undefined): void;
  /** Gives back what the load of objects needed: the kernel's types, and what malloc keeps for later. */
  trimMemory(): void;
  /**
   * Unmaps what lies mapped of program files and libraries; what is in use comes back from the page cache. Returns how many
   * bytes it was, 0 where the kernel does not tell (/proc/self/pagemap).
   */
  releaseFilePages(): number;
}

interface Addon extends Native {
  /** The class of the errors that the addon throws. */
  setErrorClass(errorClass: typeof PlainsightError): void;
}

let loaded: Native | undefined;

/** @throws PlainsightError NOT_BUILT when the addon has not been built for this machine. */
export function native(): Native {
  if (loaded) return loaded;
  const path = fromRoot('build/native/plainsight.node');
  try {
    const addon = createRequire(import.meta.url)(path) as Addon;
    addon.setErrorClass(PlainsightError);
    loaded = addon;
  } catch (cause) {
    throw new PlainsightError('NOT_BUILT', `the native addon ${path} cannot be loaded; run: npm run setup`, { cause });
  }
  return loaded;
}

/** What libbpf and the verifier said of a refused load or attach: their last lines, at most 4 KiB. */
export function nativeLog(error: unknown): string | undefined {
  const log = error instanceof PlainsightError && 'log' in error ? error.log : undefined;
  return typeof log === 'string' ? log : undefined;
}
