/**
 * Blanks what a recording must not hold. Of a chunk it keeps what is needed to read the same transactions from it again:
 * methods, versions, status codes, line ends, the names of the framing headers and what is known of their values, chunk
 * sizes. The target becomes `/xxx`, every other byte of a head `x`; bodies, tunnels and everything that is not understood
 * are left out, only their length stays.
 *
 * It decides byte by byte, whatever the cuts: a byte is written as itself only while it continues a word of a closed list
 * (methods, framing headers, their tokens), so of a secret no more survives than a beginning it shares with such a word.
 * What is no word of a list is written so that it stays wrong in the same way.
 *
 * It keeps a session for each connection; of more connections than Streams holds by default the one silent longest is
 * forgotten, and what follows of it is treated as a join.
 */

import { LRUCache } from 'lru-cache';
import type { ConnectionId, ConnectionInfo, Direction, TransactionSink } from '../../stream/contract.ts';
import { EGRESS, INGRESS } from '../../stream/contract.ts';
import { HeadBlanker } from './head-blanker.ts';
import { headParserPool } from './protocol.ts';
import { Http1Session } from './session.ts';
import type { ByteTrace } from './trace.ts';
import { REGION_CHUNK_SIZE, REGION_FAILED, REGION_HEAD, REGION_HEAD_START, REGION_LINE, REGION_LOST } from './trace.ts';

/** A piece of a chunk: `bytes` are its first ones, valid until the next call; the rest is left out. */
export interface RedactedPiece {
  readonly lengthBytes: number;
  readonly bytes: Uint8Array;
}

const MAX_CONNECTIONS = 65_536;

/** The kernel side sends the last bytes of a chunk behind its first ones, no more than these. */
const MAX_TAIL_BYTES = 8;

const LF = 0x0a;
const CR = 0x0d;
const ZERO = 0x30;
const BLANK = 0x78;

/** Bytes of the terminator of a chunked body that may stand at the end of a chunk: `CRLF 0 CRLF CRLF`. */
const TERMINATOR_BYTES = 7;

const UNKNOWN = -1;

const NO_BYTES = new Uint8Array(0);

const NO_SINK: TransactionSink = { transaction: () => {}, incomplete: () => {} };
const NO_ONE: ConnectionInfo = {
  id: 0,
  owner: { pid: 0, comm: '', namespace: '', pod: '', container: '', service: '' },
  scheme: 'http',
  local: undefined,
  remote: undefined,
};

class DirectionRedactor implements ByteTrace {
  position = UNKNOWN;
  readonly #blanker = new HeadBlanker();
  #bytes: Uint8Array = NO_BYTES;
  #start = 0;
  /** What is written for each byte of the chunk, where `#kept` is 1. */
  #out: Uint8Array = NO_BYTES;
  #kept: Uint8Array = NO_BYTES;

  /** `out` and `kept` are as long as the bytes of the chunk; `kept` is all 0. */
  begin(bytes: Uint8Array, start: number, out: Uint8Array, kept: Uint8Array): void {
    this.#bytes = bytes;
    this.#start = start;
    this.#out = out;
    this.#kept = kept;
  }

  region(region: number, from: number, to: number): void {
    switch (region) {
      case REGION_HEAD_START:
        this.#blanker.begin();
        break;
      case REGION_HEAD:
        for (let at = from; at < to; at++) this.#keep(at, this.#blanker.next(this.#bytes[at]!));
        break;
      case REGION_FAILED:
        this.#keep(from, 0);
        break;
      case REGION_CHUNK_SIZE:
        for (let at = from; at < to; at++) this.#keep(at, this.#bytes[at]!);
        break;
      case REGION_LINE:
        for (let at = from; at < to; at++) this.#keep(at, lineByte(this.#bytes[at]!));
        break;
      case REGION_LOST:
        this.#keepTerminator(from, to);
        break;
    }
  }

  /** The runs of `out` that are kept, each with what is left out behind it; together `lengthBytes`. */
  pieces(lengthBytes: number): RedactedPiece[] {
    const pieces: RedactedPiece[] = [];
    const kept = this.#kept;
    let at = 0;
    while (at < kept.length) {
      const from = at;
      while (at < kept.length && kept[at] === 1) at++;
      const bytes = this.#out.subarray(from, at);
      while (at < kept.length && kept[at] === 0) at++;
      const rest = at === kept.length ? lengthBytes - at : 0;
      pieces.push({ lengthBytes: at - from + rest, bytes });
    }
    if (pieces.length === 0 && lengthBytes > 0) pieces.push({ lengthBytes, bytes: NO_BYTES });
    return pieces;
  }

  #keep(at: number, byte: number): void {
    this.#out[at - this.#start] = byte;
    this.#kept[at - this.#start] = 1;
  }

  /** Enough of the end to tell whether the terminator stands there, with one `x` where something else is before it. */
  #keepTerminator(from: number, to: number): void {
    let at = to;
    while (at > from && to - at < TERMINATOR_BYTES && isTerminatorByte(this.#bytes[at - 1]!)) at--;
    for (let i = at; i < to; i++) this.#keep(i, this.#bytes[i]!);
    if (at > from && to - at < TERMINATOR_BYTES) this.#keep(at - 1, BLANK);
  }
}

function isTerminatorByte(c: number): boolean {
  return c === CR || c === LF || c === ZERO;
}

/** Of chunk extensions and trailers only the shape stays. */
function lineByte(c: number): number {
  return c === CR || c === LF || c === 0x3b || c === 0x20 || c === 0x09 ? c : BLANK;
}

class ConnectionRedactor {
  readonly directions = [new DirectionRedactor(), new DirectionRedactor()] as const;
  readonly session = new Http1Session(NO_ONE, NO_SINK, headParserPool());
  timeNs = 0;
  /** By direction: the last chunk was not captured to its end. */
  readonly truncated = [false, false];

  constructor() {
    this.session.watch(this.directions[INGRESS], this.directions[EGRESS]);
  }
}

export class Http1Redactor {
  readonly #connections: LRUCache<ConnectionId, ConnectionRedactor>;
  #out: Uint8Array = NO_BYTES;
  #kept: Uint8Array = NO_BYTES;

  constructor(maxConnections: number = MAX_CONNECTIONS) {
    this.#connections = new LRUCache({
      max: maxConnections,
      dispose: (connection) => connection.session.close(connection.timeNs, 'evicted'),
    });
  }

  /**
   * The arguments are those of ChunkSink.data(); -1 as the position: follows the last chunk. Without a time, up to 8 bytes
   * that follow bytes not captured are taken for the tail of that chunk. Returns pieces that together are as long as it.
   */
  redact(
    id: ConnectionId,
    direction: Direction,
    position: number,
    lengthBytes: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    timeNs?: number,
  ): RedactedPiece[] {
    const connection = this.#find(id);
    const { session, truncated } = connection;
    const redactor = connection.directions[direction];
    const expected = redactor.position;
    const follows = position === UNKNOWN || position === expected;
    const isTail = truncated[direction] && follows && lengthBytes <= MAX_TAIL_BYTES;
    const now = timeNs ?? connection.timeNs + (isTail ? 0 : 1);
    connection.timeNs = now;
    const to = Math.min(end, start + lengthBytes);
    let from = start;
    let length = lengthBytes;
    if (!follows && expected !== UNKNOWN) {
      if (position > expected) {
        session.gap(direction, now, position - expected, 'lost');
      } else {
        const late = Math.min(expected - position, length);
        length -= late;
        from = Math.min(from + late, to);
      }
    }
    this.#begin(redactor, bytes, start, to);
    if (length > 0) {
      redactor.position = (position === UNKNOWN ? Math.max(0, expected) : position) + lengthBytes;
      if (from < to) session.data(direction, now, bytes, from, to);
      const missing = length - (to - from);
      if (missing > 0) session.gap(direction, now, missing, 'truncated');
      truncated[direction] = missing > 0;
    }
    return redactor.pieces(lengthBytes);
  }

  /** Forgets the connection. */
  close(id: ConnectionId): void {
    this.#connections.delete(id);
  }

  #find(id: ConnectionId): ConnectionRedactor {
    let connection = this.#connections.get(id);
    if (connection === undefined) {
      connection = new ConnectionRedactor();
      this.#connections.set(id, connection);
    }
    return connection;
  }

  #begin(redactor: DirectionRedactor, bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (length > this.#out.length) {
      this.#out = new Uint8Array(length);
      this.#kept = new Uint8Array(length);
    }
    this.#kept.fill(0, 0, length);
    redactor.begin(bytes, start, this.#out.subarray(0, length), this.#kept.subarray(0, length));
  }
}
