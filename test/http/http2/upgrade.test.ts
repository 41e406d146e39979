/** What follows a 101 response to `Upgrade: h2c`: the request of HTTP/1.1 is answered on stream 1. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { METHODS } from '../../../src/http/http1/methods.ts';
import { openUpgraded } from '../../../src/http/http2/protocol.ts';
import type { Direction, TransactionSink } from '../../../src/stream/contract.ts';
import { EGRESS, INGRESS } from '../../../src/stream/contract.ts';
import { connectionInfo } from '../cases.ts';
import { encodeFrames } from './notation.ts';

function upgraded(direction: Direction) {
  const lines: string[] = [];
  const sink: TransactionSink = {
    transaction: ({ role, method, status, version, timeNs, durationNs }) => {
      lines.push(`${role} ${method} ${status} ${version} at ${timeNs} for ${durationNs}`);
    },
    incomplete: (_owner, role, reason) => lines.push(`${role} incomplete ${reason}`),
  };
  const method = METHODS.indexOf('POST');
  const session = openUpgraded(connectionInfo('c1'), sink, { direction, timeNs: 1000, method });
  const feed = (side: 'request' | 'response', timeNs: number, ...frames: string[]): void => {
    const bytes = encodeFrames(frames);
    const to = (side === 'request') === (direction === INGRESS) ? INGRESS : EGRESS;
    for (let at = 0; at < bytes.length; at++) session.data(to, timeNs, bytes, at, at + 1);
  };
  return { lines, session, feed };
}

test('the server answers before or after the preface, in both roles', () => {
  for (const direction of [INGRESS, EGRESS] as const) {
    const role = direction === INGRESS ? 'server' : 'client';
    const expected = [`${role} POST 200 2 at 1000 for 500`, `${role} GET 404 2 at 2000 for 100`];
    const first = upgraded(direction);
    first.feed('response', 1500, 'SETTINGS 0', 'HEADERS 1 END_HEADERS +:status=200', 'DATA 1 END_STREAM x5');
    first.feed('request', 1600, 'PREFACE', 'SETTINGS 0', 'SETTINGS 0 ACK');
    first.feed('request', 2000, 'HEADERS 3 END_STREAM END_HEADERS :method=GET :scheme=http :path=/');
    first.feed('response', 2100, 'HEADERS 3 END_STREAM END_HEADERS #62');
    assert.deepEqual(first.lines, [expected[0], `${role} GET 200 2 at 2000 for 100`]);
    const second = upgraded(direction);
    second.feed('request', 1400, 'PREFACE', 'SETTINGS 0');
    second.feed('response', 1500, 'SETTINGS 0', 'HEADERS 1 END_STREAM END_HEADERS :status=200');
    second.feed('request', 2000, 'HEADERS 3 END_STREAM END_HEADERS :method=GET :scheme=http :path=/');
    second.feed('response', 2100, 'HEADERS 3 END_STREAM END_HEADERS :status=404');
    assert.deepEqual(second.lines, expected);
  }
});

test('a table that the header HTTP2-Settings has allowed', () => {
  const { lines, feed } = upgraded(INGRESS);
  feed('request', 1400, 'PREFACE', 'SETTINGS 0');
  feed('response', 1500, 'SETTINGS 0', 'HEADERS 1 END_STREAM END_HEADERS ^65536 :status=200');
  assert.deepEqual(lines, ['server POST 200 2 at 1000 for 500']);
});

test('no answer, and no HTTP/2', () => {
  const closed = upgraded(INGRESS);
  closed.feed('request', 1400, 'PREFACE', 'SETTINGS 0');
  closed.session.close(2000, 'orderly');
  assert.deepEqual(closed.lines, ['server incomplete closed']);
  const other = upgraded(INGRESS);
  const text = Buffer.from('GET / HTTP/1.1\r\n\r\n');
  other.session.data(INGRESS, 1400, text, 0, text.length);
  other.session.data(EGRESS, 1500, text, 0, text.length);
  other.session.close(2000, 'reset');
  assert.deepEqual(other.lines.length, 1);
});
