/**
 * The fuzzer for as long as PLAINSIGHT_FUZZ_SECONDS says (30 at most without it), from PLAINSIGHT_FUZZ_SEED on. A failure names
 * its seed. Slow inputs and leaks show as a bound that is missed by far, so the bounds are wide.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { headParserPool } from '../../src/http/http1/protocol.ts';
import { fuzzCases, fuzzNoise } from './fuzz.ts';

const SECONDS = Number(process.env.PLAINSIGHT_FUZZ_SECONDS ?? 0);
const SEED = Number(process.env.PLAINSIGHT_FUZZ_SEED ?? 1);
/** Without a time of its own. */
const ROUNDS = 12_000;
/** What is held when all is over: the pools, and what the compiler made. */
const MEMORY_BYTES = 20e6;
/** Hostile bytes cost no more than others: 100 times what a byte of ordinary traffic takes. */
const NS_PER_BYTE = 5000;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heldBytes(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

test('mutated cases: no exception, nothing that may not be a label, bounded time and memory', (t) => {
  const began = process.hrtime.bigint();
  const elapsed = () => Number(process.hrtime.bigint() - began);
  const before = heldBytes();
  let fed = 0;
  let seed = SEED;
  const goesOn = () => (SECONDS > 0 ? elapsed() < SECONDS * 1e9 : seed - SEED < ROUNDS && elapsed() < 25e9);
  for (; goesOn(); seed++) {
    try {
      fed += fuzzCases(seed);
    } catch (cause) {
      throw new Error(`PLAINSIGHT_FUZZ_SEED=${seed}: ${(cause as Error).message}`, { cause });
    }
  }
  const grownBytes = heldBytes() - before;
  t.diagnostic(
    `${seed - SEED} rounds, ${fed} bytes, ${Math.round(elapsed() / fed)} ns a byte, grown by ${grownBytes} bytes`,
  );
  assert.ok(fed > 0);
  assert.ok(elapsed() / fed < NS_PER_BYTE);
  assert.ok(grownBytes < MEMORY_BYTES);
  assert.equal(headParserPool().stats.held, 0);
});

test('10 MB of random bytes are no transaction', () => {
  assert.equal(fuzzNoise(SEED, 10e6), 0);
});
