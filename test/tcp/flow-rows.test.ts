import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FlowRows } from '../../src/tcp/flow-rows.ts';

const SHAPE = { keyBytes: 8, wide: 2, narrow: 1 };

function key(number: number): Uint32Array {
  return Uint32Array.of(number, number ^ 0x5555);
}

/** What a row holds must be what was put there for its key, through growth and removals. */
function check(rows: FlowRows, numbers: Iterable<number>): void {
  for (const number of numbers) {
    const row = rows.find(key(number), 0);
    assert.ok(row >= 0, `${number} is there`);
    assert.equal(rows.wide[2 * row], number * 10);
    assert.equal(rows.wide[2 * row + 1], 0);
    assert.equal(rows.narrow[row], number + 7);
    assert.equal(rows.changedMs[row], number / 2);
    assert.deepEqual(rows.key(row), new Uint8Array(key(number).buffer));
  }
}

function add(rows: FlowRows, number: number): number {
  assert.equal(rows.find(key(number), 0), -1);
  const row = rows.add(key(number), 0);
  if (row < 0) return row;
  rows.wide[2 * row] = number * 10;
  rows.narrow[row] = number + 7;
  rows.changedMs[row] = number / 2;
  return row;
}

test('rows are found by key through growth, up to the limit', () => {
  const rows = new FlowRows(SHAPE, 1000);
  const numbers = Array.from({ length: 1000 }, (_, i) => i * i);
  for (const number of numbers) assert.ok(add(rows, number) >= 0);
  assert.equal(rows.size, 1000);
  check(rows, numbers);
  assert.equal(add(rows, 5), -1, 'it is full');
  check(rows, numbers);
});

test('what is removed is gone, what stays is told of its new place, a new row begins with zeros', () => {
  const rows = new FlowRows(SHAPE, 600);
  const at = new Map<number, number>();
  for (let number = 0; number < 600; number++) at.set(add(rows, number), number);
  const named: (number | undefined)[] = Array.from({ length: 600 }, (_, row) => at.get(row));
  rows.remove(
    (row) => at.get(row)! % 3 === 0,
    (from, to) => {
      named[to] = named[from];
    },
  );
  assert.equal(rows.size, 400);
  for (let number = 0; number < 600; number++) assert.equal(rows.find(key(number), 0) < 0, number % 3 === 0);
  const kept = Array.from({ length: 600 }, (_, i) => i).filter((number) => number % 3 !== 0);
  check(rows, kept);
  for (const number of kept) assert.equal(named[rows.find(key(number), 0)], number);
  const row = rows.add(key(3), 0);
  assert.deepEqual([rows.wide[2 * row], rows.wide[2 * row + 1], rows.narrow[row], rows.changedMs[row]], [0, 0, 0, 0]);
  rows.remove(
    () => true,
    () => assert.fail('nothing moves'),
  );
  assert.equal(rows.size, 0);
  assert.equal(rows.find(key(1), 0), -1);
});

test('a key is read at its place among others', () => {
  const rows = new FlowRows(SHAPE, 10);
  const many = Uint32Array.of(1, 2, 3, 4, 5, 6);
  assert.equal(rows.add(many, 2), 0);
  assert.equal(rows.find(many, 2), 0);
  assert.equal(rows.find(many, 0), -1);
  assert.equal(rows.find(many, 1), -1);
});
