/**
 * The sums of the TCP programs, read when somebody asks: what came since the last reading goes to a sink, by workload and
 * peer. Between readings nothing is done here, however much traffic there is.
 *
 * The bytes of a connection are told twice by the kernel side: as those of open connections while it is open, as those of closed ones
 * after. A connection that closes in the middle of a reading is in both, so what is told never falls: it is right at the next one.
 *
 * Limits: as many flows as the kernel's table holds. What has been idle for long is deleted there and forgotten here.
 */

import { FAILURE, FLOW, FLOW_KEY, HELD, ROLE, TCP_SCAN } from '../abi/events.ts';
import type { BpfMap, BpfObject } from '../native.ts';
import type { Owner, Peer, PeerResolver, Role } from '../stream/contract.ts';
import { addressText } from './address.ts';
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
const HIGH = 2 ** 32;

const OVERFLOW = '_overflow';
const OVERFLOW_OWNER: Owner = { pid: 0, comm: '', namespace: '', pod: '', container: '', service: OVERFLOW };
const UNKNOWN_OWNER: Owner = { ...OVERFLOW_OWNER, service: 'unknown' };
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
/** Places in a row of numbers. */
const AT = {
  opened: 0,
  failed: 1,
  retransmits: 7,
  sent: 8,
  received: 9,
  connectUs: 10,
  rttUs: 11,
  connect: 12,
  rtt: 29,
};
const ROW = AT.rtt + BUCKETS;

interface Row {
  names: FlowNames;
  namedMs: number;
  readonly last: Float64Array;
  changedMs: number;
  reading: number;
}

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
  readonly #rows = new Map<string, Row>();
  readonly #now = new Float64Array(ROW);
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
    const { keys, values } = this.#flows.entries();
    const words = new Uint32Array(values.buffer, values.byteOffset, values.byteLength >> 2);
    const nowMs = this.#options.clock();
    this.#options.sink.begin();
    const count = keys.length / FLOW_KEY.sizeBytes;
    for (let i = 0; i < count; i++) {
      const key = keys.subarray(i * FLOW_KEY.sizeBytes, (i + 1) * FLOW_KEY.sizeBytes);
      this.#one(key, words, (i * FLOW.sizeBytes) >> 2, nowMs);
    }
    this.#forget(nowMs);
  }

  #configure(sample: boolean, held = 0): void {
    const value = new DataView(new ArrayBuffer(TCP_SCAN.sizeBytes));
    value.setBigUint64(TCP_SCAN.number, BigInt(this.#reading), true);
    value.setUint32(TCP_SCAN.sample, sample ? 1 : 0, true);
    value.setUint32(TCP_SCAN.held, held, true);
    this.#scan.update(new Uint8Array(4), new Uint8Array(value.buffer));
  }

  #one(key: Uint8Array, words: Uint32Array, at: number, nowMs: number): void {
    const text = Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
    let row = this.#rows.get(text);
    if (row === undefined) {
      const names = this.#names(key);
      row = { names, namedMs: nowMs, last: new Float64Array(ROW), changedMs: nowMs, reading: 0 };
      this.#rows.set(text, row);
    } else if (nowMs - row.namedMs > NAMES_MS) {
      row.names = this.#names(key);
      row.namedMs = nowMs;
    }
    row.reading = this.#reading;
    const u64 = (offset: number) => words[at + (offset >> 2)]! + words[at + (offset >> 2) + 1]! * HIGH;
    const isOpen = u64(FLOW.openScan) === this.#reading;
    const active = isOpen ? u64(FLOW.openCount) : 0;
    const now = this.#now;
    now[AT.opened] = u64(FLOW.opened);
    for (let i = 0; i < FAILURE.COUNT; i++) now[AT.failed + i] = u64(FLOW.failed + 8 * i);
    now[AT.retransmits] = u64(FLOW.retransmits);
    now[AT.sent] = u64(FLOW.sent) + (isOpen ? u64(FLOW.openSent) : 0);
    now[AT.received] = u64(FLOW.received) + (isOpen ? u64(FLOW.openReceived) : 0);
    now[AT.connectUs] = u64(FLOW.connectUs);
    now[AT.rttUs] = u64(FLOW.rttUs);
    for (let i = 0; i < BUCKETS; i++) {
      now[AT.connect + i] = words[at + (FLOW.connect >> 2) + i]!;
      now[AT.rtt + i] = words[at + (FLOW.rtt >> 2) + i]!;
    }
    const changed = this.#advance(row.last, now);
    if (changed || active > 0) row.changedMs = nowMs;
    if (!changed && active === 0) return;
    this.#change.active = active;
    this.#options.sink.flow(row.names, this.#change);
  }

  /** Fills #change with what is new; false when nothing is. */
  #advance(last: Float64Array, now: Float64Array): boolean {
    let changed = false;
    for (let i = 0; i < ROW; i++) {
      const before = last[i]!;
      // Buckets are 32 bits wide and go round.
      const wrapped = i >= AT.connect && now[i]! < before ? HIGH : 0;
      const more = Math.max(now[i]! + wrapped - before, 0);
      last[i] = wrapped > 0 ? now[i]! : before + more;
      now[i] = more;
      if (more > 0) changed = true;
    }
    const change = this.#change;
    change.opened = now[AT.opened]!;
    change.failed.set(now.subarray(AT.failed, AT.failed + FAILURE.COUNT));
    change.retransmits = now[AT.retransmits]!;
    change.sentBytes = now[AT.sent]!;
    change.receivedBytes = now[AT.received]!;
    change.connectUs = now[AT.connectUs]!;
    change.rttUs = now[AT.rttUs]!;
    change.connect.set(now.subarray(AT.connect, AT.connect + BUCKETS));
    change.rtt.set(now.subarray(AT.rtt, AT.rtt + BUCKETS));
    return changed;
  }

  #names(key: Uint8Array): FlowNames {
    const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
    const ownerId = view.getBigUint64(FLOW_KEY.owner, true);
    const peerId = view.getBigUint64(FLOW_KEY.peerOwner, true);
    const port = view.getUint16(FLOW_KEY.port, true);
    const role: Role = key[FLOW_KEY.role] === ROLE.SERVER ? 'server' : 'client';
    if (ownerId === 0n) return { owner: OVERFLOW_OWNER, peer: OVERFLOW_PEER, port: 0, role, twice: false };
    const owner = this.#options.owners.owner(ownerId) ?? UNKNOWN_OWNER;
    const base = { owner, port, role, twice: peerId !== 0n };
    if (peerId !== 0n) {
      const { namespace, service } = this.#options.owners.owner(peerId) ?? UNKNOWN_OWNER;
      return { ...base, peer: { namespace, service, kind: 'workload' } };
    }
    const address = key.subarray(FLOW_KEY.peer, FLOW_KEY.peer + FLOW_KEY.peerBytes);
    const peer = this.#options.peers.resolvePeer(addressText(address), role === 'client' ? port : 0);
    return { ...base, peer: peer ?? { namespace: '', service: 'external', kind: 'external' } };
  }

  /** What is gone from the kernel's table, and what has long been idle, there and here. */
  #forget(nowMs: number): void {
    const limit = this.#rows.size > this.#flows.maxEntries / 2 ? CROWDED_IDLE_MS : IDLE_MS;
    for (const [text, row] of this.#rows) {
      if (row.reading === this.#reading && (nowMs - row.changedMs < limit || row.names.owner === OVERFLOW_OWNER)) {
        continue;
      }
      if (row.reading === this.#reading) this.#flows.delete(new Uint8Array(Buffer.from(text, 'latin1')));
      this.#rows.delete(text);
    }
  }
}
