/**
 * 20,000 random sequences of operations: sockets and TLS calls of two threads in any order, with faults, a ring that is
 * full at times, exclusions, hidden bytes and calls that never return. Whatever happens, records are well formed (host.ts
 * and records.ts see to that), show nothing but bytes of their chunk, and never go backwards.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COUNTER } from '../../src/abi/events.ts';
import { encodeCookie } from '../../src/probes/cookie.ts';
import { ARCHITECTURES, type Architecture, counter, failedReserves, pick, random, runHost, seed } from './host.ts';
import type { DataRecord } from './records.ts';
import { CANARY, ESTABLISHED, payload, u64s } from './script.ts';

const SEQUENCES = 20_000;
const BATCH = 2_500;
const OPERATIONS = 14;
const MEMORY = 0x100000;
const VECTOR = 0x800000;
const HEADER = 0x900000;
const COUNT = 0xa00000;
const UNMAPPED = 0xdead000;
const STACK = 0x7fff_0000_0000;

const STARTS = [
  'GET /index.html HTTP/1.1\r\nHost: x\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
  'POST /',
  '\r\nHTTP/1.0 404 Not Found\r\n',
  'GE',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\x02\x10\0\0\0\0\0\x01',
  // HTTP/2 without its preface: PING, DATA of 300 bytes, WINDOW_UPDATE.
  `\0\0\x08\x06\0\0\0\0\0ABCDEFGH\0\x01\x2c\0\x01\0\0\0\x01${'d'.repeat(300)}\0\0\x04\x08\0\0\0\0\0\0\0\0\x01`,
  '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  '\x17\x03\x03\x00\x20',
  '0\r\n\r\n',
  'random bytes that are no start line',
];
const SLOT = 1200;

/** Slots with a start each, between canaries. */
const memory = Buffer.concat(
  STARTS.flatMap((start) => [payload(SLOT, start, pick(['\n', 'x'])), Buffer.alloc(64, CANARY)]),
);

interface Expectation {
  /** The bytes that moved; undefined where they cannot be known. */
  readonly chunk: Buffer | undefined;
  /** What the operation may write of. */
  readonly target: string;
  /** Nothing can be written. */
  readonly silent: boolean;
  /** Nothing but the end of what was announced before. */
  readonly excluded: boolean;
}

/** Words that lead to each other, to nothing, or look like what the programs want to find. */
function structures(): Buffer {
  const words = [0n, 1n, 0x505n, 0x1_0000_0505n, 0x5000n, 0x5008n, 0x6010n, -1n, 1n << 63n, BigInt(UNMAPPED)];
  return u64s(...Array.from({ length: 64 }, () => pick(words)));
}

class Fuzz {
  readonly commands: string[] = [];
  readonly expectations = new Map<number, Expectation>();
  /** Index of the first command of each sequence. */
  readonly begins: number[] = [];
  readonly ends: number[] = [];
  #sequences = new Map<string, number>();
  #calls = new Map<number, { ssl: number; chunk: Buffer; operation: 'read' | 'write'; stack: number }[]>();
  #thread = 0;
  #ringFull = false;
  #excluded = false;
  #epoch = 1;

  constructor() {
    this.commands.push('reset', `memory ${MEMORY} ${memory.toString('hex')}`);
    for (let i = 0; i < SEQUENCES / (SEQUENCES / BATCH); i++) this.#sequence();
  }

  #sequence(): void {
    this.begins.push(this.commands.length);
    this.#sequences = new Map();
    this.#calls = new Map();
    this.#thread = 0;
    this.#ringFull = false;
    this.#excluded = false;
    this.#epoch = 1;
    this.commands.push('restart', 'thread 10 11 app app');
    this.commands.push(`settings 1 0 ${pick([64, 100, 1024, 16384])} ${this.#epoch} 0`);
    for (const socket of [1, 2]) this.commands.push(`socket ${socket} ${pick([2, 10])} 6 ${ESTABLISHED} 80 4000`);
    for (let i = 0; i < OPERATIONS; i++) this.#operation();
    this.ends.push(this.commands.push('counters') - 1);
  }

  #operation(): void {
    const kind = random(20);
    if (kind < 9) this.#socket();
    else if (kind < 12) this.#enter();
    else if (kind < 15) this.#leave();
    else if (kind === 15) this.#ring();
    else if (kind === 16) this.#exclusion();
    else if (kind === 17) this.#switchThread();
    else if (kind === 18) this.#end();
    else this.commands.push(`entry ${pick([2, 3])} ${STACK} ${pick([0x5000, 0x6000])} 0 0`);
  }

  #chunk(): { address: number; chunk: Buffer } {
    const offset = random(STARTS.length) * (SLOT + 64) + (random(4) ? 0 : random(100));
    const room = SLOT - (offset % (SLOT + 64));
    const length = Math.min(room, pick([1, 2, 8, 9, 24, 25, 63, 64, 65, 100, 127, 128, 300, 1000, 1100]));
    return { address: MEMORY + offset, chunk: memory.subarray(offset, offset + length) };
  }

  #socket(): void {
    const { address, chunk } = this.#chunk();
    const receiving = random(2) === 0;
    const socket = pick([1, 1, 2]);
    const byExit = socket === 2;
    const way = random(10);
    let known = true;
    let call = `${receiving ? 'read' : 'write'} ${socket} ${address} ${chunk.length} 0`;
    if (way < 4) {
      const vector = this.#vector(address, chunk.length);
      known = vector.known;
      if (way < 2) {
        call = `${receiving ? 'readv' : 'writev'} ${socket} ${VECTOR} ${vector.count} 0`;
      } else {
        this.commands.push(`memory ${HEADER} ${u64s(0, 0, VECTOR, vector.count).toString('hex')}`);
        call = `${receiving ? 'recvmsg' : 'sendmsg'} ${socket} ${HEADER} 0 0`;
      }
    } else if (way === 4) {
      call = `${receiving ? 'recvfrom' : 'sendto'} ${socket} ${pick([UNMAPPED, 0, MEMORY + memory.length - 1])} 1000 0`;
      known = false;
    } else if (way === 5 && !receiving) {
      call = `sendfile ${socket} 5 0 0`;
      known = false;
    }
    const key = `${socket} ${receiving}`;
    const before = this.#sequences.get(key) ?? random(2 ** 32);
    const hidden = random(6) ? 0 : random(8) ? random(100) : -random(50);
    const sequence = (before + hidden + chunk.length) >>> 0;
    this.#sequences.set(key, sequence);
    const stack = STACK - random(4) * 256 - 64;
    this.#expect(known ? chunk : undefined, `socket ${socket}`);
    if (byExit) this.commands.push(`exit ${sequence} ${chunk.length} ${call} ${stack}`);
    else
      this.commands.push(`${receiving ? 'receive' : 'send'} ${socket} ${sequence} ${chunk.length} 0 ${call} ${stack}`);
  }

  /** Cuts the bytes into segments, with an entry that lies or faults now and then. */
  #vector(address: number, length: number): { count: number; known: boolean } {
    const entries: (number | bigint)[] = [];
    let at = 0;
    while (at < length) {
      if (random(4) === 0) entries.push(0, 0);
      const n = entries.length > 60 ? length - at : Math.min(length - at, random(length) + 1);
      entries.push(address + at, n);
      at += n;
    }
    if (random(3) === 0) entries.push(UNMAPPED, 100);
    let known = true;
    if (random(10) === 0) {
      entries[random(entries.length)] = pick([-1n, 1n << 63n, 1n << 47n, 0n, 7n]);
      known = false;
    }
    const count = entries.length / 2;
    this.commands.push(
      `memory ${VECTOR} ${u64s(...entries, ...(random(2) ? [-1n, -1n, 1n << 63n, 9n] : [])).toString('hex')}`,
    );
    return { count, known };
  }

  #enter(): void {
    const calls = this.#calls.get(this.#thread) ?? [];
    const { address, chunk } = this.#chunk();
    const operation = pick(['read', 'write'] as const);
    const ssl = pick([0x5000, 0x6000]);
    // Mostly deeper than what runs; at times it was left behind by a longjmp.
    const top = calls.at(-1)?.stack ?? STACK;
    const stack = random(4) ? top - 256 : STACK + random(3) * 64;
    while (calls.length > 0 && calls.at(-1)!.stack <= stack) calls.pop();
    if (calls.length < 4) calls.push({ ssl, chunk, operation, stack });
    this.#calls.set(this.#thread, calls);
    const cookie = encodeCookie({ operation, convention: 'n', uretprobe: false, register: 0, depthBytes: 0 });
    this.commands.push(`entry ${cookie} ${stack} ${ssl} ${address} ${COUNT}`);
  }

  #leave(): void {
    const calls = this.#calls.get(this.#thread) ?? [];
    const call = calls[random(calls.length + (random(4) ? 0 : 1))];
    if (!call) {
      this.#expect(undefined, 'nothing', true);
      this.commands.push(`return 0 ${STACK + 4096} ${random(1000)}`);
      // It left behind all that was deeper.
      calls.length = 0;
      return;
    }
    calls.length = calls.indexOf(call);
    const result = random(6) ? call.chunk.length : -random(2);
    const cookie = encodeCookie({
      operation: call.operation,
      convention: 'n',
      uretprobe: false,
      register: 3,
      depthBytes: 48,
    });
    if (random(3) === 0) this.commands.push(`memory ${call.ssl} ${structures().toString('hex')}`);
    this.#expect(result > 0 ? call.chunk : undefined, `ssl ${call.ssl}`);
    // Any layout, of structures that are anything.
    const layout = BigInt(random(1 << 19)) << 20n;
    this.commands.push(`return ${cookie | layout} ${call.stack - 48} ${result}`);
  }

  #ring(): void {
    this.#ringFull = !this.#ringFull;
    this.commands.push(`ring ${this.#ringFull ? 0 : 10_000_000}`);
  }

  #exclusion(): void {
    this.#excluded = !this.#excluded;
    this.commands.push(`${this.#excluded ? 'exclude' : 'include'} app`, `settings 1 0 1024 ${++this.#epoch} 0`);
  }

  #switchThread(): void {
    this.#thread = 1 - this.#thread;
    this.commands.push(`thread 10 ${11 + this.#thread} app app`);
  }

  #end(): void {
    const socket = pick([1, 2]);
    if (random(3)) this.commands.push(`socket ${socket} 2 6 8 80 4000`);
    else this.commands.push(`${socket === 1 ? 'state' : 'state_by_address'} ${socket} ${pick([1, 8])} ${pick([4, 9])}`);
  }

  #expect(chunk: Buffer | undefined, target: string, silent = false): void {
    this.expectations.set(this.commands.length, {
      chunk,
      target,
      silent: silent || this.#ringFull,
      excluded: this.#excluded,
    });
  }
}

/** What is true of a connection for as long as it lives. */
interface Connection {
  readonly target: string;
  readonly next: [number, number];
  readonly ended: Set<number>;
  closed: boolean;
}

function checkData(record: DataRecord, connection: Connection, whole: Buffer | undefined, offset: number): void {
  assert.ok(record.position >= connection.next[record.direction]!, 'positions do not go backwards');
  connection.next[record.direction] = record.position + record.length;
  if (!whole) return;
  const chunk = whole.subarray(offset, offset + record.length);
  if (record.pieces.length === 0) assert.equal(record.length, whole.length - offset);
  assert.ok(offset + record.length <= whole.length);
  if (record.pieces.length > 0) {
    let at = 0;
    for (const { length, captured } of record.pieces) {
      assert.ok(captured.equals(chunk.subarray(at, at + captured.length)));
      at += length;
    }
    return;
  }
  assert.ok(record.captured.equals(chunk.subarray(0, record.captured.length)));
  assert.ok(record.tail.equals(chunk.subarray(chunk.length - record.tail.length)));
}

/** @returns how many data records were seen */
function _check(fuzz: Fuzz, architecture: Architecture): number {
  const results = runHost(fuzz.commands, architecture);
  let data = 0;
  for (const [index, begin] of fuzz.begins.entries()) {
    const connections = new Map<number, Connection>();
    const end = fuzz.ends[index]!;
    let captured = 0;
    for (let at = begin; at < end; at++) {
      const expected = fuzz.expectations.get(at);
      let first: number | undefined;
      for (const record of results[at]!.records) {
        if (expected?.silent || (expected?.excluded && (record.kind === 'data' || record.kind === 'open')))
          assert.fail(`no ${record.kind} is written by ${fuzz.commands.slice(begin, at + 1).join(' ; ')}`);
        if (record.connection === 0) continue;
        let connection = connections.get(record.connection);
        if (record.kind === 'open') {
          assert.equal(connection, undefined, 'a connection opens once');
          connection = { target: expected!.target, next: [0, 0], ended: new Set(), closed: false };
          connections.set(record.connection, connection);
        }
        assert.ok(connection && !connection.closed, 'records stand between the open and the close');
        // A socket operation may tell whose records it moved.
        if (expected && record.kind !== 'close' && record.kind !== 'bound')
          assert.equal(connection.target, expected.target);
        if (record.kind === 'data') {
          first ??= record.position;
          checkData(record, connection, expected?.chunk, record.position - first);
          captured += record.captured.length + record.tail.length;
          data++;
        } else if (record.kind === 'end') {
          assert.ok(!connection.ended.has(record.direction!), 'a direction ends once');
          connection.ended.add(record.direction!);
        } else if (record.kind === 'close') {
          connection.closed = true;
        }
      }
    }
    const counters = results[end]!;
    assert.equal(counter(counters, 'LOST_RING'), failedReserves(counters));
    assert.equal(counters.values.length, COUNTER.COUNT + 1);
    // A record that could not be had was never filled.
    assert.equal(counter(counters, 'CAPTURED_BYTES'), captured);
  }
  return data;
}

for (const [index, architecture] of ARCHITECTURES.entries()) {
  test(`${architecture}: ${SEQUENCES / 2} random sequences keep every promise`, () => {
    seed(7 + index);
    let data = 0;
    for (let batch = 0; batch < SEQUENCES / 2 / BATCH; batch++) data += _check(new Fuzz(), architecture);
    assert.ok(data > SEQUENCES / 2, `${data} chunks were sent`);
  });
}
