/**
 * The records that the host program writes, taken apart and held against bpf/events.h: sizes, kinds, reserved bytes,
 * bounds. What passes here must also pass the decoder of the agent, which sees the same bytes as one batch.
 */

import assert from 'node:assert/strict';
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
} from '../../src/abi/events.ts';
import { EventDecoder } from '../../src/capture/event-decoder.ts';

export interface DataRecord {
  readonly kind: 'data';
  readonly source: number;
  readonly pid: number;
  readonly tid: number;
  readonly connection: number;
  readonly position: number;
  readonly timeNs: number;
  readonly length: number;
  readonly direction: number;
  /** The first bytes of the chunk; with pieces, those of all of them. */
  readonly captured: Buffer;
  /** Of HTTP/2: stretches of the chunk, in order. */
  readonly pieces: readonly { readonly length: number; readonly captured: Buffer }[];
  /** The last bytes of the chunk. */
  readonly tail: Buffer;
}

export interface OtherRecord {
  readonly kind: 'open' | 'bound' | 'end' | 'close' | 'exec' | 'exit' | 'tls_seen' | 'cgroup_made' | 'cgroup_gone';
  readonly source: number;
  readonly pid: number;
  readonly tid: number;
  readonly connection: number;
  /** Of `end`. */
  readonly direction?: number;
  /** Of `close`. */
  readonly reset?: boolean;
  /** Of `open`: the address of the SSL object. */
  readonly tls?: number;
  /** Of `open` and `bound`: `family local port remote port`, addresses in hex. */
  readonly ends?: string;
  readonly comm?: string;
  readonly executable?: string;
  /** Of `cgroup_made` and `cgroup_gone`. */
  readonly cgroup?: number;
  readonly path?: string;
}

export type BpfRecord = DataRecord | OtherRecord;

const KINDS: Readonly<Record<number, OtherRecord['kind']>> = {
  [EVENT_KIND.OPEN]: 'open',
  [EVENT_KIND.BOUND]: 'bound',
  [EVENT_KIND.END]: 'end',
  [EVENT_KIND.CLOSE]: 'close',
  [EVENT_KIND.EXEC]: 'exec',
  [EVENT_KIND.EXIT]: 'exit',
  [EVENT_KIND.TLS_SEEN]: 'tls_seen',
  [EVENT_KIND.CGROUP_MADE]: 'cgroup_made',
  [EVENT_KIND.CGROUP_GONE]: 'cgroup_gone',
};
/** Fixed size of each kind. */
const SIZES: Readonly<Record<OtherRecord['kind'], number>> = {
  open: OPEN_EVENT.sizeBytes,
  bound: BOUND_EVENT.sizeBytes,
  end: END_EVENT.sizeBytes,
  close: CLOSE_EVENT.sizeBytes,
  exec: PROCESS_EVENT.sizeBytes,
  exit: PROCESS_EVENT.sizeBytes,
  tls_seen: PROCESS_EVENT.sizeBytes,
  cgroup_made: CGROUP_EVENT.sizeBytes,
  cgroup_gone: CGROUP_EVENT.sizeBytes,
};

function text(bytes: Buffer, at: number, limit: number): string {
  const field = bytes.subarray(at, at + limit);
  const end = field.indexOf(0);
  assert.notEqual(end, -1, 'a name ends with 0');
  assert.ok(
    field.subarray(end).every((byte) => byte === 0),
    'nothing stands behind a name',
  );
  return field.toString('latin1', 0, end);
}

function ends(bytes: Buffer, layout: typeof OPEN_EVENT | typeof BOUND_EVENT): string {
  const address = (at: number, length: number) => bytes.toString('hex', at, at + length);
  return [
    bytes.readUInt16LE(layout.family),
    address(layout.local, layout.localBytes),
    bytes.readUInt16LE(layout.localPort),
    address(layout.remote, layout.remoteBytes),
    bytes.readUInt16LE(layout.remotePort),
  ].join(' ');
}

/** @throws AssertionError when the record breaks a promise of bpf/events.h. */
export function readRecord(bytes: Buffer): BpfRecord {
  assert.ok(bytes.length >= EVENT_HEADER.sizeBytes);
  assert.equal(bytes.readUInt32LE(EVENT_HEADER.size), bytes.length);
  const connection = Number(bytes.readBigUInt64LE(EVENT_HEADER.connection));
  assert.ok(connection < 2 ** 53);
  const common = {
    source: bytes.readUInt16LE(EVENT_HEADER.source),
    pid: bytes.readUInt32LE(EVENT_HEADER.pid),
    tid: bytes.readUInt32LE(EVENT_HEADER.tid),
    connection,
  };
  const number = bytes.readUInt16LE(EVENT_HEADER.kind);
  if (number === EVENT_KIND.DATA) return readData(bytes, common);
  const kind = KINDS[number];
  assert.ok(kind, `kind ${number}`);
  assert.equal(bytes.length, SIZES[kind]);
  const isProcess = kind === 'exec' || kind === 'exit' || kind === 'tls_seen';
  const isCgroup = kind === 'cgroup_made' || kind === 'cgroup_gone';
  assert.equal(connection === 0, isProcess || isCgroup);
  if (isCgroup) {
    const cgroup = Number(bytes.readBigUInt64LE(CGROUP_EVENT.cgroupId));
    return { kind, ...common, cgroup, path: text(bytes, CGROUP_EVENT.path, CGROUP_EVENT.pathBytes) };
  }
  if (kind === 'end') {
    assert.ok(bytes.subarray(END_EVENT.direction + 1).every((byte) => byte === 0));
    return { kind, ...common, direction: bytes[END_EVENT.direction]! };
  }
  if (kind === 'close') {
    assert.ok(bytes.subarray(CLOSE_EVENT.reset + 1).every((byte) => byte === 0));
    return { kind, ...common, reset: bytes[CLOSE_EVENT.reset] !== 0 };
  }
  if (kind === 'bound') return { kind, ...common, ends: ends(bytes, BOUND_EVENT) };
  const layout = isProcess ? PROCESS_EVENT : OPEN_EVENT;
  const process = {
    comm: text(bytes, layout.comm, layout.commBytes),
    executable: text(bytes, layout.executable, layout.executableBytes),
  };
  assert.equal(bytes.readBigUInt64LE(layout.processStartNs), 555n);
  assert.equal(bytes.readBigUInt64LE(layout.cgroupId), 77n);
  if (isProcess) return { kind, ...common, ...process };
  return {
    kind,
    ...common,
    ...process,
    tls: Number(bytes.readBigUInt64LE(OPEN_EVENT.tls)),
    ends: ends(bytes, OPEN_EVENT),
  };
}

function readData(bytes: Buffer, common: Pick<DataRecord, 'source' | 'pid' | 'tid' | 'connection'>): DataRecord {
  const length = bytes.readUInt32LE(DATA_EVENT.length);
  const captured = bytes.readUInt32LE(DATA_EVENT.captured);
  const tail = bytes[DATA_EVENT.tail]!;
  const pieces = bytes[DATA_EVENT.pieces]!;
  const slots = bytes[DATA_EVENT.slots]!;
  const direction = bytes[DATA_EVENT.direction]!;
  assert.notEqual(common.connection, 0);
  assert.ok(length > 0);
  assert.ok(tail <= 8);
  assert.ok(captured < 16384);
  assert.ok(captured + tail <= length, `${captured} and ${tail} bytes of a chunk of ${length}`);
  assert.ok(pieces <= slots && pieces > 0 === slots > 0 && (pieces === 0 || tail === 0));
  const start = DATA_EVENT.sizeBytes + slots * PIECE.sizeBytes;
  assert.equal(bytes.length, start + captured + tail);
  assert.ok(direction <= 1);
  assert.ok(bytes.subarray(DATA_EVENT.slots + 1, DATA_EVENT.sizeBytes).every((byte) => byte === 0));
  const middle = start + captured;
  return {
    kind: 'data',
    ...common,
    position: Number(bytes.readBigUInt64LE(DATA_EVENT.position)),
    timeNs: Number(bytes.readBigUInt64LE(EVENT_HEADER.timeNs)),
    length,
    direction,
    captured: bytes.subarray(start, middle),
    tail: bytes.subarray(middle),
    pieces: readPieces(bytes, pieces, slots, length),
  };
}

function readPieces(bytes: Buffer, count: number, slots: number, length: number): DataRecord['pieces'] {
  let at = DATA_EVENT.sizeBytes + slots * PIECE.sizeBytes;
  const pieces = Array.from({ length: slots }, (_, index) => {
    const piece = DATA_EVENT.sizeBytes + index * PIECE.sizeBytes;
    const end = at + bytes.readUInt32LE(piece + PIECE.captured);
    const captured = bytes.subarray(at, end);
    at = end;
    return { length: bytes.readUInt32LE(piece + PIECE.length), captured };
  });
  if (slots > 0) assert.equal(at, bytes.length);
  if (count > 0)
    assert.equal(
      pieces.slice(0, count).reduce((sum, piece) => sum + piece.length, 0),
      length,
    );
  assert.ok(pieces.slice(0, count).every((piece) => piece.length > 0 && piece.captured.length <= piece.length));
  assert.ok(pieces.slice(count).every((piece) => piece.length === 0 && piece.captured.length === 0));
  return pieces.slice(0, count);
}

/** The agent's own decoder takes each of them, and finds no other number of them. */
export function assertDecodable(records: readonly Buffer[]): void {
  const batch = Buffer.alloc(records.reduce((sum, { length }) => sum + ((length + 7) & ~7), 0));
  let at = 0;
  for (const record of records) {
    record.copy(batch, at);
    at += (record.length + 7) & ~7;
  }
  const nothing = () => {};
  const owner = { pid: 1, comm: '', namespace: '', pod: '', container: '', service: '' };
  const decoder = new EventDecoder(
    new Uint8Array(batch.buffer, batch.byteOffset, batch.length),
    { open: nothing, data: nothing, end: nothing, close: nothing },
    {
      ...{ owner: () => owner, exec: nothing, exit: nothing, tlsSeen: nothing, tlsReleased: nothing },
      ...{ cgroupMade: nothing, cgroupGone: nothing },
    },
  );
  decoder.decode(batch.length);
  const counts = decoder.eventsByKind();
  assert.equal(counts.malformed, undefined);
  assert.equal(
    Object.values(counts).reduce((sum, count) => sum + count, 0),
    records.length,
  );
}
