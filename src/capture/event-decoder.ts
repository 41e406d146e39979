/**
 * From the records that the kernel wrote to calls of a ChunkSink. Trusts the layout (it is generated from the same
 * header), not the lengths: a record that claims more than it holds ends the batch and is counted. On the path of a data
 * record nothing is allocated.
 */

import {
  BOUND_EVENT,
  CGROUP_EVENT,
  CLOSE_EVENT,
  DATA_EVENT,
  END_EVENT,
  EVENT_HEADER,
  EVENT_KIND,
  OPEN_EVENT,
  PIECE,
  PROCESS_EVENT,
} from '../abi/events.ts';
import type { ChunkSink, ConnectionId, ConnectionInfo, Direction, Owner } from '../stream/contract.ts';
import { formatEndpoint } from './address.ts';
import { TlsConnections } from './tls-connections.ts';

/** What the kernel knew of a process when it wrote the record. */
export interface ProcessHint {
  /** CLOCK_BOOTTIME */
  readonly startTimeNs: number;
  readonly executable: string;
  readonly comm: string;
  readonly cgroupId: number;
}

export interface ProcessSink {
  owner(pid: number, hint?: ProcessHint): Owner;
  exec(pid: number, hint: ProcessHint): void;
  exit(pid: number): void;
  /** A process in which no TLS probe has fired speaks TLS. */
  tlsSeen(pid: number): void;
  /** The SSL object is gone without a word: the kernel's entry for it may go. */
  tlsReleased(pid: number, ssl: number): void;
  /** A directory of the cgroup v2 hierarchy, by its inode and its path from the root. */
  cgroupMade(id: number, path: string): void;
  cgroupGone(id: number): void;
}

const KIND_NAMES: Readonly<Record<number, string>> = {
  [EVENT_KIND.OPEN]: 'open',
  [EVENT_KIND.DATA]: 'data',
  [EVENT_KIND.END]: 'end',
  [EVENT_KIND.CLOSE]: 'close',
  [EVENT_KIND.EXEC]: 'exec',
  [EVENT_KIND.EXIT]: 'exit',
  [EVENT_KIND.TLS_SEEN]: 'tls_seen',
  [EVENT_KIND.BOUND]: 'bound',
  [EVENT_KIND.CGROUP_MADE]: 'cgroup_made',
  [EVENT_KIND.CGROUP_GONE]: 'cgroup_gone',
};
const HIGH = 2 ** 32;

export class EventDecoder {
  readonly #sink: ChunkSink;
  readonly #processes: ProcessSink;
  readonly #tls = new TlsConnections();
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #halves: Uint16Array;
  readonly #counts = new Float64Array(16);
  #malformed = 0;

  /** `batch` is what every decode() reads; it begins at a multiple of 8 bytes. */
  constructor(batch: Uint8Array, sink: ChunkSink, processes: ProcessSink) {
    this.#bytes = batch;
    this.#words = new Uint32Array(batch.buffer, batch.byteOffset, batch.byteLength >> 2);
    this.#halves = new Uint16Array(batch.buffer, batch.byteOffset, batch.byteLength >> 1);
    this.#sink = sink;
    this.#processes = processes;
  }

  /** Records since the start, by kind. */
  eventsByKind(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const [kind, name] of Object.entries(KIND_NAMES)) counts[name] = this.#counts[Number(kind)]!;
    if (this.#malformed > 0) counts.malformed = this.#malformed;
    return counts;
  }

  isTls(id: ConnectionId): boolean {
    return this.#tls.has(id);
  }

  /** TLS connections that ended and had no address at any time. */
  get unbound(): number {
    return this.#tls.unbound;
  }

  get tlsConnections(): number {
    return this.#tls.size;
  }

  /** Decodes the records in the first `filledBytes` of the batch. */
  decode(filledBytes: number): void {
    let at = 0;
    while (at + EVENT_HEADER.sizeBytes <= filledBytes) {
      const size = this.#words[at >> 2]!;
      if (size < EVENT_HEADER.sizeBytes || at + size > filledBytes) {
        this.#malformed++;
        return;
      }
      this.#record(at, size);
      at += (size + 7) & ~7;
    }
  }

  #record(at: number, size: number): void {
    const kind = this.#halves[(at + EVENT_HEADER.kind) >> 1]!;
    if (kind === EVENT_KIND.DATA) {
      this.#data(at, size);
    } else if (kind === EVENT_KIND.OPEN && size >= OPEN_EVENT.sizeBytes) {
      this.#open(at);
    } else if (kind === EVENT_KIND.END && size >= END_EVENT.sizeBytes) {
      const direction = this.#bytes[at + END_EVENT.direction]! as Direction;
      this.#sink.end(this.#u64(at + EVENT_HEADER.connection), this.#u64(at + EVENT_HEADER.timeNs), direction);
    } else if (kind === EVENT_KIND.CLOSE && size >= CLOSE_EVENT.sizeBytes) {
      const id = this.#u64(at + EVENT_HEADER.connection);
      this.#tls.closed(id);
      const reset = this.#bytes[at + CLOSE_EVENT.reset]! !== 0;
      this.#sink.close(id, this.#u64(at + EVENT_HEADER.timeNs), reset ? 'reset' : 'orderly');
    } else if (kind === EVENT_KIND.BOUND && size >= BOUND_EVENT.sizeBytes) {
      this.#bound(at);
    } else if (kind >= EVENT_KIND.EXEC && kind <= EVENT_KIND.TLS_SEEN && size >= PROCESS_EVENT.sizeBytes) {
      this.#process(at, kind);
    } else if (kind === EVENT_KIND.CGROUP_MADE && size >= CGROUP_EVENT.sizeBytes) {
      const path = this.#text(at + CGROUP_EVENT.path, CGROUP_EVENT.pathBytes);
      this.#processes.cgroupMade(this.#u64(at + CGROUP_EVENT.cgroupId), path);
    } else if (kind === EVENT_KIND.CGROUP_GONE && size >= CGROUP_EVENT.sizeBytes) {
      this.#processes.cgroupGone(this.#u64(at + CGROUP_EVENT.cgroupId));
    } else {
      this.#malformed++;
      return;
    }
    this.#counts[kind] = this.#counts[kind]! + 1;
  }

  #data(at: number, size: number): void {
    const id = this.#u64(at + EVENT_HEADER.connection);
    const pid = this.#words[(at + EVENT_HEADER.pid) >> 2]!;
    const timeNs = this.#u64(at + EVENT_HEADER.timeNs);
    const position = this.#u64(at + DATA_EVENT.position);
    const lengthBytes = this.#words[(at + DATA_EVENT.length) >> 2]!;
    const captured = this.#words[(at + DATA_EVENT.captured) >> 2]!;
    const direction = this.#bytes[at + DATA_EVENT.direction]! as Direction;
    const tail = this.#bytes[at + DATA_EVENT.tail]!;
    if (direction > 1) {
      this.#malformed++;
      return;
    }
    const pieces = this.#bytes[at + DATA_EVENT.pieces]!;
    const slots = this.#bytes[at + DATA_EVENT.slots]!;
    if (pieces > 0) {
      const table = at + DATA_EVENT.sizeBytes;
      const from = table + slots * PIECE.sizeBytes;
      if (pieces > slots || from + captured > at + size || !this.#piecesFit(table, pieces, lengthBytes, captured)) {
        this.#malformed++;
      } else {
        this.#pieces(id, pid, timeNs, direction, position, table, pieces, from);
      }
      return;
    }
    const start = at + DATA_EVENT.sizeBytes;
    if (size < DATA_EVENT.sizeBytes + captured + tail || captured + tail > lengthBytes) {
      this.#malformed++;
      return;
    }
    const middle = start + captured;
    this.#sink.data(id, pid, timeNs, direction, position, lengthBytes - tail, this.#bytes, start, middle);
    if (tail > 0) {
      const tailPosition = position + lengthBytes - tail;
      this.#sink.data(id, pid, timeNs, direction, tailPosition, tail, this.#bytes, middle, middle + tail);
    }
  }

  #piecesFit(table: number, pieces: number, lengthBytes: number, captured: number): boolean {
    let lengths = 0;
    let bytes = 0;
    for (let piece = table; piece < table + pieces * PIECE.sizeBytes; piece += PIECE.sizeBytes) {
      const length = this.#words[(piece + PIECE.length) >> 2]!;
      const kept = this.#words[(piece + PIECE.captured) >> 2]!;
      if (kept > length) return false;
      lengths += length;
      bytes += kept;
    }
    return lengths === lengthBytes && bytes === captured;
  }

  #pieces(
    id: number,
    pid: number,
    timeNs: number,
    direction: Direction,
    position: number,
    table: number,
    pieces: number,
    from: number,
  ): void {
    let next = position;
    let start = from;
    for (let piece = table; piece < table + pieces * PIECE.sizeBytes; piece += PIECE.sizeBytes) {
      const length = this.#words[(piece + PIECE.length) >> 2]!;
      const end = start + this.#words[(piece + PIECE.captured) >> 2]!;
      this.#sink.data(id, pid, timeNs, direction, next, length, this.#bytes, start, end);
      next += length;
      start = end;
    }
  }

  #open(at: number): void {
    const id = this.#u64(at + EVENT_HEADER.connection);
    const pid = this.#words[(at + EVENT_HEADER.pid) >> 2]!;
    const timeNs = this.#u64(at + EVENT_HEADER.timeNs);
    const ssl = this.#u64(at + OPEN_EVENT.tls);
    const info: ConnectionInfo = {
      id,
      owner: this.#processes.owner(pid, this.#hint(at, OPEN_EVENT)),
      scheme: ssl === 0 ? 'http' : 'https',
      ...this.#ends(at, OPEN_EVENT),
    };
    if (ssl !== 0) {
      // The kernel's table forgot the SSL object, or its end was lost: what it was before is over.
      const before = this.#tls.opened({ id, pid, ssl, bound: info.remote !== undefined });
      if (before) this.#sink.close(before.id, timeNs, 'reset');
    }
    this.#sink.open(info, timeNs);
  }

  #bound(at: number): void {
    const id = this.#u64(at + EVENT_HEADER.connection);
    const { local, remote } = this.#ends(at, BOUND_EVENT);
    if (remote !== undefined) this.#tls.bound(id);
    this.#sink.bound?.(id, this.#u64(at + EVENT_HEADER.timeNs), local, remote);
  }

  #ends(at: number, layout: typeof OPEN_EVENT | typeof BOUND_EVENT): Pick<ConnectionInfo, 'local' | 'remote'> {
    const family = this.#halves[(at + layout.family) >> 1]!;
    const local = this.#bytes.subarray(at + layout.local, at + layout.local + layout.localBytes);
    const remote = this.#bytes.subarray(at + layout.remote, at + layout.remote + layout.remoteBytes);
    return {
      local: formatEndpoint(family, local, this.#halves[(at + layout.localPort) >> 1]!),
      remote: formatEndpoint(family, remote, this.#halves[(at + layout.remotePort) >> 1]!),
    };
  }

  #process(at: number, kind: number): void {
    const pid = this.#words[(at + EVENT_HEADER.pid) >> 2]!;
    if (kind === EVENT_KIND.TLS_SEEN) {
      this.#processes.tlsSeen(pid);
      return;
    }
    // Both end what the old image held: SSL objects go with the memory they lie in.
    const timeNs = this.#u64(at + EVENT_HEADER.timeNs);
    for (const { id, ssl } of this.#tls.released(pid)) {
      this.#sink.close(id, timeNs, 'reset');
      this.#processes.tlsReleased(pid, ssl);
    }
    if (kind === EVENT_KIND.EXEC) this.#processes.exec(pid, this.#hint(at, PROCESS_EVENT));
    else this.#processes.exit(pid);
  }

  #hint(at: number, layout: typeof OPEN_EVENT | typeof PROCESS_EVENT): ProcessHint {
    return {
      startTimeNs: this.#u64(at + layout.processStartNs),
      cgroupId: this.#u64(at + layout.cgroupId),
      comm: this.#text(at + layout.comm, layout.commBytes),
      executable: this.#text(at + layout.executable, layout.executableBytes),
    };
  }

  /** A number below 2^53, or a time that may lose its last bit. */
  #u64(at: number): number {
    const word = at >> 2;
    return this.#words[word]! + this.#words[word + 1]! * HIGH;
  }

  #text(at: number, limit: number): string {
    const end = this.#bytes.indexOf(0, at);
    const length = end < 0 || end > at + limit ? limit : end - at;
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + at, length).toString('utf8');
  }
}
