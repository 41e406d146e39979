import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { quantile } from '../../src/summary/quantile.ts';

const BOUNDS = [0.1, 0.2, 0.4];

describe('quantile', () => {
  test('is linear within the bucket that the rank falls into', () => {
    assert.equal(quantile(0.5, BOUNDS, [10, 0, 0, 0]), 0.05);
    assert.equal(quantile(0.5, BOUNDS, [0, 10, 0, 0]), 0.15000000000000002);
    // Rank 9 of 10: the fifth of six in the bucket from 0.2 to 0.4.
    assert.equal(quantile(0.9, BOUNDS, [2, 2, 6, 0])?.toFixed(6), (0.2 + (0.2 * 5) / 6).toFixed(6));
  });

  test('a rank on a bound is that bound', () => {
    assert.equal(quantile(0.5, BOUNDS, [5, 5, 0, 0]), 0.1);
    assert.equal(quantile(0.5, BOUNDS, [5, 0, 5, 0]), 0.1);
  });

  test('above the last bound it is the last bound', () => {
    assert.equal(quantile(0.99, BOUNDS, [1, 0, 0, 99]), 0.4);
    assert.equal(quantile(0.5, BOUNDS, [0, 0, 0, 1]), 0.4);
  });

  test('without observations there is none', () => {
    assert.equal(quantile(0.5, BOUNDS, [0, 0, 0, 0]), null);
  });
});
