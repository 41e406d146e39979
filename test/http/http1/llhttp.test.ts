/** The pinned undici holds what src/http/http1/llhttp.ts builds on. */

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import {
  CODING_CHUNKED,
  CODING_NONE,
  CODING_OTHER,
  type HeadParser,
  HeadParserPool,
  MAX_HEAD_BYTES,
} from '../../../src/http/http1/head-parser.ts';
import { HEADER_STATE_OFFSET, HPE_OK, HPE_PAUSED, Llhttp, START_LINE_BYTES } from '../../../src/http/http1/llhttp.ts';
import { KIND_ANY } from '../../../src/http/http1/start-line.ts';

const require = createRequire(import.meta.url);

test('the pinned version, and the numbers taken from it', () => {
  assert.equal((require('undici/package.json') as { version: string }).version, '7.30.2');
  const constants = require('undici/lib/llhttp/constants.js') as {
    ERROR: Record<string, number>;
    TYPE: Record<string, number>;
    HEADER_STATE: Record<string, number>;
  };
  assert.equal(constants.ERROR.OK, HPE_OK);
  assert.equal(constants.ERROR.PAUSED, HPE_PAUSED);
  assert.equal(constants.TYPE.REQUEST, 1);
  assert.equal(constants.HEADER_STATE.GENERAL, 0);
});

test('header_state lies where it is written', () => {
  const llhttp = new Llhttp();
  const parser = llhttp.allocate();
  const { CONTENT_LENGTH, TRANSFER_ENCODING } = (
    require('undici/lib/llhttp/constants.js') as { HEADER_STATE: Record<string, number> }
  ).HEADER_STATE;
  const states: number[] = [];
  const events = {
    headerField: () => states.push(llhttp.heap[parser + HEADER_STATE_OFFSET]!),
    headerValue: () => {},
  };
  const text = Buffer.from('Content-Length: 5\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n', 'latin1');
  llhttp.heap.set(text, llhttp.input);
  llhttp.exports.llhttp_reset(parser);
  llhttp.execute(parser, llhttp.startLine, START_LINE_BYTES + text.length, events);
  assert.deepEqual(states, [CONTENT_LENGTH, 0, TRANSFER_ENCODING]);
});

const pool = new HeadParserPool(4);

function parse(text: string, every = text.length): { parser: HeadParser; at: number } {
  const bytes = Buffer.from(text, 'latin1');
  const parser = pool.acquire(KIND_ANY);
  pool.release(parser);
  let at = 0;
  for (let from = 0; from < bytes.length && at >= 0 && !parser.done; from += every) {
    at = parser.feed(bytes, from, Math.min(bytes.length, from + every));
  }
  return { parser, at };
}

const FRAMED: readonly [headers: string, contentLength: number, coding: number][] = [
  ['', -1, CODING_NONE],
  ['Content-Length: 5\r\n', 5, CODING_NONE],
  ['CONTENT-LENGTH:\t007 \r\n', 7, CODING_NONE],
  ['Content-Length: 9007199254740991\r\n', 9007199254740991, CODING_NONE],
  ['Content-Length: 5\r\nContent-Length: 5,5\r\n', 5, CODING_NONE],
  ['Content-Lengthy: 5\r\nContent-Lengt: 6\r\nXContent-Length: 7\r\n', -1, CODING_NONE],
  ['transfer-encoding: CHUNKED\r\n', -1, CODING_CHUNKED],
  ['Transfer-Encoding: gzip, chunked\r\nContent-Length: 3\r\n', 3, CODING_CHUNKED],
  ['Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n', -1, CODING_OTHER],
  ['Transfer-Encoding: chunked;q=1\r\n', -1, CODING_OTHER],
  ['Transfer-Encoding:\r\n  chunked\r\n', -1, CODING_CHUNKED],
  ['Connection: close\r\nUpgrade: x\r\nProxy-Connection: y\r\nX: \x01\x7f\xff\r\n', -1, CODING_NONE],
];

test('framing headers, in one piece and in pieces of every size', () => {
  for (const [headers, contentLength, coding] of FRAMED) {
    const text = `POST / HTTP/1.1\r\nHost: a\r\n${headers}Accept: b\r\n\r\n`;
    for (let every = 1; every <= text.length; every++) {
      const { parser, at } = parse(text, every);
      assert.ok(parser.done && at === text.length, `${headers} by ${every}`);
      assert.deepEqual([parser.contentLength, parser.coding], [contentLength, coding], `${headers} by ${every}`);
    }
  }
});

test('what follows the head is not read', () => {
  const { at } = parse('HTTP/1.1 200 OK\r\nA: b\r\n\r\nHTTP/1.1 500 No\r\n\r\n');
  assert.equal(at, 25);
});

test('heads that are refused', () => {
  const refused = [
    'Content-Length: 5\r\nContent-Length: 6\r\n',
    'Content-Length: 5, 6\r\n',
    'Content-Length: +5\r\n',
    'Content-Length: 5 5\r\n',
    'Content-Length:\r\n',
    'Content-Length: 5,\r\n',
    'Content-Length: 9007199254740992\r\n',
    `Content-Length: ${'0'.repeat(300)}5\r\n`,
    'X:\rContent-Length: 5\r\n',
    'X: \rContent-Length: 5\r\n',
    'X: a\rb\r\n',
    'X : a\r\n',
    'no colon\r\n',
    ': a\r\n',
    'X\0: a\r\n',
  ];
  for (const headers of refused) {
    const text = `POST / HTTP/1.1\r\nHost: a\r\n${headers}\r\n`;
    for (let every = 1; every <= text.length; every++) assert.ok(parse(text, every).at < 0, `${headers} by ${every}`);
  }
});

test('a head of 64 KiB is read, one more byte is refused', () => {
  const frame = 'GET / HTTP/1.1\r\nX: \r\n\r\n';
  const fits = frame.replace('X: ', `X: ${'x'.repeat(MAX_HEAD_BYTES - frame.length)}`);
  assert.ok(parse(fits).parser.done);
  assert.ok(parse(fits.replace('X: ', 'X: x')).at < 0);
  assert.ok(parse(fits.replace('X: ', 'X: x'), 1000).at < 0);
  assert.ok(parse(`GET /${'x'.repeat(MAX_HEAD_BYTES)}`, 1000).at < 0);
});

test('parsers are bounded: the one held longest is taken from its holder', () => {
  const small = new HeadParserPool(2);
  const taken: string[] = [];
  const first = small.acquire(KIND_ANY);
  small.hold(first, { parserTaken: () => taken.push('first') });
  const second = small.acquire(KIND_ANY);
  small.hold(second, { parserTaken: () => taken.push('second') });
  const third = small.acquire(KIND_ANY);
  assert.deepEqual(taken, ['first']);
  assert.equal(third, first);
  small.release(third);
  small.release(second);
  assert.deepEqual(small.stats, { parsers: 2, held: 0, taken: 1 });
});
