/**
 * Who a pid is: the labels its traffic is counted under. Read from /proc once per process and image, then kept; a reused
 * pid is told from the first by its start time. Outside Kubernetes `service` is the systemd unit or else the file name
 * of the executable. Starts no timer: the caller runs sweep(). Limits: `max` processes, 4096 cgroups.
 */

import { basename } from 'node:path';
import { LRUCache } from 'lru-cache';
import type { Owner } from '../stream/contract.ts';
import type { CgroupTable } from './cgroup-table.ts';
import { type ContainerRef, containerOfCgroup } from './container-path.ts';
import { unitOfCgroup } from './proc-text.ts';
import type { ProcFs } from './procfs.ts';

const DEFAULT_MAX = 8192;
const MAX_CGROUPS = 4096;
const NS_PER_TICK = 10_000_000;
/** EXECUTABLE_SIZE of bpf/events.h, less the terminator: what of a file name a hint can hold. */
const HINT_EXECUTABLE_BYTES = 47;

/** What the kernel tells with an event about the process at that moment. */
export interface OwnerHint {
  /** CLOCK_BOOTTIME; 0: not known. */
  readonly startTimeNs: number;
  /** File name without folder, at most 47 bytes; '': not known. */
  readonly executable: string;
  readonly comm: string;
  /** Inode of the cgroup v2 directory; 0: not known. Always the same type, number or bigint. */
  readonly cgroupId: number | bigint;
}

/** What the cgroup of a process says, and what can be held against it. */
export interface Place {
  /** Name of the systemd service, '' when there is none. */
  readonly unit: string;
  readonly container: ContainerRef | undefined;
  /** Inode of the network namespace; 0: not known. */
  readonly networkNamespace: number;
}

const NOWHERE: Place = { unit: '', container: undefined, networkNamespace: 0 };

interface Entry {
  /** undefined until it is asked for. */
  owner: Owner | undefined;
  /** What /proc is compared with, and what stands in for it when the process is gone. */
  hint: OwnerHint | undefined;
  /** -1: not known. */
  startTicks: number;
  /** File name of the executable as read from /proc, '' when the process was gone. */
  executable: string;
}

export class ProcessTable {
  readonly #proc: ProcFs;
  readonly #entries: LRUCache<number, Entry>;
  readonly #cgroups: CgroupTable | undefined;
  readonly #places = new LRUCache<number | bigint, Place>({ max: MAX_CGROUPS });
  readonly #placeOfOwner = new WeakMap<Owner, Place>();
  /** Exited since the last sweep, and before it. */
  #exited = new Map<number, Entry>();
  #exitedBefore = new Map<number, Entry>();

  constructor(options: { proc: ProcFs; cgroups?: CgroupTable; max?: number }) {
    this.#proc = options.proc;
    this.#cgroups = options.cgroups;
    this.#entries = new LRUCache({ max: options.max ?? DEFAULT_MAX });
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The same object for the same process as long as its labels do not change. Never throws. */
  owner(pid: number, hint?: OwnerHint): Owner {
    const entry = this.#entries.get(pid);
    if (entry?.owner !== undefined) {
      const holds = hint === undefined ? !this.#isReused(pid, entry) : agrees(entry, hint);
      if (holds) return entry.owner;
      return this.#load(pid, entry, hint);
    }
    return this.#load(pid, entry, hint ?? entry?.hint);
  }

  /**
   * The process runs a new image. Most processes never speak, so nothing is read now but the unit of a cgroup that is not
   * known yet: a process may be gone by the time its first chunk comes.
   */
  exec(pid: number, hint: OwnerHint): void {
    this.#entries.set(pid, { owner: undefined, hint, startTicks: ticksOf(hint), executable: '' });
    this.#cgroupOf(pid, hint.cgroupId);
  }

  /** Where an owner that this table gave out runs. */
  place(owner: Owner): Place {
    return this.#placeOfOwner.get(owner) ?? NOWHERE;
  }

  /** The process is gone. Its entry outlives the next sweep, for events that are still on their way. */
  exit(pid: number): void {
    const entry = this.#entries.get(pid);
    if (entry === undefined) return;
    this.#exited.set(pid, entry);
    if (this.#exited.size > this.#entries.max) this.sweep();
  }

  /** Drops the processes that had exited before the last sweep. To be called every few seconds. */
  sweep(): void {
    for (const [pid, entry] of this.#exitedBefore) {
      if (this.#entries.peek(pid) === entry) this.#entries.delete(pid);
    }
    this.#exitedBefore = this.#exited;
    this.#exited = new Map();
  }

  /** The process has exited, and another has its pid that began without an exec: nothing else would tell. */
  #isReused(pid: number, entry: Entry): boolean {
    if (entry.startTicks < 0 || (this.#exited.get(pid) !== entry && this.#exitedBefore.get(pid) !== entry))
      return false;
    const stat = this.#attempt(() => this.#proc.stat(pid));
    return stat !== undefined && stat.startTicks !== entry.startTicks;
  }

  #load(pid: number, known: Entry | undefined, hint: OwnerHint | undefined): Owner {
    const hintTicks = hint === undefined ? -1 : ticksOf(hint);
    const stat = this.#attempt(() => this.#proc.stat(pid));
    const alive = stat !== undefined && (hintTicks < 0 || stat.startTicks === hintTicks);
    const executable = alive ? executableName(this.#proc.executable(pid)) : '';
    const comm = (alive ? stat.comm : hint?.comm) || 'unknown';
    const cgroup = this.#cgroupOf(alive ? pid : undefined, hint?.cgroupId ?? 0);
    const service = cgroup.unit || executable || hint?.executable || comm;
    const startTicks = alive ? stat.startTicks : hintTicks;
    const before = known?.owner;
    const same = before !== undefined && known!.startTicks === startTicks && before.service === service;
    const moved = before === undefined || !isSameContainer(this.place(before).container, cgroup.container);
    const keeps = same && !moved && before.comm === comm;
    const owner = keeps ? before : { pid, comm, namespace: '', pod: '', container: '', service };
    if (!keeps) {
      const networkNamespace = alive ? this.#proc.networkNamespace(pid) : 0;
      this.#placeOfOwner.set(owner, { ...cgroup, networkNamespace });
    }
    const entry: Entry = { owner, hint, startTicks, executable };
    this.#entries.set(pid, entry);
    // What was read of a process that is gone already must not stay for good: no exit event of it comes any more.
    if (!alive) this.exit(pid);
    return owner;
  }

  /** By the directory that the kernel named, else by what /proc tells of a process that lives. */
  #cgroupOf(pid: number | undefined, cgroupId: number | bigint): Place {
    const id = BigInt(cgroupId) === 0n ? undefined : cgroupId;
    const cached = id === undefined ? undefined : this.#places.get(id);
    if (cached !== undefined) return cached;
    const told = id === undefined ? undefined : this.#cgroups?.path(Number(id));
    const container = told === undefined ? undefined : containerOfCgroup(told);
    if (told !== undefined && container !== undefined) return this.#keep(id, placeOf(told, container));
    const paths = pid === undefined ? undefined : this.#attempt(() => this.#proc.cgroup(pid));
    if (paths === undefined) return told === undefined ? NOWHERE : placeOf(told, undefined);
    // Since the event it has moved, as what a container engine starts does: the event's cgroup is not that of the path.
    if (told !== undefined && paths.unified !== undefined && paths.unified !== told) return placeOf(told, undefined);
    const unified = paths.unified !== undefined && paths.unified !== '/';
    const path = (unified ? paths.unified : paths.systemd) ?? '';
    for (const other of paths.all) {
      const found = containerOfCgroup(other);
      // Never kept by the id: under cgroup v1 every process has that of the v2 root, and a process may have moved.
      if (found !== undefined) return placeOf(other, found);
    }
    return this.#keep(unified && paths.all.length === 1 ? id : undefined, placeOf(path, undefined));
  }

  #keep(id: number | bigint | undefined, place: Place): Place {
    if (id !== undefined) this.#places.set(id, place);
    return place;
  }

  /** A file that the kernel does not let us read is no more than one that is gone. */
  #attempt<T>(read: () => T | undefined): T | undefined {
    try {
      return read();
    } catch {
      return undefined;
    }
  }
}

function placeOf(path: string, container: ContainerRef | undefined): Place {
  return { unit: unitOfCgroup(path), container, networkNamespace: 0 };
}

function isSameContainer(a: ContainerRef | undefined, b: ContainerRef | undefined): boolean {
  return a?.containerId === b?.containerId && a?.podUid === b?.podUid;
}

/** Does the entry describe the process and the image that the hint tells of? */
function agrees(entry: Entry, hint: OwnerHint): boolean {
  const ticks = ticksOf(hint);
  if (ticks >= 0 && ticks !== entry.startTicks) return false;
  if (entry.hint !== undefined && BigInt(hint.cgroupId) !== 0n && hint.cgroupId !== entry.hint.cgroupId) return false;
  if (hint.executable === '' || hint.executable === entry.hint?.executable) return true;
  return entry.hint === undefined && entry.executable.slice(0, HINT_EXECUTABLE_BYTES) === hint.executable;
}

/** As field 22 of /proc/PID/stat: nsec_to_clock_t() rounds down. */
function ticksOf(hint: OwnerHint): number {
  return hint.startTimeNs > 0 ? Math.floor(hint.startTimeNs / NS_PER_TICK) : -1;
}

function executableName(path: string | undefined): string {
  if (path === undefined) return '';
  return basename(path.endsWith(' (deleted)') ? path.slice(0, -' (deleted)'.length) : path);
}
