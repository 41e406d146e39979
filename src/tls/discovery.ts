/**
 * Finds the TLS libraries that processes have mapped and attaches each file once, for all processes that map it now or
 * later. Processes are found by what they do: a new image is looked at a few times in its first two seconds, and whoever
 * is seen speaking TLS is looked at once more. Each has a state and a reason. Starts no timer: the caller runs tick().
 * It never looks at its own process. Limits: 16384 processes, 512 attachments, 64 looks per tick.
 *
 * A library that nobody has mapped yet and that a process loads after those looks is found by its handshake: what moves in the
 * 20 ms until the ring is drained and while the probes are put in (31 and 46 ms in all on a busy machine) is missed. To hear
 * of it sooner would take a look at every mmap() of every process, or probes in each dynamic loader of the node, which every
 * process then pays for; both would still lose the first request of a program that connects at once.
 */

import { LRUCache } from 'lru-cache';
import type { ElfMachine } from '../elf/elf-file.ts';
import type { InstructionReader } from '../probes/mnemonic.ts';
import type { ProbePlanner } from '../probes/plan.ts';
import type { ExecutableMapping } from '../process/proc-text.ts';
import type { ProcFs } from '../process/procfs.ts';
import type { Attacher, TlsLibrary, TlsReason } from './library.ts';
import { type Candidate, LibraryFinder } from './library-finder.ts';
import { type FileFacts, type FileMapper, LibraryFiles, type OpenPath } from './mapped-library.ts';
import { type AttachedLibrary, describe, type ProcessTls, type ScanResult } from './process-tls.ts';
import { TLS_LIBRARIES } from './registry.ts';
import { ScanSchedule } from './scan-schedule.ts';
import type { SocketLayouts } from './socket-layout.ts';

const MAX_PROCESSES = 16384;
const MAX_ATTACHMENTS = 512;
const MAX_SCANS_PER_TICK = 64;
const MAX_REMEMBERED_FAILURES = 1024;
const MAX_REMEMBERED_MAPPINGS = 4096;
/** A refusal may have been of the moment: memory, a limit on descriptors, a file being written. */
const RETRY_MS = 30_000;
/** Between the last user's exit and the detaching: a shell loop of short commands shall not attach for each. */
const IDLE_MS = 5000;

/** What the agent's log offers. */
export interface DiscoveryLog {
  info(message: string, fields?: Readonly<Record<string, string | number>>): void;
  warn(message: string, fields?: Readonly<Record<string, string | number>>): void;
}

export interface DiscoveryCounters {
  scans: number;
  attached: number;
  detached: number;
  attachFailures: number;
  /** Processes whose state was dropped from the full table. */
  processesEvicted: number;
}

export interface DiscoveryOptions {
  readonly proc: ProcFs;
  readonly mapFile: FileMapper;
  readonly attach: Attacher;
  /** planProbes() of src/probes/. */
  readonly plan: ProbePlanner;
  /** instructionText() of src/probes/. */
  readonly instruction?: InstructionReader;
  readonly layouts?: SocketLayouts;
  readonly libraries?: readonly TlsLibrary[];
  readonly log?: DiscoveryLog;
  /** Of this node; files for another one are not attached. Default: where Node.js runs. */
  readonly machine?: ElfMachine;
  /** Never looked at: the programs leave its calls out. Default: this process. */
  readonly selfPid?: number;
  readonly maxProcesses?: number;
  readonly maxAttachments?: number;
}

interface Attachment {
  facts: FileFacts;
  handle: { close(): void };
  readonly path: string;
  readonly users: Set<number>;
}

interface TrackedProcess {
  libraries: readonly ProcessTls[];
  /** Identities of attachments. */
  uses: readonly string[];
  tlsSeen: boolean;
}

export class Discovery {
  readonly counters: DiscoveryCounters = {
    scans: 0,
    attached: 0,
    detached: 0,
    attachFailures: 0,
    processesEvicted: 0,
  };
  readonly #proc: ProcFs;
  readonly #attacher: Attacher;
  readonly #log: DiscoveryLog | undefined;
  readonly #files: LibraryFiles;
  readonly #finder: LibraryFinder;
  readonly #selfPid: number;
  readonly #maxProcesses: number;
  readonly #maxAttachments: number;
  readonly #schedule: ScanSchedule;
  readonly #urgent = new Set<number>();
  /** In the order of their last scan. */
  readonly #processes = new Map<number, TrackedProcess>();
  readonly #attachments = new Map<string, Attachment>();
  /** identity -> since when no known process uses it. */
  readonly #idle = new Map<string, number>();
  readonly #failures = new LRUCache<string, { reason: TlsReason; retryMs: number }>({ max: MAX_REMEMBERED_FAILURES });
  readonly #logged = new LRUCache<string, true>({ max: MAX_REMEMBERED_FAILURES });
  /** Device and inode as maps shows them -> identity. */
  readonly #identities = new LRUCache<string, string>({ max: MAX_REMEMBERED_MAPPINGS });
  /** Identities of attachments that scans have met since the last sweep. */
  readonly #found = new Set<string>();
  #nowMs = 0;

  constructor(options: DiscoveryOptions) {
    this.#proc = options.proc;
    this.#attacher = options.attach;
    this.#selfPid = options.selfPid ?? process.pid;
    this.#log = options.log;
    this.#maxProcesses = options.maxProcesses ?? MAX_PROCESSES;
    this.#maxAttachments = options.maxAttachments ?? MAX_ATTACHMENTS;
    this.#schedule = new ScanSchedule({ max: this.#maxProcesses });
    const machine = options.machine ?? hostMachine();
    this.#files = new LibraryFiles({ ...options, machine });
    const libraries = options.libraries ?? TLS_LIBRARIES;
    this.#finder = new LibraryFinder({ libraries, files: this.#files, mapFile: options.mapFile, machine });
  }

  /** Looks that found the schedule full. */
  get scansRefused(): number {
    return this.#schedule.refused;
  }

  /** Looks at one process now and attaches what it maps. Whatever goes wrong is a reason in the result. */
  scan(pid: number): ScanResult {
    if (pid === this.#selfPid) return { pid, alive: true, libraries: [] };
    this.counters.scans++;
    const tracked = this.#processes.get(pid);
    const tlsSeen = tracked?.tlsSeen ?? false;
    let mappings: ExecutableMapping[] | undefined = [];
    let refused = false;
    try {
      mappings = this.#proc.maps(pid);
    } catch {
      refused = true;
    }
    if (mappings === undefined) {
      this.processExited(pid);
      return { pid, alive: false, libraries: [] };
    }
    // A refusal says nothing about what was found before.
    if (refused && tracked && tracked.uses.length > 0) return { pid, alive: true, libraries: tracked.libraries };
    const libraries: ProcessTls[] = [];
    const uses = new Set<string>();
    const attach = (candidates: readonly Candidate[]) => {
      for (const { mapping, library } of candidates) {
        const { facts, reason } = this.#attach(pid, mapping, library);
        libraries.push(describe(pid, mapping.path, library, facts, reason));
        if (facts && reason === '') uses.add(facts.identity);
      }
    };
    attach(this.#finder.find(pid, mappings));
    if (tlsSeen && uses.size === 0) attach(this.#finder.search(pid, mappings));
    if (libraries.length === 0 && tlsSeen) {
      const reason = refused ? 'permission denied' : 'no known TLS library';
      libraries.push(describe(pid, '', undefined, undefined, reason));
    }
    this.#track(pid, { libraries, uses: [...uses], tlsSeen });
    const alive = libraries.every((library) => library.reason !== 'process exited');
    if (!alive) this.processExited(pid);
    return { pid, alive, libraries };
  }

  /** Looks at every process. For the start of the agent, and now and then: events can be lost. */
  scanAll(): void {
    const pids = this.#proc.listPids();
    const live = new Set(pids);
    for (const pid of [...this.#processes.keys()]) if (!live.has(pid)) this.processExited(pid);
    for (const pid of pids) this.scan(pid);
  }

  /** Plans looks at a process over the next two seconds. To be called when it has a new image. */
  scanSoon(pid: number, nowMs: number): void {
    this.#schedule.add(pid, nowMs);
  }

  /** The process was seen speaking TLS while no probe had fired in it: it is looked at with the next tick. */
  tlsSeen(pid: number): void {
    const tracked = this.#processes.get(pid);
    const libraries = tracked?.libraries ?? [];
    const waiting = libraries.length > 0 ? libraries : [describe(pid, '', undefined, undefined, 'waiting for a scan')];
    this.#track(pid, { libraries: waiting, uses: tracked?.uses ?? [], tlsSeen: true });
    if (this.#urgent.size < this.#maxProcesses) this.#urgent.add(pid);
  }

  processExited(pid: number): void {
    this.#schedule.delete(pid);
    this.#urgent.delete(pid);
    const tracked = this.#processes.get(pid);
    if (!tracked) return;
    this.#processes.delete(pid);
    this.#release(pid, tracked.uses);
  }

  /** Does what is due: planned looks, and the detaching of what nobody uses. Cheap when nothing is. */
  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    let left = MAX_SCANS_PER_TICK;
    for (const pid of this.#urgent) {
      if (left-- === 0) return;
      this.#urgent.delete(pid);
      this.scan(pid);
    }
    for (const pid of this.#schedule.due(nowMs, left)) this.scan(pid);
    for (const sinceMs of this.#idle.values()) {
      if (nowMs - sinceMs >= IDLE_MS) this.sweep();
      break;
    }
  }

  /** Closes the attachments whose file no live process maps. Looks at every process first: forks are not announced. */
  sweep(): void {
    if (this.#idle.size === 0) return;
    this.#found.clear();
    this.scanAll();
    for (const identity of [...this.#idle.keys()]) {
      // Found in a process that had to make room in the table for others: still in use.
      if (this.#found.has(identity)) this.#idle.delete(identity);
      else this.#detach(identity);
    }
  }

  /** Detaches everything. */
  close(): void {
    for (const identity of [...this.#attachments.keys()]) this.#detach(identity);
    this.#processes.clear();
    this.#urgent.clear();
  }

  /** Of every process that maps a known TLS library or was seen speaking TLS. */
  processes(): ProcessTls[] {
    return [...this.#processes.values()].flatMap((tracked) => tracked.libraries);
  }

  attachments(): AttachedLibrary[] {
    return [...this.#attachments.values()].map(({ facts, path, users }) => ({
      library: facts.library.name,
      version: facts.version,
      buildId: facts.buildId,
      path,
      sites: facts.sites,
      layout: facts.layout,
      processes: users.size,
    }));
  }

  #attach(
    pid: number,
    mapping: ExecutableMapping,
    library: TlsLibrary,
  ): { facts: FileFacts | undefined; reason: TlsReason } {
    const inode = inodeOf(mapping);
    const open = this.#files.resolve(pid, mapping);
    if (typeof open === 'string') {
      // Its name is gone, but the probes hold on to the inode, so this number still means the same file.
      const attached = this.#attachments.get(this.#identities.get(inode) ?? '');
      if (attached && open !== 'process exited') return { facts: attached.facts, reason: '' };
      return { facts: undefined, reason: this.#failed(pid, mapping, open, inode) };
    }
    const facts = this.#files.facts(open, library, mapping.path);
    if (typeof facts === 'string') return { facts: undefined, reason: this.#failed(pid, mapping, facts, inode) };
    this.#identities.set(inode, facts.identity);
    if (facts.reason !== '') return { facts, reason: this.#failed(pid, mapping, facts.reason, facts.identity) };
    const present = this.#attachments.get(facts.identity);
    if (present && sameSites(present.facts, facts)) return { facts, reason: '' };
    // The same inode with other contents: the probes sit where no function begins any more.
    if (present) this.#detach(facts.identity);
    const failure = this.#failures.get(facts.identity);
    if (failure && this.#nowMs < failure.retryMs) return { facts, reason: failure.reason };
    const reason = this.#attachFile(pid, mapping, open, facts);
    return { facts, reason: reason === '' ? '' : this.#failed(pid, mapping, reason, facts.identity) };
  }

  #attachFile(pid: number, mapping: ExecutableMapping, open: OpenPath, facts: FileFacts): TlsReason {
    if (this.#attachments.size >= this.#maxAttachments) return 'too many libraries';
    let handle: { close(): void };
    try {
      handle = this.#attacher.attach(open.path, facts.sites);
    } catch (cause) {
      if (this.#isGone(pid)) return 'process exited';
      this.counters.attachFailures++;
      this.#failures.set(facts.identity, { reason: 'attach failed', retryMs: this.#nowMs + RETRY_MS });
      const detail = cause instanceof Error ? cause.message : String(cause);
      this.#logOnce(`attach:${facts.identity}`, 'a TLS library cannot be attached', {
        path: mapping.path,
        pid,
        detail,
      });
      return 'attach failed';
    }
    // Attached by path: had the name moved to another file meanwhile, the probes would sit in the wrong one.
    if (!this.#files.isUnchanged(open)) {
      handle.close();
      return this.#isGone(pid) ? 'process exited' : 'file replaced';
    }
    this.counters.attached++;
    this.#failures.delete(facts.identity);
    this.#attachments.set(facts.identity, { facts, handle, path: mapping.path, users: new Set() });
    this.#log?.info('attached a TLS library', {
      library: facts.library.name,
      path: mapping.path,
      version: facts.version,
      buildId: facts.buildId,
      sites: facts.sites.length,
      pid,
    });
    return '';
  }

  /** A zombie has lost its root and its executable: that paths through it lead nowhere says nothing of the file. */
  #isGone(pid: number): boolean {
    return !this.#proc.exists(pid) || this.#proc.executable(pid) === undefined;
  }

  #failed(pid: number, mapping: ExecutableMapping, reason: TlsReason, file: string): TlsReason {
    if (this.#isGone(pid)) return 'process exited';
    if (reason !== 'attach failed' && reason !== 'process exited') {
      this.#logOnce(`${reason}:${file}`, 'the TLS of a library is not seen', { reason, path: mapping.path, pid });
    }
    return reason;
  }

  #logOnce(key: string, message: string, fields: Readonly<Record<string, string | number>>): void {
    if (this.#logged.has(key)) return;
    this.#logged.set(key, true);
    this.#log?.warn(message, fields);
  }

  #track(pid: number, tracked: TrackedProcess): void {
    const before = this.#processes.get(pid);
    this.#processes.delete(pid);
    for (const identity of tracked.uses) {
      this.#found.add(identity);
      this.#attachments.get(identity)?.users.add(pid);
      this.#idle.delete(identity);
    }
    if (before)
      this.#release(
        pid,
        before.uses.filter((identity) => !tracked.uses.includes(identity)),
      );
    if (tracked.libraries.length === 0) return;
    this.#processes.set(pid, tracked);
    if (this.#processes.size <= this.#maxProcesses) return;
    for (const oldest of this.#processes.keys()) {
      this.processExited(oldest);
      this.counters.processesEvicted++;
      break;
    }
  }

  #release(pid: number, identities: readonly string[]): void {
    for (const identity of identities) {
      const attachment = this.#attachments.get(identity);
      if (!attachment?.users.delete(pid) || attachment.users.size > 0) continue;
      this.#idle.set(identity, this.#nowMs);
    }
  }

  #detach(identity: string): void {
    const attachment = this.#attachments.get(identity);
    this.#idle.delete(identity);
    this.#found.delete(identity);
    if (!attachment) return;
    this.#attachments.delete(identity);
    this.counters.detached++;
    attachment.handle.close();
    this.#log?.info('detached a TLS library', { library: attachment.facts.library.name, path: attachment.path });
  }
}

function inodeOf(mapping: ExecutableMapping): string {
  return `${mapping.device}:${mapping.inode}`;
}

function sameSites(a: FileFacts, b: FileFacts): boolean {
  if (a === b) return true;
  if (a.sites.length !== b.sites.length) return false;
  return a.sites.every((site, i) => site.offset === b.sites[i]!.offset && site.cookie === b.sites[i]!.cookie);
}

function hostMachine(): ElfMachine {
  return process.arch === 'x64' || process.arch === 'arm64' ? process.arch : 'other';
}
