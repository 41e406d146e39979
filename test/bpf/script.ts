/**
 * Writes the command lines of a scenario: processes, sockets, and system calls with their bytes in user memory. Whatever is
 * placed there stands between canary bytes, which no payload contains: found in a record, they are bytes from outside of
 * the chunk. Keeps the TCP sequence numbers, so positions can be told beforehand.
 */

import assert from 'node:assert/strict';
import { EGRESS, INGRESS } from '../../src/stream/contract.ts';
import { type Architecture, type Result, runHost } from './host.ts';
import type { BpfRecord, DataRecord } from './records.ts';

export { EGRESS, INGRESS };

/** `socket`: sock_send_length and sock_recv_length; `syscall`: the exits of system calls. */
export const FRONT_ENDS = ['socket', 'syscall'] as const;
export type FrontEnd = (typeof FRONT_ENDS)[number];

export const CANARY = 0xf5;
const CANARY_BYTES = 96;
/** An address at which nothing is mapped. */
export const UNMAPPED = 0xdead000;
export const PID = 10;
export const TID = 11;
export const USER_STACK = 0x7ffe_0000_0000;

export const ESTABLISHED = 1;
export const CLOSE_WAIT = 8;

export type Via =
  | 'read'
  | 'recvfrom'
  | 'readv'
  | 'recvmsg'
  | 'write'
  | 'sendto'
  | 'writev'
  | 'sendmsg'
  | 'sendfile'
  | 'io_uring_enter';

export interface Move {
  /** Default: read and write for one segment, readv and writev for several. */
  readonly via?: Via;
  /** The result of the call. Default: all bytes of the segments. */
  readonly moved?: number;
  /** Bytes that moved before, and that no program saw. */
  readonly hidden?: number;
  /** Instead of what follows from the former: another thread's bytes are counted too, or not yet. */
  readonly sequence?: number;
  readonly flags?: number;
  readonly socket?: number;
  readonly stackPointer?: number;
  /** Instead of where the bytes were placed. */
  readonly address?: number;
}

export interface Settings {
  readonly selfPid?: number;
  readonly onlyPid?: number;
  readonly captureBytes?: number;
  readonly filterEpoch?: number;
  /** `SCOPE` of src/abi/events.ts. */
  readonly scope?: number;
}

export function ascii(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

/** A text of so many bytes that is different everywhere, begins with `start` and ends with `end`. */
export function payload(length: number, start = '', end = ''): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = 0x61 + ((i * 7 + (i >> 3) * 5 + (i >> 9)) % 26);
  bytes.write(start.slice(0, length), 'latin1');
  if (end.length <= length) bytes.write(end, length - end.length, 'latin1');
  return bytes;
}

export function u64s(...values: readonly (number | bigint)[]): Buffer {
  return Buffer.from(BigUint64Array.from(values, (value) => BigInt.asUintN(64, BigInt(value))).buffer);
}

export class Script {
  readonly commands: string[] = [];
  readonly #frontEnd: FrontEnd;
  readonly #sequences = new Map<string, number>();
  #nextAddress = 0x10000;

  constructor(frontEnd: FrontEnd = 'socket') {
    this.#frontEnd = frontEnd;
    this.begin();
  }

  /** A new world: nothing of before is left. */
  begin(settings: Settings = {}): void {
    this.#sequences.clear();
    this.#nextAddress = 0x10000;
    this.add('reset');
    this.thread();
    this.settings(settings);
    for (const socket of [1, 2]) this.add(`socket ${socket} 2 6 ${ESTABLISHED} 8080 40000`);
  }

  /** @returns the index of its result. */
  add(command: string): number {
    return this.commands.push(command) - 1;
  }

  thread(pid = PID, tid = TID, comm = 'nginx'): void {
    this.add(`thread ${pid} ${tid} ${comm} ${comm}-exe`);
  }

  settings({ selfPid = 1, onlyPid = 0, captureBytes = 8192, filterEpoch = 1, scope = 0 }: Settings): void {
    this.add(`settings ${selfPid} ${onlyPid} ${captureBytes} ${filterEpoch} ${scope}`);
  }

  /** @returns the address of the bytes, between canaries. */
  place(bytes: Uint8Array): number {
    const canary = Buffer.alloc(CANARY_BYTES, CANARY);
    const address = this.#nextAddress;
    this.#nextAddress += (bytes.length + 2 * CANARY_BYTES + 0x1000) & ~0xfff;
    this.add(`memory ${address} ${Buffer.concat([canary, bytes, canary]).toString('hex')}`);
    return address + CANARY_BYTES;
  }

  /** @returns the address of the bytes, around which nothing is mapped. */
  placeRaw(bytes: Uint8Array): number {
    const address = this.#nextAddress + 0x1000;
    this.#nextAddress += 0x3000 + bytes.length;
    this.add(`memory ${address} ${Buffer.from(bytes).toString('hex')}`);
    return address;
  }

  /** @returns the address of an array of struct iovec. */
  placeVector(segments: readonly Uint8Array[]): number {
    const all = this.place(
      Buffer.concat(segments.map((segment) => Buffer.concat([segment, Buffer.alloc(32, CANARY)]))),
    );
    let at = all;
    const pairs = segments.flatMap(({ length }) => {
      at += length + 32;
      return [length === 0 ? 0 : at - length - 32, length];
    });
    return this.place(u64s(...pairs));
  }

  /** @returns the index of its result. */
  receive(segments: readonly Uint8Array[], move: Move = {}): number {
    return this.#move(INGRESS, segments, move);
  }

  /** @returns the index of its result. */
  send(segments: readonly Uint8Array[], move: Move = {}): number {
    return this.#move(EGRESS, segments, move);
  }

  /** The sequence number that the direction has reached. */
  startAt(direction: number, sequence: number, socket = 1): void {
    this.#sequences.set(`${socket} ${direction}`, sequence);
  }

  state(from: number, to: number, socket = 1): number {
    return this.add(`${this.#frontEnd === 'socket' ? 'state' : 'state_by_address'} ${socket} ${from} ${to}`);
  }

  counters(): number {
    return this.add('counters');
  }

  run(architecture: Architecture = 'x86'): Result[] {
    return runHost(this.commands, architecture);
  }

  #move(direction: number, segments: readonly Uint8Array[], move: Move): number {
    const { socket = 1, hidden = 0, flags = 0, stackPointer = USER_STACK } = move;
    const reading = direction === INGRESS;
    const via = move.via ?? (segments.length === 1 ? (reading ? 'read' : 'write') : reading ? 'readv' : 'writev');
    const moved = move.moved ?? segments.reduce((sum, { length }) => sum + length, 0);
    const key = `${socket} ${direction}`;
    const next = ((this.#sequences.get(key) ?? 1000) + hidden + moved) >>> 0;
    const sequence = (move.sequence ?? next) >>> 0;
    this.#sequences.set(key, sequence);

    let [second, third, fourth] = [move.address ?? 0, segments.length, 0];
    if (via === 'readv' || via === 'writev') {
      second = move.address ?? this.placeVector(segments);
    } else if (via === 'recvmsg' || via === 'sendmsg') {
      const vector = move.address ?? this.placeVector(segments);
      second = this.place(u64s(0, 0, vector, segments.length));
      third = flags;
    } else if (via !== 'sendfile' && via !== 'io_uring_enter') {
      assert.equal(segments.length, 1);
      second = move.address ?? this.place(segments[0]!);
      third = segments[0]!.length;
      fourth = flags;
    }
    const call = `${via} ${socket} ${second} ${third} ${fourth} ${stackPointer}`;
    if (this.#frontEnd === 'syscall') return this.add(`exit ${sequence} ${moved} ${call}`);
    return this.add(`${reading ? 'receive' : 'send'} ${socket} ${sequence} ${moved} ${flags} ${call}`);
  }
}

export function dataOf(result: Result): DataRecord | undefined {
  const found = result.records.filter((record) => record.kind === 'data');
  assert.ok(found.length <= 1);
  return found[0];
}

export function kinds(result: Result): BpfRecord['kind'][] {
  return result.records.map(({ kind }) => kind);
}

/** What was captured of the chunk is its beginning and its end, and nothing else. */
export function assertFromChunk(record: DataRecord, chunk: Uint8Array): void {
  const whole = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
  assert.equal(record.length, chunk.length);
  assert.ok(record.captured.equals(whole.subarray(0, record.captured.length)), 'the beginning');
  assert.ok(record.tail.equals(whole.subarray(whole.length - record.tail.length)), 'the end');
  assert.ok(!record.captured.includes(CANARY) && !record.tail.includes(CANARY), 'nothing from outside');
}
