/** What is copied of pipelines of HTTP/1 (bpf/pipeline.bpf.h): all of it where the requests account for it, and no more than that. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Result } from './host.ts';
import type { DataRecord } from './records.ts';
import { ascii, FRONT_ENDS, payload, Script } from './script.ts';

const CAPTURE_BYTES = 8192;
const SHARE_BYTES = 16_384;
const TAIL_BYTES = 8;
const REQUEST = ascii('GET /a HTTP/1.1\r\nHost: a\r\n\r\n');

const requests = (count: number) => Buffer.concat(Array.from({ length: count }, () => REQUEST));

function dataRecords(result: Result): DataRecord[] {
  return result.records.filter((record): record is DataRecord => record.kind === 'data');
}

/** The records continue each other and hold the beginning of the chunk. Returns how many bytes were copied. */
function assertCopied(result: Result, chunk: Buffer, position: number): number {
  let at = 0;
  let copied = 0;
  for (const record of dataRecords(result)) {
    assert.equal(record.position, position + at);
    assert.ok(record.captured.equals(chunk.subarray(at, at + record.captured.length)), `bytes at ${at}`);
    if (record.captured.length > 0) assert.equal(copied, at, 'nothing is left out before');
    at += record.length;
    copied += record.captured.length;
  }
  assert.equal(at, chunk.length);
  return copied;
}

for (const frontEnd of FRONT_ENDS) {
  for (const [name, segments] of [
    ['a buffer', 1],
    ['segments', 5],
  ] as const) {
    test(`${frontEnd}: requests in one chunk, and all their responses, from ${name}`, () => {
      const script = new Script(frontEnd);
      script.begin({ captureBytes: CAPTURE_BYTES });
      const split = (bytes: Buffer) => {
        const size = Math.ceil(bytes.length / segments);
        return Array.from({ length: segments }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
      };
      const asked = requests(2000);
      const answered = payload(60_000, 'HTTP/1.1 200 OK\r\n', 'x');
      const received = script.receive(split(asked));
      const sent = script.send(split(answered));
      const next = script.send(split(answered));
      const results = script.run();
      assert.equal(assertCopied(results[received]!, asked, 0), asked.length);
      assert.equal(assertCopied(results[sent]!, answered, 0), answered.length);
      assert.equal(assertCopied(results[next]!, answered, answered.length), answered.length);
    });
  }
}

test('a share for each request, and no more', () => {
  for (const count of [2, 3, 8]) {
    const script = new Script();
    script.begin({ captureBytes: CAPTURE_BYTES });
    script.receive([requests(count)]);
    const answered = payload(count * SHARE_BYTES + 100_000, 'HTTP/1.1 200 OK\r\n', 'x');
    const sent = script.send([answered]);
    const again = script.send([payload(100_000, '', 'x')]);
    const results = script.run();
    const copied = assertCopied(results[sent]!, answered, 0);
    assert.ok(
      copied >= count * SHARE_BYTES && copied <= count * SHARE_BYTES + CAPTURE_BYTES,
      `${count}: ${copied} bytes`,
    );
    assert.ok(dataRecords(results[again]!)[0]!.captured.length <= TAIL_BYTES);
  }
});

test('one request after the other in two chunks is a pipeline too, with a response between them none', () => {
  const answered = payload(30_000, 'HTTP/1.1 200 OK\r\n', 'x');
  for (const isPipelined of [true, false]) {
    const script = new Script();
    script.begin({ captureBytes: CAPTURE_BYTES });
    script.receive([REQUEST]);
    if (!isPipelined) script.send([ascii('HTTP/1.1 204 No Content\r\n\r\n')]);
    script.receive([REQUEST]);
    script.receive([REQUEST].slice(isPipelined ? 0 : 1).concat(isPipelined ? [] : [ascii('x')]));
    const sent = script.send([answered]);
    const position = isPipelined ? 0 : 27;
    const copied = assertCopied(script.run()[sent]!, answered, position);
    assert.equal(copied, isPipelined ? answered.length : CAPTURE_BYTES);
  }
});

test('a request whose body is another text is no pipeline', () => {
  const script = new Script();
  script.begin({ captureBytes: CAPTURE_BYTES });
  script.receive([payload(60_000, 'POST /a HTTP/1.1\r\nContent-Length: 59000\r\n\r\n', 'x')]);
  const answered = payload(60_000, 'HTTP/1.1 200 OK\r\n', 'x');
  const sent = script.send([answered]);
  assert.equal(assertCopied(script.run()[sent]!, answered, 0), CAPTURE_BYTES);
});
