/** Bytes that mean harm or nothing: no transaction is invented, and nothing grows without a limit. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headParserPool, MAX_HELD_PARSERS } from '../../../src/http/http1/protocol.ts';
import { MAX_OUTSTANDING, RequestQueue } from '../../../src/http/http1/request-queue.ts';
import { EGRESS, INGRESS } from '../../../src/stream/contract.ts';
import { Outcome } from '../cases.ts';

/** Numerical Recipes' generator: the same bytes in every run. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function count(lines: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const line of lines) counts.set(line, (counts.get(line) ?? 0) + 1);
  return counts;
}

function feeder(outcome: Outcome, id: number) {
  let timeNs = 0;
  return (direction: 0 | 1, text: string, lengthBytes = text.length): void => {
    const bytes = Buffer.from(text, 'latin1');
    outcome.streams.data(id, 7, ++timeNs, direction, -1, lengthBytes, bytes, 0, bytes.length);
  };
}

test('a megabyte of random bytes is no transaction', () => {
  const random = randomNumbers(7);
  const outcome = new Outcome();
  const bytes = new Uint8Array(1 << 20);
  for (let i = 0; i < bytes.length; i++) bytes[i] = random(256);
  for (let at = 0, timeNs = 0; at < bytes.length; timeNs++) {
    const length = Math.min(1 + random(3000), bytes.length - at);
    outcome.streams.data(random(20), 7, timeNs, random(2) as 0 | 1, -1, length, bytes, at, at + length);
    at += length;
  }
  assert.deepEqual(outcome.lines, []);
  assert.ok(outcome.streams.stats.droppedChunks > 600);
});

test('a megabyte of random text behind a request and its response is no transaction', () => {
  const random = randomNumbers(11);
  const letters = 'GETPOSHD /HTP1.012 3\r\n\r\n:;0aF*hxc,\t';
  const outcome = new Outcome();
  for (let id = 0; id < 50; id++) {
    const feed = feeder(outcome, id);
    feed(INGRESS, 'GET / HTTP/1.1\r\n\r\n');
    feed(EGRESS, 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    for (let chunk = 0; chunk < 100; chunk++) {
      let text = '';
      for (let i = random(400); i >= 0; i--) text += letters[random(letters.length)];
      feed(random(2) as 0 | 1, text);
    }
  }
  assert.equal(outcome.transactions.length, 50);
});

test('a pipeline without end: the first ones are kept, all are counted', () => {
  const outcome = new Outcome();
  const feed = feeder(outcome, 1);
  for (let i = 0; i < 1000; i++) feed(INGRESS, 'GET / HTTP/1.1\r\n\r\n'.repeat(100));
  assert.deepEqual(count(outcome.lines), new Map([['incomplete pipeline', 100_000 - MAX_OUTSTANDING]]));
  for (let i = 0; i < 2000; i++) feed(EGRESS, 'HTTP/1.1 204 No\r\n\r\n');
  assert.equal(outcome.transactions.length, MAX_OUTSTANDING);
  feed(INGRESS, 'GET / HTTP/1.1\r\n\r\n');
  feed(EGRESS, 'HTTP/1.1 204 No\r\n\r\n');
  outcome.streams.close(1, 1e6, 'orderly');
  assert.equal(outcome.transactions.length, MAX_OUTSTANDING);
  assert.equal(outcome.lines.length, 100_001);
});

test('the queue of requests keeps its order while it grows and wraps', () => {
  const queue = new RequestQueue();
  let pushed = 0;
  let shifted = 0;
  for (let round = 1; round < 100; round++) {
    for (let i = 0; i < round; i++) {
      queue.push(pushed, { method: pushed % 40, minor: pushed % 2 }, pushed % 3 === 0, undefined);
      pushed++;
    }
    for (let i = 0; i < round - 1; i++) {
      assert.deepEqual(
        [queue.timeNs, queue.method, queue.version, queue.afterOrphan],
        [shifted, shifted % 40, `1.${shifted % 2}`, shifted % 3 === 0],
      );
      queue.shift();
      shifted++;
    }
    assert.equal(queue.count, pushed - shifted);
    if (queue.count > 1) assert.equal(queue.secondTimeNs, shifted + 1);
  }
});

test('a header without end', () => {
  const outcome = new Outcome();
  const feed = feeder(outcome, 1);
  feed(INGRESS, 'GET / HTTP/1.1\r\nX: ');
  for (let i = 0; i < 1000; i++) feed(INGRESS, 'x'.repeat(1000));
  assert.deepEqual(outcome.lines, ['incomplete malformed']);
  const many = feeder(outcome, 2);
  many(INGRESS, 'GET / HTTP/1.1\r\n');
  for (let i = 0; i < 1000; i++) many(INGRESS, 'X: y\r\n'.repeat(100));
  assert.deepEqual(outcome.lines, ['incomplete malformed', 'incomplete malformed']);
  const target = feeder(outcome, 3);
  for (let i = 0; i < 1000; i++) target(INGRESS, `${i === 0 ? 'GET ' : ''}/${'x'.repeat(999)}`);
  assert.equal(headParserPool().stats.held, 0);
});

test('sizes beyond all memory reserve none', () => {
  const outcome = new Outcome();
  const feed = feeder(outcome, 1);
  feed(INGRESS, 'POST / HTTP/1.1\r\nContent-Length: 9007199254740991\r\n\r\n');
  feed(INGRESS, 'abc', 1e15);
  feed(EGRESS, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n');
  feed(EGRESS, '', 1e14);
  outcome.streams.close(1, 100, 'orderly');
  assert.deepEqual(outcome.lines, ['incomplete closed']);
});

test('heads that never end hold a bounded number of parsers, and do not blind the others', () => {
  const outcome = new Outcome(MAX_HELD_PARSERS * 2);
  const held = MAX_HELD_PARSERS + 100;
  for (let id = 0; id < held; id++) feeder(outcome, id)(INGRESS, 'GET / HTTP/1.1\r\nX: ');
  assert.ok(headParserPool().stats.parsers <= MAX_HELD_PARSERS);
  assert.deepEqual(count(outcome.lines), new Map([['incomplete evicted', 100]]));
  const feed = feeder(outcome, held);
  feed(INGRESS, 'GET / HTTP/1.1\r\n\r\n');
  feed(EGRESS, 'HTTP/1.1 204 No\r\n\r\n');
  assert.deepEqual(outcome.transactions, ['GET 204 1.1 at 1 for 1']);
  for (let id = 0; id <= held; id++) outcome.streams.close(id, 1000, 'reset');
  assert.equal(headParserPool().stats.held, 0);
});

test('interim responses without end', () => {
  const outcome = new Outcome();
  const feed = feeder(outcome, 1);
  feed(INGRESS, 'GET / HTTP/1.1\r\n\r\n');
  for (let i = 0; i < 1000; i++) feed(EGRESS, 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(50));
  outcome.streams.close(1, 1e6, 'orderly');
  assert.deepEqual(outcome.lines, ['incomplete closed']);
});
