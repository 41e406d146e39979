/**
 * The BPF side as the agent sees it: loads one object per concern, lets them share their maps, attaches them, and reads
 * the counters. Each object is optional: what cannot be loaded or attached is a feature that is off, with its reason.
 * Only when nothing at all can be captured does load() throw.
 */

import { release } from 'node:os';
import { COUNTER, SCOPE, SETTINGS, TLS_PROCESS } from './abi/events.ts';
import type { Config } from './config.ts';
import { PlainsightError } from './errors.ts';
import type { Log } from './log.ts';
import type { BpfMap, BpfObject, Link, Native, RingBuffer } from './native.ts';
import { isUretprobeSafe } from './probes/uretprobe.ts';
import { fromRoot } from './root.ts';
import type { TlsSite } from './tls/library.ts';

/** Holds many 16 KiB records, and is small beside the ring. */
const BATCH_BYTES = 512 * 1024;
const SHARED_MAPS = [
  'events',
  'counters',
  'settings',
  'excluded_comms',
  'cgroup_scopes',
  'tls_calls',
  'go_calls',
  'tls_streams',
  'tls_processes',
  'http2_connections',
] as const;

/** bpf/tls.bpf.c: one pair that reads the attach cookie, and one program per cookie for kernels without it. */
const COOKIE_PROGRAMS = ['tls_entry', 'tls_return'] as const;
const FIXED_PROGRAMS = [
  ...[0, 1, 2, 3, 4, 5].map((cookie) => `tls_entry_${cookie}`),
  ...[8, 9, 12, 13].map((cookie) => `tls_return_${cookie}`),
];

/** Programs that do what the one before them, of the same name without the ending, was not let to do. */
const SECOND = '_second';
const SECOND_PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  socket: ['socket_send', 'socket_receive', 'socket_state'].map((name) => name + SECOND),
  process: ['process_exec', 'process_exit'].map((name) => name + SECOND),
  syscall: ['syscall_exit', 'syscall_state'].map((name) => name + SECOND),
  tcp: ['tcp_state'].map((name) => name + SECOND),
  unix: ['unix_send', 'unix_receive'].map((name) => name + SECOND),
};

/** Whether tracepoint programs can be preempted, and then be skipped: from 7.0 on (commit a46023d5616e). */
function isPreemptible(kernel: string): boolean {
  return Number.parseInt(kernel, 10) >= 7;
}

/** bpf/NAME.bpf.c */
type ProgramSet = 'tls' | 'gotls' | 'socket' | 'syscall' | 'process' | 'cgroup' | 'tcp' | 'unix';

/** `enum scope` of bpf/events.h: what holds for processes none of whose cgroups was decided about. */
export type DefaultScope = 'unlimited' | 'in' | 'out';

const SCOPES: Readonly<Record<DefaultScope, number>> = {
  unlimited: SCOPE.UNLIMITED,
  in: SCOPE.IN,
  out: SCOPE.OUT,
};

export type FeatureReason = 'ok' | 'disabled' | 'unsupported' | 'not_needed' | 'unsafe' | `error_${string}`;

export interface Feature {
  readonly feature: ProgramSet | 'uprobe_multi' | 'attach_cookie' | 'uretprobe' | 'kubernetes';
  readonly enabled: boolean;
  readonly reason: FeatureReason;
}

export interface TlsProcessBytes {
  readonly pid: number;
  readonly plaintextBytes: number;
  readonly ciphertextBytes: number;
}

interface SiteGroup {
  readonly feature: 'tls' | 'gotls';
  readonly program: string;
  readonly returnProbe: boolean;
  readonly group: TlsSite[];
}

export class Programs {
  readonly #native: Native;
  readonly #config: Config;
  readonly #log: Log;
  readonly #objects = new Map<string, BpfObject>();
  readonly #features = new Map<Feature['feature'], Feature>();
  readonly #links: Link[] = [];
  readonly #uprobeMethod: 'multi' | 'perf';
  readonly #hasCookie: boolean;
  #shared: readonly BpfMap[] = [];
  #ring: RingBuffer | undefined;
  #filterEpoch = 0;
  #excluded: readonly string[] = [];
  #scope: DefaultScope = 'unlimited';
  #identity: { readonly selfPid: number; readonly onlyPid: number } | undefined;

  private constructor(native: Native, config: Config, log: Log) {
    this.#native = native;
    this.#config = config;
    this.#log = log;
    this.#uprobeMethod = native.probeFeature('uprobe_multi').errno === 0 ? 'multi' : 'perf';
    this.#hasCookie = native.probeFeature('attach_cookie').errno === 0;
  }

  /** @throws PlainsightError UNSUPPORTED when neither TLS nor socket programs can be loaded. */
  static load(native: Native, config: Config, log: Log): Programs {
    const programs = new Programs(native, config, log);
    try {
      programs.#loadAll();
      return programs;
    } catch (error) {
      programs.close();
      throw error;
    }
  }

  get ring(): RingBuffer {
    return this.#ring!;
  }

  features(): readonly Feature[] {
    return [...this.#features.values()];
  }

  /** `--return-probe`, or what this kernel makes of `auto`. */
  get returnProbe(): Config['returnProbe'] {
    const { returnProbe } = this.#config;
    return returnProbe === 'auto' && !this.isEnabled('uretprobe') ? 'sites' : returnProbe;
  }

  isEnabled(feature: Feature['feature']): boolean {
    return this.#features.get(feature)?.enabled === true;
  }

  #loadAll(): void {
    const { tls, socketSource } = this.#config;
    this.#load('process');
    this.#load('cgroup');
    const safe = isUretprobeSafe(release(), process.arch);
    if (this.#config.returnProbe === 'sites') this.#set('uretprobe', false, 'disabled');
    else this.#set('uretprobe', safe, safe ? 'ok' : 'unsafe');
    for (const feature of ['tls', 'gotls'] as const) {
      if (tls === 'off') this.#set(feature, false, 'disabled');
      else if (feature === 'gotls' && !this.#hasCookie) this.#set(feature, false, 'unsupported');
      else this.#load(feature);
    }
    this.#set('uprobe_multi', this.#uprobeMethod === 'multi', this.#uprobeMethod === 'multi' ? 'ok' : 'unsupported');
    this.#set('attach_cookie', this.#hasCookie, this.#hasCookie ? 'ok' : 'unsupported');
    if (socketSource === 'off') {
      this.#set('socket', false, 'disabled');
      this.#set('syscall', false, 'disabled');
      this.#set('unix', false, 'disabled');
    } else if (socketSource === 'syscall') {
      this.#set('socket', false, 'disabled');
      this.#set('unix', false, 'disabled');
      this.#load('syscall');
    } else {
      if (this.#native.probeFeature('sock_length_tracepoints').errno === 0) this.#load('socket');
      else this.#set('socket', false, 'unsupported');
      if (this.isEnabled('socket')) this.#load('unix');
      else this.#set('unix', false, 'unsupported');
      if (this.isEnabled('socket')) this.#set('syscall', false, 'not_needed');
      else if (socketSource === 'socket') this.#set('syscall', false, 'disabled');
      else this.#load('syscall');
    }
    if (!this.isEnabled('tls') && !this.isEnabled('socket') && !this.isEnabled('syscall')) {
      const reasons = this.features().map(({ feature, reason }) => `${feature}: ${reason}`);
      throw new PlainsightError(
        'UNSUPPORTED',
        `nothing can be captured on this host (${reasons.join(', ')}); see: plainsight doctor`,
      );
    }
    if (this.#config.tcp === 'off') this.#set('tcp', false, 'disabled');
    else this.#load('tcp');
    this.#ring = this.#native.openRingBuffer(this.#map('events'), BATCH_BYTES);
  }

  #load(feature: ProgramSet): void {
    const path = fromRoot(`build/bpf/${process.arch}/${feature}.bpf.o`);
    try {
      const object = this.#native.openObject(path, {
        ...(this.#config.btfPath === undefined ? {} : { btfPath: this.#config.btfPath }),
        sharedMaps: this.#shared,
        mapSizes: { events: this.#config.ringSizeBytes },
        uprobeMethod: this.#uprobeMethod,
        skipPrograms: this.#skipped(feature),
      });
      this.#objects.set(feature, object);
      if (this.#shared.length === 0) this.#shared = SHARED_MAPS.map((name) => object.map(name));
      this.#set(feature, true, 'ok');
    } catch (error) {
      if (error instanceof PlainsightError && error.code === 'NOT_BUILT') throw error;
      this.#refuse(feature, 'load', error);
    }
  }

  #skipped(feature: Feature['feature']): readonly string[] {
    if (feature === 'tls') return this.#hasCookie ? FIXED_PROGRAMS : COOKIE_PROGRAMS;
    return isPreemptible(release()) ? [] : (SECOND_PROGRAMS[feature] ?? []);
  }

  #refuse(feature: Feature['feature'], step: string, error: unknown): void {
    const { errno, message } = error as { errno?: number; message: string };
    this.#set(feature, false, `error_${errno ?? step}`);
    this.#log.warn(`the ${feature} programs are off: ${message}`);
  }

  #set(feature: Feature['feature'], enabled: boolean, reason: FeatureReason): void {
    this.#features.set(feature, { feature, enabled, reason });
  }

  #map(name: (typeof SHARED_MAPS)[number]): BpfMap {
    return this.#shared[SHARED_MAPS.indexOf(name)]!;
  }

  /** Attaches what sees processes and cgroups begin and end. */
  attachProcess(): void {
    this.#attachAll('cgroup');
    this.#attachAll('process');
  }

  /** Attaches the socket front end that was loaded. */
  attachSockets(): void {
    this.#attachAll('socket');
    this.#attachAll('unix');
    this.#attachAll('syscall');
  }

  /**
   * Attaches what watches TCP connections. Returns the object, whose maps and iterators are read at a scrape; undefined
   * where the feature is off.
   */
  attachTcp(): BpfObject | undefined {
    this.#attachAll('tcp');
    return this.isEnabled('tcp') ? this.#objects.get('tcp') : undefined;
  }

  #attachAll(feature: ProgramSet): void {
    const object = this.#objects.get(feature);
    if (!object || !this.isEnabled(feature)) return;
    const links: Link[] = [];
    try {
      for (const { name, section } of object.programs) {
        if (!section.startsWith('iter/')) links.push(object.attach(name));
      }
      this.#links.push(...links);
    } catch (error) {
      for (const link of links) link.close();
      this.#refuse(feature, 'attach', error);
    }
  }

  /**
   * Attaches the TLS programs to sites of one file: all of them or none.
   * @throws PlainsightError ATTACH
   */
  attachTls(path: string, sites: readonly TlsSite[]): Link {
    const links: Link[] = [];
    const close = () => {
      for (const link of links.splice(0)) link.close();
    };
    try {
      for (const { feature, program, returnProbe, group } of this.#groups(sites)) {
        const object = this.#objects.get(feature);
        if (!object) {
          throw new PlainsightError('ATTACH', `the ${feature} programs are not loaded; see: plainsight doctor`);
        }
        const uprobes = {
          offsets: BigUint64Array.from(group, (site) => BigInt(site.offset)),
          // Without cookies the program was chosen by it, and the kernel takes none.
          cookies: BigUint64Array.from(group, (site) => (this.#hasCookie ? site.cookie : 0n)),
        };
        links.push(object.attachUprobes(program, path, uprobes, { returnProbe }));
      }
    } catch (error) {
      close();
      throw error;
    }
    return { close };
  }

  /** The sites by the program and the way they are attached: each group is one link. */
  #groups(sites: readonly TlsSite[]): Iterable<SiteGroup> {
    const groups = new Map<string, SiteGroup>();
    for (const site of sites) {
      const feature = site.programs ?? 'tls';
      const program = this.#hasCookie ? `${feature}_${site.kind}` : `${feature}_${site.kind}_${site.cookie}`;
      const key = `${program} ${site.method}`;
      const known = groups.get(key);
      if (known) known.group.push(site);
      else groups.set(key, { feature, program, returnProbe: site.method === 'uretprobe', group: [site] });
    }
    return groups.values();
  }

  /** Writes the settings; before the first attach, and again when exclusions change. */
  configure(settings: { selfPid: number; onlyPid: number; excludeComm: readonly string[] }): void {
    const { selfPid, onlyPid } = settings;
    this.#identity = { selfPid, onlyPid };
    const comms = this.#map('excluded_comms');
    const wanted = new Set(settings.excludeComm);
    for (const comm of this.#excluded) if (!wanted.has(comm)) comms.delete(commKey(comm));
    for (const comm of wanted) comms.update(commKey(comm), Uint8Array.of(1));
    this.#excluded = [...wanted];
    this.#applySettings();
  }

  /** What holds for processes none of whose cgroups was decided about. */
  setDefaultScope(scope: DefaultScope): void {
    if (scope === this.#scope) return;
    this.#scope = scope;
    this.#applySettings();
  }

  /**
   * Decides about one cgroup, by the inode of its v2 directory, and what lies beneath it; undefined: no decision of its own.
   * Takes effect on connections that are known already with renewDecisions().
   * @throws PlainsightError MAP when the map is full.
   */
  setScope(cgroupId: bigint, scope: 'in' | 'out' | undefined): void {
    const key = new Uint8Array(BigUint64Array.of(cgroupId).buffer);
    if (scope === undefined) this.#map('cgroup_scopes').delete(key);
    else this.#map('cgroup_scopes').update(key, Uint8Array.of(SCOPES[scope]));
  }

  /** Has what was decided of each connection decided anew. */
  renewDecisions(): void {
    this.#applySettings();
  }

  #applySettings(): void {
    if (this.#identity === undefined) return;
    // Streams begin at epoch 0: the first one is 1, so that each is decided at its first chunk.
    this.#filterEpoch++;
    const value = new DataView(new ArrayBuffer(SETTINGS.sizeBytes));
    value.setUint32(SETTINGS.selfPid, this.#identity.selfPid, true);
    value.setUint32(SETTINGS.onlyPid, this.#identity.onlyPid, true);
    value.setUint32(SETTINGS.captureBytes, this.#config.captureBytes, true);
    value.setUint32(SETTINGS.filterEpoch, this.#filterEpoch, true);
    value.setUint32(SETTINGS.scope, SCOPES[this.#scope], true);
    this.#map('settings').update(new Uint8Array(4), new Uint8Array(value.buffer));
  }

  /** The kernel's counters, summed over the CPUs, by `COUNTER` of src/abi/. */
  counters(): Float64Array {
    const sums = new Float64Array(COUNTER.COUNT);
    const map = this.#map('counters');
    const key = new Uint32Array(1);
    for (let counter = 0; counter < COUNTER.COUNT; counter++) {
      key[0] = counter;
      const value = map.lookup(new Uint8Array(key.buffer));
      if (!value) continue;
      const cpus = new DataView(value.buffer, value.byteOffset, value.byteLength);
      for (let at = 0; at < value.byteLength; at += 8) {
        sums[counter] = sums[counter]! + cpus.getUint32(at, true) + cpus.getUint32(at + 4, true) * 2 ** 32;
      }
    }
    return sums;
  }

  /** Hits that ran no program: their bytes are gaps. Of a program with a second one, those that the second missed too, at most. */
  misses(): number {
    let misses = 0;
    for (const object of this.#objects.values()) {
      const names = new Set(object.programs.map(({ name }) => name));
      for (const name of names) {
        if (names.has(name + SECOND)) misses += Math.min(object.misses(name), object.misses(name + SECOND));
        else if (!name.endsWith(SECOND)) misses += object.misses(name);
      }
    }
    return misses;
  }

  /**
   * What processes have moved by TLS since they began to: of all that the kernel remembers, or of one. That one is then
   * forgotten: it has ended.
   */
  tlsProcesses(ended?: number): readonly TlsProcessBytes[] {
    const map = this.#map('tls_processes');
    const keys = ended === undefined ? map.keys(map.maxEntries) : new Uint8Array(Uint32Array.of(ended).buffer);
    const found: TlsProcessBytes[] = [];
    for (let at = 0; at < keys.length; at += 4) {
      const key = keys.subarray(at, at + 4);
      const bytes = map.lookup(key);
      if (!bytes) continue;
      const value = new DataView(bytes.buffer, bytes.byteOffset);
      found.push({
        pid: new DataView(keys.buffer, keys.byteOffset + at).getUint32(0, true),
        plaintextBytes: Number(value.getBigUint64(TLS_PROCESS.plaintext, true)),
        ciphertextBytes: Number(value.getBigUint64(TLS_PROCESS.ciphertext, true)),
      });
      if (ended !== undefined) map.delete(key);
    }
    return found;
  }

  /** Forgets what the kernel keeps of an SSL object that is gone. */
  deleteTlsStream(pid: number, ssl: number): void {
    const key = new DataView(new ArrayBuffer(16));
    key.setBigUint64(0, BigInt(ssl), true);
    key.setUint32(8, pid, true);
    this.#map('tls_streams').delete(new Uint8Array(key.buffer));
  }

  /** Detaches the front ends; the ring can still be drained. */
  detach(): void {
    for (const link of this.#links.splice(0)) link.close();
  }

  close(): void {
    this.detach();
    this.#ring?.close();
    this.#ring = undefined;
    for (const object of this.#objects.values()) object.close();
    this.#objects.clear();
  }
}

/** COMM_SIZE of bpf/events.h: the name, padded with zeros. */
function commKey(comm: string): Uint8Array {
  const key = new Uint8Array(16);
  new TextEncoder().encodeInto(comm, key.subarray(0, 15));
  return key;
}
