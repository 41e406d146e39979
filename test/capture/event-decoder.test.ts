import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BOUND_EVENT,
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
import type { Owner } from '../../src/stream/contract.ts';

const CONNECTION = 2 ** 40 + 7;
const TIME = 2 ** 33 + 5;

class Records {
  readonly batch = new Uint8Array(64 * 1024);
  readonly #view = new DataView(this.batch.buffer);
  filledBytes = 0;

  add(kind: number, size: number, fields: Record<number, [bits: 8 | 16 | 32 | 64, value: number]>, bytes = ''): this {
    const at = this.filledBytes;
    this.#set(at + EVENT_HEADER.size, 32, size + bytes.length);
    this.#set(at + EVENT_HEADER.kind, 16, kind);
    this.#set(at + EVENT_HEADER.timeNs, 64, TIME);
    this.#set(at + EVENT_HEADER.pid, 32, 42);
    this.#set(at + EVENT_HEADER.connection, 64, CONNECTION);
    for (const [offset, [bits, value]] of Object.entries(fields)) this.#set(at + Number(offset), bits, value);
    this.batch.set(Buffer.from(bytes), at + size);
    this.filledBytes = at + ((size + bytes.length + 7) & ~7);
    return this;
  }

  text(offset: number, value: string): this {
    this.batch.set(Buffer.from(value), offset);
    return this;
  }

  #set(at: number, bits: 8 | 16 | 32 | 64, value: number): void {
    if (bits === 8) this.#view.setUint8(at, value);
    else if (bits === 16) this.#view.setUint16(at, value, true);
    else if (bits === 32) this.#view.setUint32(at, value, true);
    else this.#view.setBigUint64(at, BigInt(value), true);
  }
}

function decode(records: Records): unknown[] {
  const calls: unknown[] = [];
  const owner = (pid: number): Owner => ({ pid, comm: 'x', namespace: '', pod: '', container: '', service: 'x' });
  const decoder = new EventDecoder(
    records.batch,
    {
      open: (info, timeNs) => calls.push(['open', info.id, info.scheme, info.local, info.remote, timeNs]),
      data: (id, pid, timeNs, direction, position, lengthBytes, bytes, start, end) =>
        calls.push([
          'data',
          id,
          pid,
          timeNs,
          direction,
          position,
          lengthBytes,
          Buffer.from(bytes.subarray(start, end)).toString(),
        ]),
      bound: (id, timeNs, local, remote) => calls.push(['bound', id, timeNs, local, remote]),
      end: (id, timeNs, direction) => calls.push(['end', id, timeNs, direction]),
      close: (id, timeNs, kind) => calls.push(['close', id, timeNs, kind]),
    },
    {
      owner: (pid, hint) => {
        calls.push(['owner', pid, hint]);
        return owner(pid);
      },
      exec: (pid, hint) => calls.push(['exec', pid, hint.executable]),
      exit: (pid) => calls.push(['exit', pid]),
      tlsSeen: (pid) => calls.push(['tlsSeen', pid]),
      tlsReleased: (pid, ssl) => calls.push(['tlsReleased', pid, ssl]),
      cgroupMade: (id, path) => calls.push(['cgroupMade', id, path]),
      cgroupGone: (id) => calls.push(['cgroupGone', id]),
    },
  );
  decoder.decode(records.filledBytes);
  if (decoder.unbound > 0) calls.push(['unbound', decoder.unbound]);
  calls.push(decoder.eventsByKind());
  return calls;
}

const counts = (some: Record<string, number>) => ({
  open: 0,
  bound: 0,
  data: 0,
  end: 0,
  close: 0,
  exec: 0,
  exit: 0,
  tls_seen: 0,
  cgroup_made: 0,
  cgroup_gone: 0,
  ...some,
});
const data = (length: number, captured: number, direction: number, tail = 0, position = 0) =>
  ({
    [DATA_EVENT.position]: [64, position],
    [DATA_EVENT.length]: [32, length],
    [DATA_EVENT.captured]: [32, captured],
    [DATA_EVENT.direction]: [8, direction],
    [DATA_EVENT.tail]: [8, tail],
  }) as Record<number, [8 | 16 | 32 | 64, number]>;

test('a socket connection from open to close', () => {
  const records = new Records()
    .add(EVENT_KIND.OPEN, OPEN_EVENT.sizeBytes, {
      [OPEN_EVENT.family]: [16, 2],
      [OPEN_EVENT.localPort]: [16, 80],
      [OPEN_EVENT.remotePort]: [16, 5000],
      [OPEN_EVENT.local]: [32, 0x0100007f],
      [OPEN_EVENT.remote]: [32, 0x0200007f],
      [OPEN_EVENT.processStartNs]: [64, 77],
      [OPEN_EVENT.cgroupId]: [64, 9],
    })
    .text(OPEN_EVENT.comm, 'worker')
    .text(OPEN_EVENT.executable, 'nginx')
    .add(EVENT_KIND.DATA, DATA_EVENT.sizeBytes, data(3, 3, 0), 'GET')
    .add(EVENT_KIND.END, END_EVENT.sizeBytes, { [END_EVENT.direction]: [8, 1] })
    .add(EVENT_KIND.CLOSE, CLOSE_EVENT.sizeBytes, { [CLOSE_EVENT.reset]: [8, 1] });
  assert.deepEqual(decode(records), [
    ['owner', 42, { startTimeNs: 77, cgroupId: 9, comm: 'worker', executable: 'nginx' }],
    ['open', CONNECTION, 'http', '127.0.0.1:80', '127.0.0.2:5000', TIME],
    ['data', CONNECTION, 42, TIME, 0, 0, 3, 'GET'],
    ['end', CONNECTION, TIME, 1],
    ['close', CONNECTION, TIME, 'reset'],
    counts({ open: 1, data: 1, end: 1, close: 1 }),
  ]);
});

test('a tail is a chunk of its own, behind the gap', () => {
  const records = new Records().add(EVENT_KIND.DATA, DATA_EVENT.sizeBytes, data(1000, 2, 1, 3, 500), 'ab\n\r\n');
  assert.deepEqual(decode(records), [
    ['data', CONNECTION, 42, TIME, 1, 500, 997, 'ab'],
    ['data', CONNECTION, 42, TIME, 1, 1497, 3, '\n\r\n'],
    counts({ data: 1 }),
  ]);
});

test('a process that ends closes its TLS connections', () => {
  const ssl = 0x7f12_3456_7890;
  const records = new Records()
    .add(EVENT_KIND.OPEN, OPEN_EVENT.sizeBytes, { [OPEN_EVENT.tls]: [64, ssl] })
    .add(EVENT_KIND.EXIT, PROCESS_EVENT.sizeBytes, {});
  const calls = decode(records);
  assert.deepEqual(calls.slice(1), [
    ['open', CONNECTION, 'https', undefined, undefined, TIME],
    ['close', CONNECTION, TIME, 'reset'],
    ['tlsReleased', 42, ssl],
    ['exit', 42],
    ['unbound', 1],
    counts({ open: 1, exit: 1 }),
  ]);
});

test('an SSL object that comes again without an end closes what it was', () => {
  const open = { [OPEN_EVENT.tls]: [64, 4096] } as Record<number, [64, number]>;
  const records = new Records()
    .add(EVENT_KIND.OPEN, OPEN_EVENT.sizeBytes, open)
    .add(EVENT_KIND.OPEN, OPEN_EVENT.sizeBytes, { ...open, [EVENT_HEADER.connection]: [64, 99] })
    .add(EVENT_KIND.CLOSE, CLOSE_EVENT.sizeBytes, { [EVENT_HEADER.connection]: [64, 99] })
    .add(EVENT_KIND.EXIT, PROCESS_EVENT.sizeBytes, {});
  const calls = decode(records).filter((call) => Array.isArray(call) && call[0] !== 'owner' && call[0] !== 'unbound');
  assert.deepEqual(calls, [
    ['open', CONNECTION, 'https', undefined, undefined, TIME],
    ['close', CONNECTION, TIME, 'reset'],
    ['open', 99, 'https', undefined, undefined, TIME],
    ['close', 99, TIME, 'orderly'],
    ['exit', 42],
  ]);
});

test('a TLS connection whose socket is found later, and turns out to be none', () => {
  const ends = {
    [BOUND_EVENT.family]: [16, 2],
    [BOUND_EVENT.localPort]: [16, 443],
    [BOUND_EVENT.remotePort]: [16, 5000],
    [BOUND_EVENT.local]: [32, 0x0100007f],
    [BOUND_EVENT.remote]: [32, 0x0200007f],
  } as Record<number, [16 | 32, number]>;
  const records = new Records()
    .add(EVENT_KIND.OPEN, OPEN_EVENT.sizeBytes, { [OPEN_EVENT.tls]: [64, 4096] })
    .add(EVENT_KIND.BOUND, BOUND_EVENT.sizeBytes, ends)
    .add(EVENT_KIND.BOUND, BOUND_EVENT.sizeBytes, {})
    .add(EVENT_KIND.CLOSE, CLOSE_EVENT.sizeBytes, {});
  assert.deepEqual(decode(records).slice(1), [
    ['open', CONNECTION, 'https', undefined, undefined, TIME],
    ['bound', CONNECTION, TIME, '127.0.0.1:443', '127.0.0.2:5000'],
    ['bound', CONNECTION, TIME, undefined, undefined],
    ['close', CONNECTION, TIME, 'orderly'],
    counts({ open: 1, bound: 2, close: 1 }),
  ]);
});

test('exec and TLS seen', () => {
  const records = new Records()
    .add(EVENT_KIND.EXEC, PROCESS_EVENT.sizeBytes, {})
    .text(PROCESS_EVENT.executable, 'curl')
    .add(EVENT_KIND.TLS_SEEN, PROCESS_EVENT.sizeBytes, {});
  assert.deepEqual(decode(records), [
    ['exec', 42, 'curl'],
    ['tlsSeen', 42],
    counts({ exec: 1, tls_seen: 1, cgroup_made: 0, cgroup_gone: 0 }),
  ]);
});

test('records that claim more than they hold are counted, and read nothing', () => {
  const claims = new Records().add(EVENT_KIND.DATA, DATA_EVENT.sizeBytes, data(9, 900, 0), 'short');
  assert.deepEqual(decode(claims), [counts({ data: 1, malformed: 1 })]);
  const beyond = new Records().add(EVENT_KIND.DATA, DATA_EVENT.sizeBytes, { [EVENT_HEADER.size]: [32, 60_000] });
  assert.deepEqual(decode(beyond), [counts({ malformed: 1 })]);
  const unknown = new Records().add(77, 64, {});
  assert.deepEqual(decode(unknown), [counts({ malformed: 1 })]);
  const tiny = new Records().add(EVENT_KIND.DATA, DATA_EVENT.sizeBytes, { [EVENT_HEADER.size]: [32, 4] });
  assert.deepEqual(decode(tiny), [counts({ malformed: 1 })]);
});

/** A data record of two used slots of four. */
function pieces(lengths: readonly [number, number][], slots: number, length: number, bytes: string): Records {
  const fields: Record<number, [8 | 16 | 32 | 64, number]> = {
    [DATA_EVENT.position]: [64, 1000],
    [DATA_EVENT.length]: [32, length],
    [DATA_EVENT.captured]: [32, bytes.length],
    [DATA_EVENT.pieces]: [8, lengths.length],
    [DATA_EVENT.slots]: [8, slots],
  };
  for (const [index, [all, captured]] of lengths.entries()) {
    const at = DATA_EVENT.sizeBytes + index * PIECE.sizeBytes;
    fields[at + PIECE.length] = [32, all];
    fields[at + PIECE.captured] = [32, captured];
  }
  return new Records().add(EVENT_KIND.DATA, DATA_EVENT.sizeBytes + slots * PIECE.sizeBytes, fields, bytes);
}

test('pieces of a chunk come one after the other, each with its position and its gap', () => {
  const calls = decode(
    pieces(
      [
        [300, 3],
        [700, 0],
        [24, 4],
      ],
      4,
      1024,
      'abcdefg',
    ),
  );
  assert.deepEqual(
    calls.filter((call) => Array.isArray(call) && call[0] === 'data').map((call) => (call as unknown[]).slice(5)),
    [
      [1000, 300, 'abc'],
      [1300, 700, ''],
      [2000, 24, 'defg'],
    ],
  );
});

test('pieces that do not make up their chunk are malformed', () => {
  const cases: [[number, number][], number, number, string][] = [
    [[[10, 11]], 4, 10, 'abcdefghijk'],
    [[[10, 2]], 4, 11, 'ab'],
    [[[10, 2]], 4, 10, 'abc'],
    [
      [
        [5, 0],
        [5, 0],
      ],
      1,
      10,
      '',
    ],
  ];
  for (const [lengths, slots, length, bytes] of cases) {
    const calls = decode(pieces(lengths, slots, length, bytes));
    assert.ok(calls.every((call) => !Array.isArray(call) || call[0] !== 'data'));
  }
});
