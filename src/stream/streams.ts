/**
 * Puts the chunks of all connections into order and hands them to the protocol that understands them: positions become
 * gaps, bytes that were seen before are skipped, the first bytes decide on the protocol.
 *
 * It guesses nothing: bytes that no protocol begins with are dropped and counted, chunk by chunk, and the next chunk is
 * asked anew, as a connection may be joined in the middle or change what it speaks. It keeps no payload but the up to 24
 * bytes of a direction that may yet become a start line, no clock and no timer. The table is bounded: the connection that
 * was silent longest is evicted. The path of a chunk allocates nothing.
 */

import { LRUCache } from 'lru-cache';
import type {
  ChunkSink,
  CloseKind,
  ConnectionId,
  ConnectionInfo,
  Direction,
  Match,
  Owner,
  Protocol,
  Session,
  TransactionSink,
} from './contract.ts';
import { EGRESS, INGRESS } from './contract.ts';

/** Position of a direction of which nothing has been seen. */
const UNKNOWN = -1;

/** Enough for every protocol to tell: see Protocol.matches. */
const MAX_PENDING_BYTES = 24;

export const DEFAULT_MAX_CONNECTIONS = 65_536;

export interface StreamsOptions {
  readonly protocols: readonly Protocol[];
  readonly sink: TransactionSink;
  /** Who a connection belongs to that was never announced. */
  describe(id: ConnectionId, pid: number): ConnectionInfo;
  /** Called when a chunk comes from another process than the last one. */
  ownerOf(pid: number): Owner;
  /** DEFAULT_MAX_CONNECTIONS when not given. */
  readonly maxConnections?: number;
}

export interface StreamsStats {
  /** In the table now. */
  connections: number;
  /** Chunks that no protocol understood. */
  droppedChunks: number;
  /** Bytes that came late or twice. */
  lateBytes: number;
  /** Connections that the full table threw out. */
  evicted: number;
  /** Bytes of understood connections that are missing against our will. */
  lostBytes: number;
  /** Bytes of understood connections that were not captured on purpose. */
  truncatedBytes: number;
}

/** The first bytes of a direction that are not enough to tell the protocol. */
interface Pending {
  readonly bytes: Uint8Array;
  lengthBytes: number;
  timeNs: number;
}

class Connection {
  readonly info: ConnectionInfo;
  pid: number;
  session: Session | undefined;
  ingressPosition = UNKNOWN;
  egressPosition = UNKNOWN;
  lastTimeNs: number;
  readonly pending: [Pending | undefined, Pending | undefined] = [undefined, undefined];

  constructor(info: ConnectionInfo, timeNs: number) {
    this.info = info;
    this.pid = info.owner.pid;
    this.lastTimeNs = timeNs;
  }
}

export class Streams implements ChunkSink {
  readonly stats: StreamsStats = {
    connections: 0,
    droppedChunks: 0,
    lateBytes: 0,
    evicted: 0,
    lostBytes: 0,
    truncatedBytes: 0,
  };
  readonly #options: StreamsOptions;
  readonly #connections: LRUCache<ConnectionId, Connection>;
  /** The connection of the last chunk: it is the most recently used one, so the table need not be asked for it. */
  #lastId: ConnectionId | undefined;
  #last: Connection | undefined;

  constructor(options: StreamsOptions) {
    this.#options = options;
    this.#connections = new LRUCache({
      max: options.maxConnections ?? DEFAULT_MAX_CONNECTIONS,
      dispose: (connection, id, reason) => {
        if (reason === 'evict') this.#evict(id, connection);
      },
    });
  }

  open(info: ConnectionInfo, timeNs: number): void {
    // The end of the one before was missed: what it owed cannot be known.
    this.close(info.id, timeNs, 'reset');
    this.#add(info, timeNs);
  }

  data(
    id: ConnectionId,
    pid: number,
    timeNs: number,
    direction: Direction,
    position: number,
    lengthBytes: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const connection = id === this.#lastId ? this.#last! : this.#find(id, pid, timeNs);
    if (connection.pid !== pid) {
      connection.pid = pid;
      connection.info.owner = this.#options.ownerOf(pid);
    }
    connection.lastTimeNs = timeNs;
    const expected = direction === INGRESS ? connection.ingressPosition : connection.egressPosition;
    let length = lengthBytes;
    let from = start;
    const to = Math.min(end, start + lengthBytes);
    if (position !== UNKNOWN && expected !== UNKNOWN && position !== expected) {
      if (position > expected) {
        this.#lost(connection, direction, timeNs, position - expected);
      } else {
        const late = Math.min(expected - position, length);
        this.stats.lateBytes += late;
        length -= late;
        from = Math.min(from + late, to);
      }
    }
    if (length <= 0) return;
    const next = position === UNKNOWN ? (expected === UNKNOWN ? 0 : expected) + lengthBytes : position + lengthBytes;
    if (direction === INGRESS) connection.ingressPosition = next;
    else connection.egressPosition = next;

    if (connection.session?.isMistaken === true) connection.session = undefined;
    if (connection.session === undefined) {
      if (from < to) this.#detect(connection, direction, next - length, timeNs, bytes, from, to);
      else this.#drop(connection, direction);
    } else if (from < to) {
      connection.session.data(direction, timeNs, bytes, from, to);
    }
    const missing = length - (to - from);
    if (missing > 0) this.#truncated(connection, direction, timeNs, missing);
  }

  bound(id: ConnectionId, _timeNs: number, local: string | undefined, remote: string | undefined): void {
    const connection = this.#connections.peek(id);
    if (connection === undefined) return;
    connection.info.local = local;
    connection.info.remote = remote;
  }

  end(id: ConnectionId, timeNs: number, direction: Direction): void {
    this.#connections.get(id)?.session?.end(direction, timeNs);
  }

  close(id: ConnectionId, timeNs: number, kind: CloseKind): void {
    const connection = this.#connections.peek(id);
    if (connection === undefined) return;
    this.#forget(id);
    this.#connections.delete(id);
    this.stats.connections = this.#connections.size;
    connection.session?.close(timeNs, kind);
  }

  #find(id: ConnectionId, pid: number, timeNs: number): Connection {
    const connection = this.#connections.get(id) ?? this.#add(this.#options.describe(id, pid), timeNs);
    this.#lastId = id;
    this.#last = connection;
    return connection;
  }

  #add(info: ConnectionInfo, timeNs: number): Connection {
    const connection = new Connection(info, timeNs);
    this.#connections.set(info.id, connection);
    this.#forget(this.#lastId);
    this.stats.connections = this.#connections.size;
    return connection;
  }

  /** The shortcut to the last connection ends when it goes, and when another becomes the most recently used one. */
  #forget(id: ConnectionId | undefined): void {
    if (id !== this.#lastId) return;
    this.#lastId = undefined;
    this.#last = undefined;
  }

  #evict(id: ConnectionId, connection: Connection): void {
    this.#forget(id);
    this.stats.evicted++;
    connection.session?.close(connection.lastTimeNs, 'evicted');
  }

  #lost(connection: Connection, direction: Direction, timeNs: number, lengthBytes: number): void {
    connection.pending[direction] = undefined;
    if (connection.session === undefined) return;
    this.stats.lostBytes += lengthBytes;
    connection.session.gap(direction, timeNs, lengthBytes, 'lost');
  }

  #truncated(connection: Connection, direction: Direction, timeNs: number, lengthBytes: number): void {
    connection.pending[direction] = undefined;
    if (connection.session === undefined) return;
    this.stats.truncatedBytes += lengthBytes;
    connection.session.gap(direction, timeNs, lengthBytes, 'truncated');
  }

  #drop(connection: Connection, direction: Direction): void {
    connection.pending[direction] = undefined;
    this.stats.droppedChunks++;
  }

  #detect(
    connection: Connection,
    direction: Direction,
    position: number,
    timeNs: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const pending = connection.pending[direction];
    const before = pending?.lengthBytes ?? 0;
    let window = bytes;
    let from = start;
    let to = end;
    if (pending !== undefined) {
      const length = Math.min(MAX_PENDING_BYTES - before, end - start);
      for (let i = 0; i < length; i++) pending.bytes[before + i] = bytes[start + i]!;
      window = pending.bytes;
      from = 0;
      to = before + length;
    }
    let best: Match = 'no';
    for (const protocol of this.#options.protocols) {
      const match = protocol.matches(window, from, to);
      if (match === 'yes') {
        if (position === before) this.#beginsBoth(connection);
        this.#begin(connection, protocol, direction, timeNs, bytes, start, end);
        return;
      }
      if (match === 'more') best = match;
    }
    if (best === 'no' || to - from >= MAX_PENDING_BYTES) {
      this.#drop(connection, direction);
    } else if (pending === undefined) {
      const kept = { bytes: new Uint8Array(MAX_PENDING_BYTES), lengthBytes: to - from, timeNs };
      for (let i = from; i < to; i++) kept.bytes[i - from] = window[i]!;
      connection.pending[direction] = kept;
    } else {
      pending.lengthBytes = to;
    }
  }

  /**
   * The first bytes ever seen of one direction begin a message, so the connection was seen from its beginning, and what
   * is missing at the beginning of the other direction is lost. Of a connection that was joined nobody can tell.
   */
  #beginsBoth(connection: Connection): void {
    if (connection.ingressPosition === UNKNOWN) connection.ingressPosition = 0;
    if (connection.egressPosition === UNKNOWN) connection.egressPosition = 0;
  }

  /** What was pending comes first, in the order of its time, each with the time at which it was seen. */
  #begin(
    connection: Connection,
    protocol: Protocol,
    direction: Direction,
    timeNs: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const session = protocol.open(connection.info, this.#options.sink);
    connection.session = session;
    const [ingress, egress] = connection.pending;
    connection.pending[INGRESS] = undefined;
    connection.pending[EGRESS] = undefined;
    const egressFirst = egress !== undefined && ingress !== undefined && egress.timeNs < ingress.timeNs;
    if (egressFirst) session.data(EGRESS, egress.timeNs, egress.bytes, 0, egress.lengthBytes);
    if (ingress) session.data(INGRESS, ingress.timeNs, ingress.bytes, 0, ingress.lengthBytes);
    if (egress && !egressFirst) session.data(EGRESS, egress.timeNs, egress.bytes, 0, egress.lengthBytes);
    session.data(direction, timeNs, bytes, start, end);
  }
}
