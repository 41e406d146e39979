import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSummary } from '../../tools/test-summary.ts';

const SUMMARY = `✔ one (0.5ms)
ℹ tests 9
ℹ suites 0
ℹ pass 3
ℹ fail 2
ℹ cancelled 1
ℹ skipped 1
ℹ todo 2
ℹ duration_ms 41.5
`;

test('cancelled tests count as failed, tests to do as skipped', () => {
  assert.deepEqual(readSummary(SUMMARY), { passed: 3, failed: 3, skipped: 3 });
});

test('output of a test that looks like a summary does not replace the real one', () => {
  assert.deepEqual(readSummary(`ℹ pass 700\nthey pass 800\n${SUMMARY}`), { passed: 3, failed: 3, skipped: 3 });
});

test('a summary that breaks off is none', () => {
  assert.equal(readSummary(SUMMARY.replace('ℹ cancelled 1\n', '')), undefined);
  assert.equal(readSummary(''), undefined);
});
