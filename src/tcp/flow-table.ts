/**
 * The sums of the TCP programs, read when somebody asks: what came since the last reading goes to a sink, by workload and
 * peer. Between readings nothing is done here, however much traffic there is.
 *
 * Limits: as many flows as the kernel's table holds, read in batches into the same memory. What has been idle for long is deleted
 * there and forgotten here.
 */

import { FAILURE, FLOW, FLOW_KEY, HELD, ROLE, TCP_SCAN } from '../abi/events.ts';
import type { BpfMap, BpfObject } from '../native.ts';
import type { Owner, Peer, PeerResolver, Role } from '../stream/contract.ts';
import { addressText } from './address.ts';
import { FlowRows } from './flow-rows.ts';
import type { TcpOwners } from './owners.ts';

/** TIME_BOUNDS of bpf/events.h. */
export const TIME_BOUNDS_SECONDS: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];
/** In the order of `enum failure`. */
export const FAILURE_REASONS = ['refused', 'timeout', 'unreachable', 'reset', 'aborted', 'error'] as const;

const IDLE_MS = 600_000;
/** When the table is more than half full. */
const CROWDED_IDLE_MS = 60_000;
/** Labels can change: a pod gets its name, a listener another process. */
const NAMES_MS = 30_000;
/** Names that rows share. */
const NAMES_LIMIT = 4096;
const HIGH = 2 ** 32;

const OVERFLOW = '_overflow';
const OVERFLOW_OWNER: Owner = { pid: 0, comm: '', namespace: '', pod: '', container: '', service: OVERFLOW };
const UNKNOWN_OWNER: Owner = { ...OVERFLOW_OWNER, service: 'unknown' };
const EXTERNAL: Peer = { namespace: '', service: 'external', kind: 'external' };
const OVERFLOW_PEER: Peer = { namespace: '', service: OVERFLOW, kind: 'external' };

export interface FlowNames {
  readonly owner: Owner;
  readonly peer: Peer;
  /** Of the serving side. */
  readonly port: number;
  readonly role: Role;
  /** The other end is on this node, and told of as well. */
  readonly twice: boolean;
}

/** What happened since the last reading, but for `active`. Reused: whoever keeps it copies it. */
export interface FlowChange {
  opened: number;
  /** By FAILURE_REASONS. */
  readonly failed: Float64Array;
  retransmits: number;
  sentBytes: number;
  receivedBytes: number;
  connectUs: number;
  rttUs: number;
  /** By TIME_BOUNDS_SECONDS, and beyond. */
  readonly connect: Float64Array;
  readonly rtt: Float64Array;
  /** Connections open now. */
  active: number;
}

export interface FlowSink {
  /** Before the flows of a reading. */
  begin(): void;
  flow(names: FlowNames, change: FlowChange): void;
}

const BUCKETS = TIME_BOUNDS_SECONDS.length + 1;
/** Numbers of a row. */
const WIDE = { opened: 0, failed: 1, retransmits: 7, sent: 8, received: 9, connectUs: 10, rttUs: 11 };
const SUMS = WIDE.rttUs + 1;
const NAMED_MS = SUMS;
const SHAPE = { keyBytes: FLOW_KEY.sizeBytes, wide: SUMS + 1, narrow: 2 * BUCKETS };
/** Flows that are read in one system call. */
const BATCH = 512;

export interface FlowTableOptions {
  readonly object: BpfObject;
  readonly owners: TcpOwners;
  readonly peers: PeerResolver;
  readonly sink: FlowSink;
  /** Milliseconds of any origin. */
  readonly clock: () => number;
}

export class FlowTable {
  readonly #options: FlowTableOptions;
  readonly #flows: BpfMap;
  readonly #connections: BpfMap;
  readonly #scan: BpfMap;
  readonly #rows: FlowRows;
  /** By row. Rows of the same names share them: there are many addresses, but few peers. */
  readonly #namesOf: (FlowNames | undefined)[] = [];
  readonly #names = new Map<string, FlowNames>();
  #namesMs = 0;
  readonly #batchSize: number;
  readonly #keys: Uint32Array<ArrayBuffer>;
  readonly #values: Uint32Array<ArrayBuffer>;
  readonly #sums = new Float64Array(SUMS);
  readonly #change: FlowChange = {
    opened: 0,
    failed: new Float64Array(FAILURE.COUNT),
    retransmits: 0,
    sentBytes: 0,
    receivedBytes: 0,
    connectUs: 0,
    rttUs: 0,
    connect: new Float64Array(BUCKETS),
    rtt: new Float64Array(BUCKETS),
    active: 0,
  };
  #reading = 0;

  constructor(options: FlowTableOptions) {
    this.#options = options;
    this.#flows = options.object.map('flows');
    this.#connections = options.object.map('connections');
    this.#scan = options.object.map('scan');
    this.#rows = new FlowRows(SHAPE, this.#flows.maxEntries);
    this.#batchSize = Math.min(BATCH, this.#flows.maxEntries);
    this.#keys = new Uint32Array((this.#batchSize * FLOW_KEY.sizeBytes) / 4);
    this.#values = new Uint32Array((this.#batchSize * FLOW.sizeBytes) / 4);
    for (const role of [ROLE.CLIENT, ROLE.SERVER]) {
      const key = new Uint8Array(FLOW_KEY.sizeBytes);
      key[FLOW_KEY.role] = role;
      this.#flows.update(key, new Uint8Array(FLOW.sizeBytes));
    }
  }

  get size(): number {
    return this.#rows.size;
  }

  /** Finds the sockets that processes hold already. Once, after the programs are attached. */
  adoptHeld(): void {
    for (const held of [HELD.LISTENERS, HELD.CLIENTS, HELD.SERVERS]) {
      this.#configure(false, held);
      this.#options.object.iterate('tcp_held');
    }
  }

  /** Hands what is new to the sink. `sample`: the round-trip times of open connections are observed as well. */
  read(sample: boolean): void {
    this.#reading++;
    this.#configure(sample);
    this.#options.object.iterate('tcp_open', this.#connections);
    const nowMs = this.#options.clock();
    this.#options.sink.begin();
    const [keys, values] = [new Uint8Array(this.#keys.buffer), new Uint8Array(this.#values.buffer)];
    let cursor: number | undefined;
    do {
      const { count, next } = this.#flows.batch(cursor, this.#batchSize, keys, values);
      for (let i = 0; i < count; i++) this.#one(i, nowMs);
      cursor = next;
    } while (cursor !== undefined);
    this.#forget(nowMs);
  }

  #configure(sample: boolean, held = 0): void {
    const value = new DataView(new ArrayBuffer(TCP_SCAN.sizeBytes));
    value.setBigUint64(TCP_SCAN.number, BigInt(this.#reading), true);
    value.setUint32(TCP_SCAN.sample, sample ? 1 : 0, true);
    value.setUint32(TCP_SCAN.held, held, true);
    this.#scan.update(new Uint8Array(4), new Uint8Array(value.buffer));
  }

  /** The flow in place `place` of the batch. */
  #one(place: number, nowMs: number): void {
    const rows = this.#rows;
    const keyAt = (place * FLOW_KEY.sizeBytes) / 4;
    let row = rows.find(this.#keys, keyAt);
    if (row < 0) row = rows.add(this.#keys, keyAt);
    if (row < 0) return;
    if (rows.changedMs[row] === 0) rows.changedMs[row] = nowMs;
    rows.reading[row] = this.#reading;
    const words = this.#values;
    const at = (place * FLOW.sizeBytes) / 4;
    const u64 = (offset: number) => words[at + (offset >> 2)]! + words[at + (offset >> 2) + 1]! * HIGH;
    const active = u64(FLOW.openScan) === this.#reading ? u64(FLOW.openCount) : 0;
    const sums = this.#sums;
    sums[WIDE.opened] = u64(FLOW.opened);
    for (let i = 0; i < FAILURE.COUNT; i++) sums[WIDE.failed + i] = u64(FLOW.failed + 8 * i);
    sums[WIDE.retransmits] = u64(FLOW.retransmits);
    sums[WIDE.sent] = u64(FLOW.sent);
    sums[WIDE.received] = u64(FLOW.received);
    sums[WIDE.connectUs] = u64(FLOW.connectUs);
    sums[WIDE.rttUs] = u64(FLOW.rttUs);
    const changed = this.#advance(row, at);
    if (!changed && active === 0) return;
    rows.changedMs[row] = nowMs;
    const namedAt = row * SHAPE.wide + NAMED_MS;
    let names = this.#namesOf[row];
    if (names === undefined || nowMs - rows.wide[namedAt]! > NAMES_MS) {
      names = this.#nameOf(rows.key(row), nowMs);
      this.#namesOf[row] = names;
      rows.wide[namedAt] = nowMs;
    }
    this.#change.active = active;
    this.#options.sink.flow(names, this.#change);
  }

  /** Fills #change with what is new; false when nothing is. `at`: the flow among the words of the batch. */
  #advance(row: number, at: number): boolean {
    const { wide, narrow } = this.#rows;
    let changed = false;
    for (let i = 0; i < SUMS; i++) {
      const place = row * SHAPE.wide + i;
      const more = Math.max(this.#sums[i]! - wide[place]!, 0);
      wide[place] = wide[place]! + more;
      this.#sums[i] = more;
      changed ||= more > 0;
    }
    const change = this.#change;
    change.opened = this.#sums[WIDE.opened]!;
    change.failed.set(this.#sums.subarray(WIDE.failed, WIDE.failed + FAILURE.COUNT));
    change.retransmits = this.#sums[WIDE.retransmits]!;
    change.sentBytes = this.#sums[WIDE.sent]!;
    change.receivedBytes = this.#sums[WIDE.received]!;
    change.connectUs = this.#sums[WIDE.connectUs]!;
    change.rttUs = this.#sums[WIDE.rttUs]!;
    for (const [buckets, offset, first] of [
      [change.connect, FLOW.connect, 0],
      [change.rtt, FLOW.rtt, BUCKETS],
    ] as const) {
      for (let i = 0; i < BUCKETS; i++) {
        const place = row * SHAPE.narrow + first + i;
        const now = this.#values[at + (offset >> 2) + i]!;
        // 32 bits wide, they go round.
        const more = (now - narrow[place]!) >>> 0;
        narrow[place] = now;
        buckets[i] = more;
        changed ||= more > 0;
      }
    }
    return changed;
  }

  #nameOf(key: Uint8Array, nowMs: number): FlowNames {
    const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
    const ownerId = view.getBigUint64(FLOW_KEY.owner, true);
    const peerId = view.getBigUint64(FLOW_KEY.peerOwner, true);
    const port = view.getUint16(FLOW_KEY.port, true);
    const role: Role = key[FLOW_KEY.role] === ROLE.SERVER ? 'server' : 'client';
    if (ownerId === 0n) return { owner: OVERFLOW_OWNER, peer: OVERFLOW_PEER, port: 0, role, twice: false };
    const peer = peerId === 0n ? this.#peerAt(key, role, port) : this.#workload(peerId);
    const twice = peerId !== 0n;
    if (nowMs - this.#namesMs > NAMES_MS || this.#names.size >= NAMES_LIMIT) {
      this.#names.clear();
      this.#namesMs = nowMs;
    }
    const id = [ownerId, role, port, twice, peer.namespace, peer.service, peer.kind].join('\0');
    let names = this.#names.get(id);
    if (names === undefined) {
      const owner = this.#options.owners.owner(ownerId) ?? UNKNOWN_OWNER;
      names = { owner, peer, port, role, twice };
      this.#names.set(id, names);
    }
    return names;
  }

  #workload(id: bigint): Peer {
    const { namespace, service } = this.#options.owners.owner(id) ?? UNKNOWN_OWNER;
    return { namespace, service, kind: 'workload' };
  }

  #peerAt(key: Uint8Array, role: Role, port: number): Peer {
    const address = key.subarray(FLOW_KEY.peer, FLOW_KEY.peer + FLOW_KEY.peerBytes);
    const peer = this.#options.peers.resolvePeer(addressText(address), role === 'client' ? port : 0);
    return peer ?? EXTERNAL;
  }

  /** What is gone from the kernel's table, and what has long been idle, there and here. */
  #forget(nowMs: number): void {
    const rows = this.#rows;
    const limit = rows.size > this.#flows.maxEntries / 2 ? CROWDED_IDLE_MS : IDLE_MS;
    const isGone = (row: number) => {
      if (rows.reading[row] !== this.#reading) return true;
      if (nowMs - rows.changedMs[row]! < limit) return false;
      const key = rows.key(row);
      // The overflow flows stay: their owner is 0.
      if (key.subarray(FLOW_KEY.owner, FLOW_KEY.owner + 8).every((byte) => byte === 0)) return false;
      this.#flows.delete(key);
      return true;
    };
    rows.remove(isGone, (from, to) => {
      this.#namesOf[to] = this.#namesOf[from];
    });
    this.#namesOf.length = Math.min(this.#namesOf.length, rows.size);
  }
}
