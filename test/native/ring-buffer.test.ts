/** drain(): records of every size over the end of the ring, records that lie, full batches. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { RingBuffer } from '../../src/native.ts';
import { native } from '../../src/native.ts';
import type { Target } from './fixture.ts';
import { compileTarget, ENTRY, needsBpf, openFixture, sites } from './fixture.ts';

const BATCH_BYTES = 65536;

interface Ring {
  readonly target: Target;
  readonly ring: RingBuffer;
  /** Bytes of BPF maps that this process has mapped since. */
  mapped(): number;
}

function mappedBytes(): number {
  const maps = readFileSync('/proc/self/maps', 'utf8').matchAll(/^(\w+)-(\w+) .*bpf-map$/gm);
  return [...maps].reduce((sum, [, start, end]) => sum + Number.parseInt(end!, 16) - Number.parseInt(start!, 16), 0);
}

function openRing(after: (fn: () => void) => void, ringBytes: number, program = 'fx_on_bytes'): Ring {
  const target = compileTarget();
  const object = openFixture({ mapSizes: { fx_ring: ringBytes } });
  const before = mappedBytes();
  const ring = native().openRingBuffer(object.map('fx_ring'), BATCH_BYTES);
  after(() => {
    ring.close();
    object.close();
  });
  object.attachUprobes(program, target.path, sites([target.bytes, 1n]), ENTRY);
  return { target, ring, mapped: () => mappedBytes() - before };
}

/** The record that `target bytes size length seed` makes. */
function expected(size: number, length: number, seed: number): Uint8Array {
  const bytes = Uint8Array.from({ length }, (_, index) => seed + index);
  new DataView(bytes.buffer).setUint32(0, size, true);
  return bytes;
}

/** Walks a batch as the decoder does: by the first u32 of each record. */
function records(ring: RingBuffer, filled: number): Uint8Array[] {
  const view = new DataView(ring.batch.buffer, ring.batch.byteOffset);
  const found: Uint8Array[] = [];
  for (let at = 0; at < filled; ) {
    const size = view.getUint32(at, true);
    found.push(ring.batch.slice(at, at + size));
    const end = at + size;
    at = Math.ceil(end / 8) * 8;
    assert(ring.batch.subarray(end, at).every((byte) => byte === 0));
  }
  return found;
}

test('records of odd sizes survive the end of the ring, 100 times around', needsBpf, (context) => {
  const { target, ring } = openRing((fn) => context.after(fn), 4096);
  let sent = 0;
  for (let round = 0; sent < 100 * 4096; round++) {
    const numbers: number[] = [];
    const wanted: Uint8Array[] = [];
    for (let bytes = 0, i = 0; bytes < 3000; i++) {
      const length = 8 + ((round * 7 + i * 131) % 501);
      numbers.push(length, length, round + i);
      wanted.push(expected(length, length, round + i));
      bytes += length + 16;
      sent += length + 8;
    }
    target.call('bytes', numbers);
    assert(ring.pendingBytes() > 0);
    assert.deepEqual(records(ring, ring.drain()), wanted);
    assert.equal(ring.pendingBytes(), 0);
  }
  assert.equal(ring.drain(), 0);
  assert.equal(ring.dropped(), 0);
});

test('only the used bytes of a record are copied', needsBpf, (context) => {
  const { target, ring } = openRing((fn) => context.after(fn), 4096);
  target.call('bytes', [13, 900, 1, 8, 800, 2]);
  const filled = ring.drain();
  assert.equal(filled, 24);
  assert.deepEqual(records(ring, filled), [expected(13, 13, 1), expected(8, 8, 2)]);
});

test('a record whose size lies is taken at its length, and says so in the batch', needsBpf, (context) => {
  const { target, ring } = openRing((fn) => context.after(fn), 4096);
  target.call('bytes', [0, 20, 1, 7, 21, 2, 24, 23, 3, 4294967295, 24, 4, 12, 12, 5]);
  assert.deepEqual(records(ring, ring.drain()), [
    expected(20, 20, 1),
    expected(21, 21, 2),
    expected(23, 23, 3),
    expected(24, 24, 4),
    expected(12, 12, 5),
  ]);
  assert.equal(ring.dropped(), 0);
});

test('a record too short to be one is dropped and counted', needsBpf, (context) => {
  const { target, ring } = openRing((fn) => context.after(fn), 4096);
  target.call('bytes', [4, 4, 1, 7, 7, 2, 8, 8, 3]);
  assert.deepEqual(records(ring, ring.drain()), [expected(8, 8, 3)]);
  assert.equal(ring.dropped(), 2);
});

test('a full ring keeps what it has', needsBpf, (context) => {
  const { target, ring } = openRing((fn) => context.after(fn), 4096);
  target.call('bytes', Array.from({ length: 20 }, (_, index) => [504, 504, index]).flat());
  assert.equal(ring.pendingBytes(), 7 * 512, 'the kernel leaves at least one byte free');
  assert.deepEqual(
    records(ring, ring.drain()),
    Array.from({ length: 7 }, (_, index) => expected(504, 504, index)),
  );
});

test('what does not fit into a batch comes with the next', needsBpf, (context) => {
  const { target, ring } = openRing((fn) => context.after(fn), 262144);
  const lengths = Array.from({ length: 90 }, (_, index) => 1001 + (index % 23));
  target.call(
    'bytes',
    lengths.flatMap((length, index) => [length, length, index]),
  );
  const found: Uint8Array[] = [];
  const drained: number[] = [];
  for (let filled = ring.drain(); filled > 0; filled = ring.drain()) {
    drained.push(filled);
    found.push(...records(ring, filled));
  }
  assert.equal(drained.length, 2);
  assert(drained[0]! <= BATCH_BYTES && drained[0]! > BATCH_BYTES - 1100);
  assert.deepEqual(
    found,
    lengths.map((length, index) => expected(length, length, index)),
  );
});

test('a record longer than the batch is dropped and counted', needsBpf, (context) => {
  const { target, ring } = openRing((fn) => context.after(fn), 524288, 'fx_on_huge');
  target.call('bytes', [8, 8, 0, 8, 8, 0]);
  assert(ring.pendingBytes() > 2 * 128 * 1024);
  assert.equal(ring.drain(), 0);
  assert.equal(ring.dropped(), 2);
  assert.equal(ring.pendingBytes(), 0);
});

test('discarded records are passed over', needsBpf, (context) => {
  const { target, ring } = openRing((fn) => context.after(fn), 4096, 'fx_on_discard');
  target.call('bytes', [8, 8, 0, 8, 8, 0]);
  assert.equal(ring.pendingBytes(), 96);
  assert.equal(ring.drain(), 0);
  assert.equal(ring.pendingBytes(), 0);
  assert.equal(ring.dropped(), 0);
});

test('the ring outlives the object of its map', needsBpf, () => {
  const target = compileTarget();
  const object = openFixture();
  const ring = native().openRingBuffer(object.map('fx_ring'), BATCH_BYTES);
  object.attachUprobes('fx_on_bytes', target.path, sites([target.bytes, 1n]), ENTRY);
  target.call('bytes', [9, 9, 1]);
  object.close();
  assert.deepEqual(records(ring, ring.drain()), [expected(9, 9, 1)]);
  ring.close();
});

test('of the data only a window is mapped, and records cross its end', needsBpf, (context) => {
  const { target, ring, mapped } = openRing((fn) => context.after(fn), 1024 * 1024);
  assert(mapped() <= 256 * 1024 + 2 * 65536, `${mapped()} bytes: a window and the two pages of positions`);
  for (let round = 0; round < 4; round++) {
    const lengths = Array.from({ length: 900 }, (_, index) => 993 + ((index + round) % 29));
    target.call(
      'bytes',
      lengths.flatMap((length, index) => [length, length, index]),
    );
    const found: Uint8Array[] = [];
    for (let filled = ring.drain(); filled > 0; filled = ring.drain()) found.push(...records(ring, filled));
    assert.deepEqual(
      found,
      lengths.map((length, index) => expected(length, length, index)),
    );
  }
  assert(mapped() <= 256 * 1024 + 2 * 65536);
  ring.close();
  assert.equal(mapped(), 0);
});

test('a record of half a window fits a larger batch', needsBpf, (context) => {
  const target = compileTarget();
  const object = openFixture({ mapSizes: { fx_ring: 1024 * 1024 } });
  const ring = native().openRingBuffer(object.map('fx_ring'), 1024 * 1024);
  context.after(() => {
    ring.close();
    object.close();
  });
  object.attachUprobes('fx_on_huge', target.path, sites([target.bytes, 1n]), ENTRY);
  target.call('bytes', [8, 8, 0, 8, 8, 0, 8, 8, 0]);
  assert.deepEqual(
    records(ring, ring.drain()).map((record) => record.length),
    [131072, 131072, 131072],
  );
});

test('arguments of the wrong type or size are refused', needsBpf, (context) => {
  const object = openFixture();
  context.after(() => object.close());
  const open = native().openRingBuffer as (...args: unknown[]) => RingBuffer;
  const map = object.map('fx_ring');
  for (const args of [[], [map], [map, '65536'], [{}, 65536], [object, 65536], [object.map('fx_calls'), 65536]])
    assert.throws(() => open(...args), TypeError);
  for (const bytes of [0, 65535, 65536.5, 2 ** 26 + 1]) assert.throws(() => open(map, bytes), RangeError);
  object.close();
  assert.throws(() => open(map, 65536), { code: 'USAGE', errno: 9 });
});

test('closed, and with its batch taken away', needsBpf, (context) => {
  const object = openFixture();
  context.after(() => object.close());
  const ring = native().openRingBuffer(object.map('fx_ring'), BATCH_BYTES);
  structuredClone(ring.batch.buffer, { transfer: [ring.batch.buffer as ArrayBuffer] });
  assert.throws(() => ring.drain(), { name: 'PlainsightError', code: 'USAGE', errno: 22 });
  ring.close();
  ring.close();
  assert.throws(() => ring.drain(), { name: 'PlainsightError', code: 'USAGE', errno: 9 });
  assert.throws(() => ring.pendingBytes(), { name: 'PlainsightError', code: 'USAGE', errno: 9 });
  assert.equal(ring.dropped(), 0);
});
