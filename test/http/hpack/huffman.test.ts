/** The Huffman code against RFC 7541 appendix B, by its ends and by its sums. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  EOS,
  HUFFMAN_ACCEPTS,
  HUFFMAN_CODES,
  HUFFMAN_START,
  HUFFMAN_STEPS,
  STEP_INVALID,
  STEP_SYMBOL,
} from '../../../src/http/http2/hpack/huffman.ts';
import { encodeHuffman } from '../http2/notation.ts';

/** undefined: not valid. */
function decode(bytes: Uint8Array): number[] | undefined {
  const symbols: number[] = [];
  let state = HUFFMAN_START;
  for (const byte of bytes) {
    for (const half of [byte >> 4, byte & 15]) {
      const step = HUFFMAN_STEPS[state * 16 + half]!;
      if (step & STEP_INVALID) return undefined;
      if (step & STEP_SYMBOL) symbols.push((step >> 8) & 0xff);
      state = step & 0xff;
    }
  }
  return HUFFMAN_ACCEPTS[state] === 1 ? symbols : undefined;
}

test('codes of appendix B', () => {
  assert.equal(HUFFMAN_CODES.length, 257);
  for (const [symbol, code, bits] of [
    [0, 0x1ff8, 13],
    [10, 0x3ffffffc, 30],
    [32, 0x14, 6],
    [48, 0x0, 5],
    [97, 0x3, 5],
    [90, 0xfd, 8],
    [126, 0x1ffd, 13],
    [127, 0xffffffc, 28],
    [128, 0xfffe6, 20],
    [249, 0xffffffe, 28],
    [255, 0x3ffffee, 26],
    [EOS, 0x3fffffff, 30],
  ] as const) {
    assert.deepEqual(HUFFMAN_CODES[symbol], { code, bits }, `symbol ${symbol}`);
  }
});

test('the code is complete', () => {
  const sum = HUFFMAN_CODES.reduce((total, { bits }) => total + 2 ** (30 - bits), 0);
  assert.equal(sum, 2 ** 30);
});

test('every symbol, alone and between others', () => {
  for (let symbol = 0; symbol < 256; symbol++) {
    for (const text of [[symbol], [97, symbol, 255], [symbol, symbol, symbol]]) {
      assert.deepEqual(decode(encodeHuffman(Uint8Array.from(text))), text);
    }
  }
});

test('padding is at most 7 ones', () => {
  assert.deepEqual(decode(Uint8Array.of(0x1f)), [97]);
  assert.equal(decode(Uint8Array.of(0x1f, 0xff)), undefined);
  assert.equal(decode(Uint8Array.of(0x18)), undefined);
  assert.equal(decode(Uint8Array.of(0xff, 0xff, 0xff, 0xff)), undefined);
});
