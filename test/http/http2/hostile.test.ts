/** Bytes that mean harm or nothing: no transaction is invented, and nothing grows without a limit. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { METHODS } from '../../../src/http/http1/methods.ts';
import { MAX_BLOCK_BYTES, MAX_CONTINUATIONS } from '../../../src/http/http2/block-framing.ts';
import { http2 } from '../../../src/http/http2/protocol.ts';
import { Http2Session, MAX_STREAMS } from '../../../src/http/http2/session.ts';
import type { Direction, TransactionSink } from '../../../src/stream/contract.ts';
import { EGRESS, INGRESS } from '../../../src/stream/contract.ts';
import { connectionInfo, loadCases, Outcome } from '../cases.ts';
import { encodeFields, encodeFrame, encodeFrames, frame } from './notation.ts';
import { randomNumbers } from './replayed.ts';

const GET = 'HEADERS 1 END_STREAM END_HEADERS :method=GET :scheme=https :path=/';

class Fixture {
  readonly lines: string[] = [];
  readonly session: Http2Session;
  #timeNs = 0;

  constructor() {
    const sink: TransactionSink = {
      transaction: ({ method, status }) => {
        assert.ok(method === 'unknown' || (METHODS as readonly string[]).includes(method), method);
        assert.ok(status === 0 || (status >= 200 && status <= 599), String(status));
        this.lines.push(`${method} ${status}`);
      },
      incomplete: (_owner, _role, reason) => this.lines.push(`incomplete ${reason}`),
      stream: ({ kind }) => this.lines.push(`stream ${kind}`),
    };
    this.session = new Http2Session(connectionInfo('c1'), sink);
  }

  feed(direction: Direction, bytes: Uint8Array): void {
    this.session.data(direction, ++this.#timeNs, bytes, 0, bytes.length);
  }

  begin(...lines: string[]): void {
    this.feed(INGRESS, encodeFrames(['PREFACE', 'SETTINGS 0', ...lines]));
    this.feed(EGRESS, encodeFrame('SETTINGS 0'));
  }

  count(line: string): number {
    return this.lines.filter((other) => other === line).length;
  }
}

test('10 MB of random bytes are nothing', () => {
  const random = randomNumbers(3);
  const bytes = new Uint8Array(1 << 20);
  for (let i = 0; i < bytes.length; i++) bytes[i] = random(256);
  const outcome = new Outcome();
  const fixture = new Fixture();
  let timeNs = 0;
  for (let round = 0; round < 10; round++) {
    for (let at = 0; at < bytes.length; timeNs++) {
      const length = Math.min(1 + random(2000), bytes.length - at);
      outcome.streams.data(random(20), 7, timeNs, random(2) as Direction, -1, length, bytes, at, at + length);
      // Straight to a session, as if its connection had been taken for HTTP/2.
      fixture.session.data(random(2) as Direction, timeNs, bytes, at, at + length);
      at += length;
    }
  }
  assert.deepEqual(outcome.lines, []);
  assert.deepEqual(fixture.lines, []);
});

test('random frames with good headers are no transaction', () => {
  const random = randomNumbers(5);
  for (let id = 0; id < 300; id++) {
    const fixture = new Fixture();
    for (let i = 0; i < 60; i++) {
      const payload = Uint8Array.from({ length: random(40) }, () => random(256));
      fixture.feed(random(2) as Direction, frame(random(10), random(256) & 0x2d, random(9), payload));
    }
    fixture.session.close(1e6, 'reset');
    assert.equal(fixture.lines.filter((line) => !line.startsWith('incomplete')).length, 0, fixture.lines.join());
  }
});

test('cases with bytes changed, left out or doubled: no exception, and only what may be a label', () => {
  const random = randomNumbers(17);
  const cases = loadCases().filter(({ protocol }) => protocol === 'http2');
  for (let round = 0; round < 4000; round++) {
    const { steps } = cases[random(cases.length)]!;
    const fixture = new Fixture();
    for (const step of steps) {
      if (step.kind !== 'chunk') continue;
      let bytes = Buffer.from(step.bytes);
      for (let i = random(3); i > 0 && bytes.length > 1; i--) {
        const at = random(bytes.length);
        const kind = random(3);
        if (kind === 0) bytes[at] = random(256);
        else if (kind === 1) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(4))]);
        else bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(random(at + 1))]);
      }
      const direction = step.side === 'request' ? INGRESS : EGRESS;
      fixture.feed(direction, bytes);
      if (random(5) === 0) fixture.session.gap(direction, 0, random(100), random(2) === 0 ? 'lost' : 'truncated');
    }
    fixture.session.close(1e6, 'orderly');
    assert.ok(fixture.lines.length < 50);
  }
});

test('a header block without end, in many frames', () => {
  const fixture = new Fixture();
  fixture.begin(GET, 'HEADERS 3 :method=GET');
  for (let i = 0; i <= MAX_CONTINUATIONS; i++) fixture.feed(INGRESS, encodeFrame('CONTINUATION 3'));
  assert.deepEqual(fixture.lines, ['incomplete malformed']);
  fixture.feed(EGRESS, encodeFrame('HEADERS 1 END_STREAM END_HEADERS :status=200'));
  fixture.begin(GET);
  assert.deepEqual(fixture.lines, ['incomplete malformed']);
});

test('a header block without end, in large frames', () => {
  const fixture = new Fixture();
  fixture.begin('HEADERS 1 :method=GET');
  const field = encodeFields([`cookie=${'x'.repeat(16_000)}`]);
  let sent = 0;
  while (fixture.lines.length === 0) {
    assert.ok(sent <= MAX_BLOCK_BYTES);
    fixture.feed(INGRESS, frame(9, 0, 1, field));
    sent += field.length;
  }
  assert.deepEqual(fixture.lines, ['incomplete malformed']);
});

test('a HPACK bomb: a large entry, and references to it without end', () => {
  const fixture = new Fixture();
  fixture.begin(`HEADERS 1 END_STREAM END_HEADERS :method=GET :scheme=https :path=/ +cookie=${'x'.repeat(4000)}`);
  for (let id = 3; id < 203; id += 2) {
    const fields = Buffer.concat([encodeFields([':method=GET', ':scheme=https']), Buffer.alloc(16_000, 0xbe)]);
    fixture.feed(INGRESS, frame(1, 5, id, fields));
  }
  for (let id = 1; id < 203; id += 2)
    fixture.feed(EGRESS, encodeFrame(`HEADERS ${id} END_STREAM END_HEADERS :status=200`));
  assert.equal(fixture.count('GET 200'), 101);
});

test('a table of 4 GiB', () => {
  const fixture = new Fixture();
  fixture.feed(EGRESS, encodeFrame('SETTINGS 0 HEADER_TABLE_SIZE=4294967295'));
  fixture.feed(
    INGRESS,
    encodeFrames(['PREFACE', 'SETTINGS 0', 'HEADERS 1 END_STREAM END_HEADERS ^200000000 :method=GET']),
  );
  for (let id = 3; id < 203; id += 2) {
    const fields = Array.from({ length: 900 }, (_, i) => `+a${i}=${id}`);
    fixture.feed(INGRESS, frame(1, 5, id, encodeFields([':method=PUT', ...fields])));
  }
  fixture.feed(EGRESS, encodeFrame('HEADERS 201 END_STREAM END_HEADERS :status=200'));
  assert.deepEqual(fixture.lines, ['PUT 200']);
});

test('requests without end: the newest are kept, all are counted', () => {
  const fixture = new Fixture();
  fixture.begin();
  for (let i = 0; i < 10_000; i++) fixture.feed(INGRESS, encodeFrame(GET.replace(' 1 ', ` ${i * 2 + 1} `)));
  assert.equal(fixture.count('incomplete evicted'), 10_000 - MAX_STREAMS);
  for (let i = 0; i < 10_000; i++) {
    fixture.feed(EGRESS, encodeFrame(`HEADERS ${i * 2 + 1} END_STREAM END_HEADERS :status=204`));
  }
  assert.equal(fixture.count('GET 204'), MAX_STREAMS);
  fixture.session.close(1e9, 'orderly');
  assert.equal(fixture.lines.length, 10_000);
});

test('responses without requests, without end', () => {
  const fixture = new Fixture();
  fixture.begin(GET);
  for (let i = 1; i < 10_000; i++) fixture.feed(EGRESS, encodeFrame(`HEADERS ${i * 2 + 1} END_HEADERS :status=200`));
  assert.equal(fixture.count('incomplete orphan'), 9999);
  fixture.session.close(1e9, 'orderly');
  assert.equal(fixture.lines.filter((line) => line !== 'incomplete orphan').length, 1);
});

test('interim responses, empty frames, settings and pings without end', () => {
  const fixture = new Fixture();
  fixture.begin(GET);
  for (const line of [
    'HEADERS 1 END_HEADERS :status=103',
    'DATA 1',
    'SETTINGS 0 HEADER_TABLE_SIZE=4096 MAX_FRAME_SIZE=20000',
    'PING 0',
    'PRIORITY 1',
    'WINDOW_UPDATE 0 1',
    'RST_STREAM 9 0',
    '99 1 x100',
  ]) {
    for (let i = 0; i < 1000; i++) fixture.feed(EGRESS, encodeFrame(line));
  }
  fixture.feed(EGRESS, encodeFrame('HEADERS 1 END_STREAM END_HEADERS :status=200'));
  assert.deepEqual(fixture.lines, ['GET 200']);
});

test('a stream that is opened and reset again and again', () => {
  const fixture = new Fixture();
  fixture.begin();
  for (let i = 0; i < 10_000; i++) {
    const id = i * 2 + 1;
    fixture.feed(INGRESS, encodeFrames([GET.replace(' 1 ', ` ${id} `), `RST_STREAM ${id} 8`]));
  }
  assert.equal(fixture.count('incomplete reset'), 10_000);
  fixture.session.close(1e9, 'orderly');
  assert.equal(fixture.lines.length, 10_000);
});

test('other protocols are not taken for HTTP/2', () => {
  for (const text of [
    'GET / HTTP/1.1\r\n\r\n',
    'HTTP/1.1 200 OK\r\n\r\n',
    'PRI * HTTP/1.1\r\n\r\n',
    '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    '\x00\x00\x00\x2a\x00\x12\x00\x00\x00\x00\x00\x01kafka and more bytes behind it',
    '\x4a\x00\x00\x00\x0a8.0.32\x00mysql handshake with some bytes',
    '*1\r\n$4\r\nPING\r\n',
    '\x00'.repeat(100),
    '\xff'.repeat(100),
    '',
  ]) {
    const bytes = Buffer.from(text, 'latin1');
    assert.notEqual(http2.matches(bytes, 0, bytes.length), 'yes', text);
  }
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
  for (let length = 1; length < preface.length; length++) assert.equal(http2.matches(preface, 0, length), 'more');
  assert.equal(http2.matches(preface, 0, preface.length), 'yes');
});
