import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TlsBytes } from '../../src/capture/tls-bytes.ts';

function fixture() {
  const added: [number, number, number][] = [];
  const bytes = new TlsBytes((...counts) => added.push(counts));
  const take = () => added.splice(0);
  return { bytes, take };
}

const count = (pid: number, plaintextBytes: number, ciphertextBytes: number) => ({
  pid,
  plaintextBytes,
  ciphertextBytes,
});

test('what was added since the last look is counted, nothing twice', () => {
  const { bytes, take } = fixture();
  bytes.update([count(7, 100, 120), count(8, 0, 50)]);
  bytes.update([count(7, 100, 120), count(8, 0, 80)]);
  assert.deepEqual(take(), [
    [7, 100, 120],
    [8, 0, 50],
    [8, 0, 30],
  ]);
});

test('a count that fell began anew', () => {
  const { bytes, take } = fixture();
  bytes.update([count(7, 100, 120)]);
  bytes.update([count(7, 10, 12)]);
  assert.deepEqual(take(), [
    [7, 100, 120],
    [7, 10, 12],
  ]);
});

test('the next process of the same number begins at zero', () => {
  const { bytes, take } = fixture();
  bytes.update([count(7, 100, 120)]);
  bytes.ended(7);
  bytes.update([count(7, 130, 150)]);
  assert.deepEqual(take().at(-1), [7, 130, 150]);
});

test('processes whose end was missed are forgotten', () => {
  const { bytes, take } = fixture();
  bytes.update(Array.from({ length: 100 }, (_, pid) => count(pid, 5, 5)));
  bytes.update([count(1, 5, 5), count(2, 5, 5)]);
  take();
  bytes.update([count(1, 6, 5), count(50, 9, 9)]);
  assert.deepEqual(take(), [
    [1, 1, 0],
    [50, 9, 9],
  ]);
});
