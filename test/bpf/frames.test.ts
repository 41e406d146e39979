/**
 * The walk through the frames of HTTP/2 (bpf/frames.bpf.h): connections of random frames, cut anywhere, in buffers and in
 * segments, over both socket front ends. What is copied is held against the frames that were written, not against the walk:
 * everything but long payload of DATA, at its place, and nothing else.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { counter, pick, type Result, random, seed } from './host.ts';
import type { DataRecord } from './records.ts';
import { ascii, FRONT_ENDS, payload, Script } from './script.ts';

const PREFACE = ascii('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** As in bpf/frames.h. */
const LEAST_SKIPPED = 256;
const PREFIX = 5;
const HEADER = 9;

const DATA = 0;
const HEADERS = 1;
const SETTINGS = 4;
const PING = 6;
const GOAWAY = 7;
const WINDOW_UPDATE = 8;
const CONTINUATION = 9;
const UNKNOWN_TYPE = 0x5a;

interface Frame {
  readonly bytes: Buffer;
  /** How many of its first bytes must be there. */
  readonly kept: number;
}

function frame(type: number, length: number, budget = 8192): Frame {
  const onStream = type === DATA || type === HEADERS || type === CONTINUATION;
  const bytes = Buffer.concat([Buffer.alloc(HEADER), payload(length)]);
  bytes.writeUIntBE(length, 0, 3);
  bytes[3] = type;
  bytes[4] = type === HEADERS ? 4 : 0;
  bytes.writeUInt32BE(onStream ? 1 + 2 * random(1000) : 0, 5);
  const most =
    type === DATA
      ? PREFIX
      : type === HEADERS || type === CONTINUATION
        ? budget
        : type === GOAWAY
          ? 8
          : type > 9
            ? 0
            : 192;
  const kept = Math.min(length, most);
  return { bytes, kept: HEADER + (length - kept < LEAST_SKIPPED ? length : kept) };
}

function randomFrame(): Frame {
  switch (random(10)) {
    case 0:
      return frame(SETTINGS, 6 * random(6));
    case 1:
      return frame(PING, 8);
    case 2:
      return frame(WINDOW_UPDATE, 4);
    case 3:
      return frame(UNKNOWN_TYPE, pick([0, 10, 255, 256, 1000]));
    case 4:
      return frame(HEADERS, pick([1, 30, 200, 254, 255, 256, 600, 5000, 9000]));
    case 5:
      return frame(GOAWAY, pick([8, 100, 400]));
    default:
      return frame(DATA, pick([0, 1, 5, 100, 260, 261, 262, 1000, 8000, 16384]));
  }
}

const dataRecords = (result: Result) => result.records.filter((record): record is DataRecord => record.kind === 'data');

/** By position: the byte that was captured. Checks that the records follow each other. */
function capturedBytes(records: readonly DataRecord[]): Map<number, number> {
  const bytes = new Map<number, number>();
  let next = records[0]?.position ?? 0;
  for (const { position, length, captured, pieces } of records) {
    assert.equal(position, next);
    let at = position;
    for (const piece of pieces.length > 0 ? pieces : [{ length, captured }]) {
      for (const [index, byte] of piece.captured.entries()) bytes.set(at + index, byte);
      at += piece.length;
    }
    next += length;
  }
  return bytes;
}

/** Everything that must be there is there, and of what is passed over only what stands beside it. */
function check(frames: readonly Frame[], records: readonly DataRecord[], from = 0): void {
  const bytes = capturedBytes(records);
  let at = from;
  for (const { bytes: whole, kept } of frames) {
    for (let i = 0; i < whole.length; i++) {
      if (i < kept) assert.equal(bytes.get(at + i), whole[i], `byte ${i} of a frame of ${whole.length}`);
      else assert.equal(bytes.get(at + i), undefined, `byte ${i} of a frame of ${whole.length} is passed over`);
    }
    at += whole.length;
  }
  assert.equal(
    records.reduce((sum, { length }) => sum + length, 0),
    at,
  );
}

const preface: Frame = { bytes: PREFACE, kept: PREFACE.length };

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

test('frames cut in chunks of any size are walked in step', () => {
  seed(3);
  for (const frontEnd of FRONT_ENDS) {
    for (const sizes of [[1], [2, 3], [8, 9, 10], [13], [100], [255, 256, 257], [1000, 1], [16384], [70_000]]) {
      const script = new Script(frontEnd);
      // As many as make a thousand chunks or so.
      const small = () => frame(random(10) ? HEADERS : DATA, 20 + random(50));
      const count = sizes[0]! < 200 ? 12 : 60;
      const frames = [preface, ...Array.from({ length: count }, sizes[0]! < 14 ? small : randomFrame)];
      const stream = Buffer.concat(frames.map(({ bytes }) => bytes));
      const indices = cut(stream, sizes).map((piece) => script.receive([piece]));
      const results = script.run();
      check(
        frames,
        indices.flatMap((index) => dataRecords(results[index]!)),
      );
    }
  }
});

test('frames in segments cut anywhere are walked in step', () => {
  seed(4);
  for (let round = 0; round < 40; round++) {
    const script = new Script(pick(FRONT_ENDS));
    const frames = [preface, ...Array.from({ length: 20 }, randomFrame)];
    const stream = Buffer.concat(frames.map(({ bytes }) => bytes));
    const chunks = cut(stream, [pick([300, 3000, 20_000])]);
    const indices = chunks.map((chunk) => {
      const segments = cut(chunk, [pick([50, 1000]), pick([1, 9, 4000])]);
      if (segments.length > 1 && random(2)) segments.splice(1, 0, Buffer.alloc(0));
      return script.send(segments);
    });
    const results = script.run();
    check(
      frames,
      indices.flatMap((index) => dataRecords(results[index]!)),
    );
  }
});

test('of DATA that fills chunks the length is told, in one small record each', () => {
  const script = new Script();
  script.send([Buffer.concat([PREFACE, frame(DATA, 100_000).bytes.subarray(0, 1000)])]);
  const body = script.send([payload(16_384)]);
  const record = dataRecords(script.run()[body]!);
  assert.equal(record.length, 1);
  assert.deepEqual([record[0]!.length, record[0]!.captured.length], [16_384, 0]);
});

test('bytes that nobody saw, inside of DATA, hide nothing; beyond it the walk waits for frames', () => {
  const data = frame(DATA, 10_000);
  const next = frame(HEADERS, 40);
  const script = new Script();
  script.send([Buffer.concat([PREFACE, data.bytes.subarray(0, 2000)])]);
  const inside = script.send([Buffer.concat([data.bytes.subarray(7000), next.bytes])], { hidden: 5000 });
  const lost = script.send([payload(300)], { hidden: 50 });
  const joined = script.send([Buffer.concat([next.bytes, next.bytes])]);
  const results = script.run();
  const [seen] = dataRecords(results[inside]!);
  assert.ok(seen!.captured.equals(next.bytes));
  assert.equal(dataRecords(results[lost]!)[0]!.captured.length, 0);
  assert.ok(dataRecords(results[joined]!)[0]!.captured.equals(Buffer.concat([next.bytes, next.bytes])));
});

test('a connection is joined at frames, and not at what looks a little like them', () => {
  const whole = [frame(PING, 8), frame(HEADERS, 30), frame(DATA, 3000)].map(({ bytes }) => bytes);
  const joins = [whole[0]!, Buffer.concat(whole), whole[1]!.subarray(0, 9), Buffer.concat([whole[2]!, whole[0]!])];
  const refused = [
    whole[1]!.subarray(0, 20),
    Buffer.concat([whole[0]!, ascii('no frame here')]),
    Buffer.alloc(64),
    frame(CONTINUATION, 30).bytes,
    frame(UNKNOWN_TYPE, 30).bytes,
    Buffer.concat([frame(PING, 7).bytes]),
  ];
  for (const [chunks, expected] of [
    [joins, true],
    [refused, false],
  ] as const) {
    const script = new Script();
    const indices = chunks.map((chunk) => {
      script.begin();
      return script.receive([chunk]);
    });
    const results = script.run();
    for (const [i, index] of indices.entries())
      assert.equal(dataRecords(results[index]!).length > 0, expected, chunks[i]!.toString('hex').slice(0, 60));
  }
});

test('what was taken for HTTP/2 by its frames alone may be HTTP/1 afterwards, what had a preface may not', () => {
  const request = ascii('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  for (const [first, copied] of [
    [frame(PING, 8).bytes, true],
    [PREFACE, false],
  ] as const) {
    const script = new Script();
    script.receive([first]);
    // The walk finds out at the header that cannot be one.
    script.receive([Buffer.concat([frame(PING, 9).bytes])]);
    const at = script.receive([request]);
    const captured = dataRecords(script.run()[at]!).map((record) => record.captured.length);
    assert.deepEqual(captured, [copied ? request.length : 0]);
  }
});

test('10 MB of random bytes begin no connection, or hardly any', () => {
  seed(5);
  const script = new Script();
  for (let i = 0; i < 640; i++) {
    if (i % 100 === 0) script.begin();
    const bytes = Buffer.alloc(16_384);
    for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE(random(2 ** 32) >>> 0, at);
    script.receive([bytes], { socket: 1 });
  }
  const records = script.run().flatMap(dataRecords);
  assert.ok(records.filter(({ pieces }) => pieces.length > 0).length <= 1);
});

test('more frames in one chunk than are walked are counted, and the next frames are found', () => {
  const script = new Script();
  const ping = frame(PING, 8).bytes;
  script.receive([PREFACE]);
  const flood = script.receive([Buffer.concat(Array.from({ length: 3000 }, () => ping))]);
  const after = script.receive([ping]);
  const counters = script.counters();
  const results = script.run();
  const covered = dataRecords(results[flood]!).reduce((sum, { length }) => sum + length, 0);
  assert.ok(covered > 900 * ping.length && covered < 3000 * ping.length, `${covered} bytes`);
  assert.equal(counter(results[counters]!, 'LOST_FRAMES'), 1);
  assert.ok(dataRecords(results[after]!)[0]!.captured.equals(ping));
});
