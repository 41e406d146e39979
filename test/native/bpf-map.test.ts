/** Reading and writing maps. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { needsBpf, openFixture, readU64, u64 } from './fixture.ts';

/** "0-1", "0,2-3" */
function possibleCpus(): number {
  let cpus = 0;
  for (const range of readFileSync('/sys/devices/system/cpu/possible', 'utf8').trim().split(',')) {
    const [first, last] = range.split('-').map(Number);
    cpus += (last ?? first!) - first! + 1;
  }
  return cpus;
}

test('a hash map is written, read, listed and deleted from', needsBpf, (context) => {
  const object = openFixture();
  context.after(() => object.close());
  const map = object.map('fx_calls');
  assert.deepEqual([map.name, map.keySize, map.valueSize, map.maxEntries], ['fx_calls', 8, 8, 64]);
  assert.equal(map.lookup(u64(1)), undefined);
  assert.equal(map.delete(u64(1)), false);
  for (const key of [1, 2, 3]) map.update(u64(key), u64(key * 10));
  map.update(u64(3), u64(31));
  assert.equal(readU64(map, 3), 31n);
  const keys = map.keys(64);
  assert.equal(keys.length, 24);
  assert.deepEqual([...new BigUint64Array(keys.buffer)].sort(), [1n, 2n, 3n]);
  assert.equal(map.keys(2).length, 16);
  assert.equal(map.keys(0).length, 0);
  assert.equal(map.delete(u64(3)), true);
  assert.equal(map.keys(64).length, 16);
  const copy = map.lookup(u64(1))!;
  map.update(u64(1), u64(99));
  assert.deepEqual(copy, u64(10), 'a lookup is a copy');
});

test('a hash is read in batches, each entry once, into the same memory', needsBpf, (context) => {
  const object = openFixture();
  context.after(() => object.close());
  const map = object.map('fx_calls');
  for (let key = 1; key <= 60; key++) map.update(u64(key), u64(key * 10));
  const [keys, values] = [new BigUint64Array(16), new BigUint64Array(16)];
  const [keyBytes, valueBytes] = [new Uint8Array(keys.buffer), new Uint8Array(values.buffer)];
  const found: bigint[] = [];
  let batches = 0;
  for (let cursor: number | undefined, first = true; first || cursor !== undefined; first = false) {
    const { count, next } = map.batch(cursor, 16, keyBytes, valueBytes);
    for (let i = 0; i < count; i++) {
      assert.equal(values[i], keys[i]! * 10n);
      found.push(keys[i]!);
    }
    cursor = next;
    batches++;
  }
  assert.ok(batches > 3, `${batches} batches`);
  const expected = Array.from({ length: 60 }, (_, i) => BigInt(i + 1));
  assert.deepEqual(
    found.sort((a, b) => Number(a - b)),
    expected,
  );
  const [short, long] = [new Uint8Array(120), new Uint8Array(136)];
  for (const [a, b] of [
    [short, valueBytes],
    [keyBytes, short],
    [long, valueBytes],
    [keyBytes, undefined],
  ])
    assert.throws(() => map.batch(undefined, 16, a!, b!), TypeError);
  for (const count of [0, 65, 1.5]) assert.throws(() => map.batch(undefined, count, keyBytes, valueBytes), RangeError);
  assert.throws(() => map.batch(-1, 16, keyBytes, valueBytes), RangeError);
  const percpu = object.map('fx_percpu');
  assert.throws(() => percpu.batch(undefined, 1, new Uint8Array(4), new Uint8Array(percpu.valueSize)), {
    code: 'MAP',
    errno: 95,
  });
});

test('a value of a per-CPU map holds every possible CPU, each rounded up to 8', needsBpf, (context) => {
  const object = openFixture();
  context.after(() => object.close());
  const map = object.map('fx_percpu');
  assert.equal(map.valueSize, 8 * possibleCpus());
  const value = new Uint8Array(map.valueSize);
  value.forEach((_, index) => {
    if (index % 8 < 4) value[index] = index;
  });
  map.update(Uint8Array.of(2, 0, 0, 0), value);
  assert.deepEqual(map.lookup(Uint8Array.of(2, 0, 0, 0)), value);
  assert.equal(map.keys(100).length, 16, 'an array has all its keys');
});

test('a ring buffer has no keys', needsBpf, (context) => {
  const object = openFixture();
  context.after(() => object.close());
  const map = object.map('fx_ring');
  assert.throws(() => map.lookup(new Uint8Array(0)), { name: 'PlainsightError', code: 'MAP', errno: 95 });
  assert.throws(() => map.keys(1), { name: 'PlainsightError', code: 'MAP', errno: 95 });
});

test('errors of the kernel carry their errno', needsBpf, (context) => {
  const object = openFixture();
  context.after(() => object.close());
  const outside = Uint8Array.of(9, 0, 0, 0);
  const percpu = object.map('fx_percpu');
  assert.equal(percpu.lookup(outside), undefined);
  assert.throws(() => percpu.update(outside, new Uint8Array(percpu.valueSize)), { code: 'MAP', errno: 7 });
  assert.throws(() => percpu.delete(Uint8Array.of(0, 0, 0, 0)), { code: 'MAP', errno: 22 });
});

test('keys and values of the wrong type or size are refused', needsBpf, (context) => {
  const object = openFixture();
  context.after(() => object.close());
  const map = object.map('fx_calls');
  const untyped = map as unknown as Record<string, (...args: unknown[]) => unknown>;
  for (const key of [
    undefined,
    7,
    'key',
    [1],
    new Uint8Array(7),
    new Uint8Array(9),
    new Int8Array(8),
    new DataView(new ArrayBuffer(8)),
  ])
    for (const method of ['lookup', 'update', 'delete'])
      assert.throws(() => untyped[method]!.call(map, key, u64(1)), TypeError);
  for (const value of [undefined, 7, new Uint8Array(7), new Uint16Array(4)])
    assert.throws(() => untyped.update!.call(map, u64(1), value), TypeError);
  assert.throws(() => untyped.keys!.call(map), TypeError);
  for (const limit of [-1, 0.5, 2 ** 32, Number.NaN]) assert.throws(() => map.keys(limit), RangeError);
  const moved = u64(1);
  structuredClone(moved.buffer, { transfer: [moved.buffer as ArrayBuffer] });
  assert.throws(() => map.lookup(moved), TypeError, 'a detached key');
  assert.throws(() => map.lookup.call(object as never, u64(1)), TypeError);
});

test('views into larger buffers and Buffers are keys too', needsBpf, (context) => {
  const object = openFixture();
  context.after(() => object.close());
  const map = object.map('fx_calls');
  map.update(u64(0x0807_0605_0403_0201n), u64(5));
  assert.deepEqual(map.lookup(Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7, 8).subarray(1)), u64(5));
  assert.deepEqual(map.lookup(Buffer.from('0102030405060708', 'hex')), u64(5));
});

test('a map is closed with its object, and keeps its description', needsBpf, () => {
  const object = openFixture();
  const map = object.map('fx_calls');
  object.close();
  const closed = { name: 'PlainsightError', code: 'USAGE', errno: 9 };
  assert.throws(() => map.lookup(u64(1)), closed);
  assert.throws(() => map.update(u64(1), u64(1)), closed);
  assert.throws(() => map.delete(u64(1)), closed);
  assert.throws(() => map.keys(1), closed);
  assert.equal(map.keySize, 8);
});
