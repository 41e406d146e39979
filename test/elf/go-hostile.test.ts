/** Go programs that lie: the answer is BAD_ELF, a reason or functions inside the file, never another error. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mutate, numbers, tryGo } from './go-mutants.ts';
import { goSample } from './go-sample.ts';

const MUTANTS_EACH = 600;

test('mutants of every layout', () => {
  const outcomes = { reason: 0, some: 0, all: 0 };
  let seed = 1;
  for (const layout of ['1.16', '1.18', '1.20'] as const) {
    for (const text of ['header', 'section', 'data', 'relocations'] as const) {
      for (const sections of [true, false]) {
        const { bytes, ranges } = goSample({ layout, text, sections });
        assert.equal(tryGo(bytes), 2);
        const random = numbers(seed++);
        for (let i = 0; i < MUTANTS_EACH; i++) {
          const found = tryGo(mutate(bytes, random, ranges));
          outcomes[found === undefined ? 'reason' : found === 2 ? 'all' : 'some']++;
        }
      }
    }
  }
  // Were one of them missing, the mutants would not reach that part of the reader.
  assert.ok(outcomes.reason > 1000 && outcomes.some > 300 && outcomes.all > 1000, JSON.stringify(outcomes));
});

test('files that were cut anywhere', () => {
  const { bytes } = goSample({ text: 'section' });
  for (let length = 0; length < bytes.length; length += 13) tryGo(bytes.subarray(0, length));
  assert.equal(tryGo(bytes), 2);
});

test('a segment full of magic numbers is given up', () => {
  const { bytes } = goSample({ sections: false });
  const magic = Buffer.from([0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8]);
  const big = Buffer.concat([bytes, Buffer.alloc(16 * 1024 * 1024)]);
  for (let at = bytes.length; at + 8 <= big.length; at += 8) magic.copy(big, at);
  // The data segment is all of that, and is looked at first.
  big.writeBigUInt64LE(BigInt(big.length - 0x3000), 64 + 2 * 56 + 32);
  big.writeBigUInt64LE(BigInt(big.length - 0x3000), 64 + 2 * 56 + 40);
  assert.equal(tryGo(big), undefined);
});
