import assert from 'node:assert/strict';
import { readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { describe, test } from 'node:test';
import { CaptureWriter, createCaptureFile } from '../../src/capture/file-writer.ts';
import { KEEP_ALL, type Redactor } from '../../src/capture/redactor.ts';
import type { PlainsightError } from '../../src/errors.ts';
import { EGRESS, INGRESS } from '../../src/stream/contract.ts';
import { CONNECTION, NGINX, TextStream, temporaryFolder } from '../cli/fake-context.ts';

const GET = Buffer.from('xxGET / HTTP/1.1\r\n\r\nxx');

/** The lines after the first. */
async function linesOf(stream: TextStream, writer: CaptureWriter): Promise<string[]> {
  await writer.finish();
  const [first, ...lines] = stream.text.split('\n');
  assert.equal(first, '{"plainsight":1}');
  assert.equal(lines.pop(), '');
  return lines;
}

describe('lines', () => {
  test('a connection from open to close', async () => {
    const stream = new TextStream();
    const writer = new CaptureWriter(stream, { redactor: KEEP_ALL });
    writer.open(CONNECTION, 1000.4);
    writer.data(42, 7, 2000, INGRESS, 0, 18, GET, 2, 20);
    writer.data(42, 7, 3000, EGRESS, 0, 500, GET, 0, 0);
    writer.end(42, 4000, EGRESS);
    writer.close(42, 5000, 'orderly');
    assert.deepEqual(await linesOf(stream, writer), [
      '{"type":"process","pid":7,"comm":"nginx","namespace":"","pod":"","container":"","service":"nginx"}',
      '{"type":"open","conn":42,"pid":7,"time":1000,"scheme":"https","local":"10.0.0.1:443","remote":"10.0.0.2:50000"}',
      '{"type":"data","conn":42,"time":2000,"direction":"ingress","position":0,"length":18,"data":"R0VUIC8gSFRUUC8xLjENCg0K"}',
      '{"type":"data","conn":42,"time":3000,"direction":"egress","position":0,"length":500}',
      '{"type":"close","conn":42,"time":4000,"direction":"egress"}',
      '{"type":"close","conn":42,"time":5000}',
    ]);
  });

  test('an unknown address is left out; a reset is said', async () => {
    const stream = new TextStream();
    const writer = new CaptureWriter(stream, { redactor: KEEP_ALL });
    writer.open({ ...CONNECTION, local: undefined, remote: undefined }, 0);
    writer.close(42, 1, 'reset');
    const [, open, close] = await linesOf(stream, writer);
    assert.equal(open, '{"type":"open","conn":42,"pid":7,"time":0,"scheme":"https"}');
    assert.equal(close, '{"type":"close","conn":42,"time":1,"reset":true}');
  });

  test('a process is written before its first use, and again when it has changed', async () => {
    const stream = new TextStream();
    const writer = new CaptureWriter(stream, { redactor: KEEP_ALL });
    for (const id of [1, 2]) writer.open({ ...CONNECTION, id, owner: { ...NGINX } }, 0);
    writer.process({ ...NGINX, pod: 'web-0' });
    const kinds = (await linesOf(stream, writer)).map(
      (line) => `${JSON.parse(line).type} ${JSON.parse(line).pod ?? ''}`,
    );
    assert.deepEqual(kinds, ['process ', 'open ', 'open ', 'process web-0']);
  });

  test('the pid is on the first data line of a connection without open, and where it changes', async () => {
    const stream = new TextStream();
    const writer = new CaptureWriter(stream, { redactor: KEEP_ALL });
    for (const pid of [7, 7, 8, 8]) writer.data('c', pid, 0, INGRESS, -1, 1, GET, 0, 0);
    const pids = (await linesOf(stream, writer)).map((line) => JSON.parse(line).pid);
    assert.deepEqual(pids, [7, undefined, 8, undefined]);
  });

  test('a chunk without a position gets the one it has', async () => {
    const stream = new TextStream();
    const writer = new CaptureWriter(stream, { redactor: KEEP_ALL });
    writer.data(1, 7, 0, INGRESS, 100, 10, GET, 0, 0);
    writer.data(1, 7, 0, INGRESS, -1, 10, GET, 0, 0);
    writer.data(1, 7, 0, EGRESS, -1, 5, GET, 0, 0);
    writer.data(1, 7, 0, EGRESS, -1, 5, GET, 0, 0);
    const positions = (await linesOf(stream, writer)).map((line) => JSON.parse(line).position);
    assert.deepEqual(positions, [100, 110, 0, 5]);
  });
});

describe('redaction', () => {
  test('the pieces become data lines at their positions', async () => {
    const stream = new TextStream();
    const seen: unknown[] = [];
    const redactor: Redactor = {
      redact(id, direction, position, lengthBytes, bytes, start, end, timeNs) {
        seen.push([id, direction, position, lengthBytes, bytes === GET, start, end, timeNs]);
        return [
          { lengthBytes: 4, bytes: Buffer.from('GET ') },
          { lengthBytes: 14, bytes: Buffer.from('-') },
        ];
      },
      close: (id) => void seen.push(['close', id]),
    };
    const writer = new CaptureWriter(stream, { redactor });
    writer.data(1, 7, 3, INGRESS, 50, 18, GET, 2, 20);
    writer.data(1, 7, 3, INGRESS, -1, 18, GET, 2, 20);
    writer.close(1, 5, 'orderly');
    assert.deepEqual(seen, [
      [1, INGRESS, 50, 18, true, 2, 20, 3],
      [1, INGRESS, 68, 18, true, 2, 20, 3],
      ['close', 1],
    ]);
    assert.deepEqual((await linesOf(stream, writer)).slice(0, 2), [
      '{"type":"data","conn":1,"pid":7,"time":3,"direction":"ingress","position":50,"length":4,"data":"R0VUIA=="}',
      '{"type":"data","conn":1,"time":3,"direction":"ingress","position":54,"length":14,"data":"LQ=="}',
    ]);
  });

  test('pieces that do not add up are a defect', () => {
    const redactor: Redactor = { redact: () => [{ lengthBytes: 4, bytes: Buffer.alloc(0) }], close() {} };
    const writer = new CaptureWriter(new TextStream(), { redactor });
    assert.throws(() => writer.data(1, 7, 0, INGRESS, 0, 18, GET, 2, 20), { code: 'INTERNAL' });
  });
});

describe('a slow stream', () => {
  test('costs chunks, which are counted; positions show the gap', async () => {
    const stream = new TextStream();
    stream.stall = true;
    const writer = new CaptureWriter(stream, { redactor: KEEP_ALL, waitingLimitBytes: 10_000 });
    writer.open(CONNECTION, 0);
    for (let i = 0; i < 1000; i++) writer.data(42, 7, i, INGRESS, -1, 10, GET, 0, 10);
    writer.close(42, 2000, 'orderly');
    assert.ok(writer.lostLines > 800 && writer.lostLines < 1000, `${writer.lostLines}`);
    const lost = writer.lostLines;
    stream.release();
    await new Promise((resolve) => setImmediate(resolve));
    writer.data(42, 7, 3000, INGRESS, 10_000, 10, GET, 0, 0);
    const lines = (await linesOf(stream, writer)).map((line) => JSON.parse(line));
    assert.equal(lines.length, 2 + (1000 - lost) + 1 + 1);
    assert.equal(lines.at(-2).type, 'close');
    assert.equal(lines.at(-1).position, 10_000);
    assert.equal(lines.at(-3).position, (1000 - lost - 1) * 10);
  });

  test('never makes it grow', () => {
    const stream = new TextStream();
    stream.stall = true;
    const writer = new CaptureWriter(stream, { redactor: KEEP_ALL, waitingLimitBytes: 10_000 });
    for (let i = 0; i < 10_000; i++) writer.open({ ...CONNECTION, id: i }, 0);
    assert.ok(writer.lostLines > 9000);
    assert.ok(stream.writableLength < 3 * 10_000 + 64 * 1024);
  });

  test('a connection whose open line was lost says its pid later', async () => {
    const stream = new TextStream();
    stream.stall = true;
    const writer = new CaptureWriter(stream, { redactor: KEEP_ALL, waitingLimitBytes: 1000 });
    for (let i = 0; i < 100; i++) writer.open({ ...CONNECTION, id: i }, 0);
    await new Promise((resolve) => setImmediate(resolve));
    stream.release();
    await new Promise((resolve) => setImmediate(resolve));
    writer.data(99, 7, 1, INGRESS, 0, 1, GET, 0, 0);
    const last = (await linesOf(stream, writer)).at(-1)!;
    assert.equal(last, '{"type":"data","conn":99,"pid":7,"time":1,"direction":"ingress","position":0,"length":1}');
  });
});

test('a stream that fails is told once, and by finish', async () => {
  const stream = new Writable({
    write: (_chunk, _encoding, done) => done(Object.assign(new Error('full'), { code: 'ENOSPC' })),
  });
  const writer = new CaptureWriter(stream, { redactor: KEEP_ALL });
  await writer.failed;
  writer.open(CONNECTION, 0);
  await assert.rejects(writer.finish(), (error: PlainsightError) => {
    assert.equal(error.message, 'the capture file cannot be written (ENOSPC); its end is missing');
    assert.equal(error.exitCode, 74);
    return true;
  });
});

describe('the file', () => {
  test('can be read by its owner only', async (t) => {
    const path = join(temporaryFolder(t), 'capture');
    const writer = new CaptureWriter(createCaptureFile(path), { redactor: KEEP_ALL });
    await writer.finish();
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(readFileSync(path, 'utf8'), '{"plainsight":1}\n');
  });

  test('must not exist, not even as a link to nothing', (t) => {
    const folder = temporaryFolder(t);
    const target = join(folder, 'target');
    const link = join(folder, 'link');
    symlinkSync(target, link);
    const message = (path: string) => `--out: '${path}' cannot be created: it exists; remove it, or give another name`;
    assert.throws(() => createCaptureFile(link), { code: 'USAGE', message: message(link) });
    writeFileSync(target, 'kept');
    assert.throws(() => createCaptureFile(target), { code: 'USAGE', message: message(target) });
    assert.throws(() => createCaptureFile(link), { code: 'USAGE', message: message(link) });
    assert.equal(readFileSync(target, 'utf8'), 'kept');
  });

  test('in a folder that is not there', () => {
    const message = "--out: '/nonexistent/x' cannot be created: ENOENT; give a file that can be written";
    assert.throws(() => createCaptureFile('/nonexistent/x'), { code: 'USAGE', message });
  });
});
