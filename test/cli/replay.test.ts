import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { main } from '../../src/main.ts';
import { fakeContext, temporaryFolder, turn } from './fake-context.ts';

function data(conn: string, time: number, direction: string, text: string, more = ''): string {
  const length = Buffer.byteLength(text);
  const base64 = Buffer.from(text).toString('base64');
  return `{"type":"data","conn":"${conn}","time":${time},"direction":"${direction}","length":${length},"data":"${base64}"${more}}`;
}

const REQUEST = 'GET /secret HTTP/1.1\r\nHost: a\r\n\r\n';
const RESPONSE = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const CAPTURE = [
  '{"plainsight":1}',
  '{"type":"process","pid":7,"comm":"nginx","namespace":"shop","pod":"web-0","container":"web","service":"web"}',
  '{"type":"open","conn":"c1","pid":7,"time":0,"scheme":"https","local":"10.0.0.1:443","remote":"10.0.0.2:50000"}',
  data('c1', 9007199254740001, 'ingress', REQUEST),
  data('c1', 9007199254740981, 'egress', RESPONSE),
  '{"type":"close","conn":"c1","time":9007199254740990}',
  data('c2', 9007199254740990, 'egress', REQUEST, ',"pid":7'),
  data('c2', 9007199254740991, 'ingress', 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'),
];
const LINES =
  '{"time":9007199254740001,"conn":"c1","pid":7,"comm":"nginx","namespace":"shop","pod":"web-0","container":"web",' +
  '"service":"web","role":"server","scheme":"https","method":"GET","status":200,"durationNs":980,"version":"1.1",' +
  '"peer":"10.0.0.2:50000"}\n' +
  '{"time":9007199254740990,"conn":"c2","pid":7,"comm":"nginx","namespace":"shop","pod":"web-0","container":"web",' +
  '"service":"web","role":"client","scheme":"http","method":"GET","status":404,"durationNs":1,"version":"1.1",' +
  '"peer":"unknown"}\n';

/** Runs `replay -` on these lines. */
async function replay(words: string[], lines: readonly string[]) {
  const context = fakeContext({ stdin: Readable.from([Buffer.from(`${lines.join('\n')}\n`)]) });
  const code = await main(['replay', '-', ...words], context);
  return { code, stdout: context.stdout.text, stderr: context.stderr.text };
}

describe('output', () => {
  test('--transactions: a JSON object a line, with the times of the file', async () => {
    assert.deepEqual(await replay(['--transactions'], CAPTURE), { code: 0, stdout: LINES, stderr: '' });
  });

  test('--metrics, which is the default', async () => {
    const { code, stdout, stderr } = await replay(['--metrics'], CAPTURE);
    assert.equal(code, 0);
    assert.equal(stderr, '');
    const labels = 'namespace="shop",pod="web-0",container="web",service="web",method="GET"';
    assert.ok(
      stdout.includes(`http_request_duration_seconds_count{${labels},status="200",scheme="https"} 1\n`),
      stdout,
    );
    assert.ok(stdout.includes(`http_client_request_duration_seconds_count{${labels},status="404",scheme="http"} 1\n`));
    assert.ok(!stdout.includes('secret'));
    assert.deepEqual(await replay([], CAPTURE), { code, stdout, stderr });
  });

  test('--buckets', async () => {
    const { stdout } = await replay(['--buckets', '0.5,7'], CAPTURE);
    const bounds = [...stdout.matchAll(/http_request_duration_seconds_bucket\{.*?le="([^"]+)"/g)].map(([, le]) => le);
    assert.deepEqual(bounds, ['0.5', '7', '+Inf']);
  });

  test('from a file', async (t) => {
    const path = join(temporaryFolder(t), 'capture');
    writeFileSync(path, CAPTURE.join('\n'));
    const context = fakeContext();
    assert.equal(await main(['replay', '--transactions', path], context), 0);
    assert.equal(context.stdout.text, LINES);
  });
});

describe('bad input', () => {
  test('a malformed line: exit code 65, and what came before it', async () => {
    const lines = [...CAPTURE.slice(0, 6), '{"type":"close"', ...CAPTURE.slice(6)];
    const stderr = 'plainsight: capture file, line 7: is not JSON\n';
    const [first] = LINES.split('\n');
    assert.deepEqual(await replay(['--transactions'], lines), { code: 65, stdout: `${first}\n`, stderr });
    const metrics = await replay([], lines);
    assert.equal(metrics.code, 65);
    assert.equal(metrics.stderr, stderr);
    assert.match(metrics.stdout, /^http_request_duration_seconds_count\{.*\} 1$/m);
    assert.doesNotMatch(metrics.stdout, /^http_client_request_duration_seconds_count\{/m);
  });

  test('an empty file, and one of something else', async () => {
    const first = 'is not {"plainsight":1}, with which a capture file of this version begins';
    for (const [lines, problem] of [
      [[''], 'is not JSON'],
      [['{}'], first],
      [['\u007fELF'], 'is not JSON'],
    ] as const) {
      const { code, stderr } = await replay(['--transactions'], lines);
      assert.equal(code, 65);
      assert.equal(stderr, `plainsight: capture file, line 1: ${problem}\n`);
    }
    const context = fakeContext();
    assert.equal(await main(['replay', '-'], context), 65);
    assert.match(context.stderr.text, /^plainsight: capture file, line 1: is missing; [^\n]*\n$/);
  });

  test('a file that cannot be read: exit code 64', async () => {
    for (const [path, reason] of [
      ['/nonexistent', 'ENOENT'],
      ['/etc', 'EISDIR'],
    ]) {
      const context = fakeContext();
      assert.equal(await main(['replay', path!], context), 64);
      assert.equal(
        context.stderr.text,
        `plainsight: ${path} cannot be read (${reason}); give a readable capture file\n`,
      );
    }
  });

  test('both kinds of output', async () => {
    const { code, stderr } = await replay(['--metrics', '--transactions'], CAPTURE);
    assert.equal(code, 64);
    assert.equal(stderr, 'plainsight: --metrics and --transactions: give one of them\n');
  });
});

test('a reader that goes away ends it quietly', async () => {
  let produced = 0;
  async function* endless() {
    yield Buffer.from(`${CAPTURE.slice(0, 3).join('\n')}\n`);
    for (; ; produced++) {
      yield Buffer.from(`${data('c1', produced, 'ingress', REQUEST)}\n${data('c1', produced, 'egress', RESPONSE)}\n`);
      await turn();
      if (produced === 100) context.stdout.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    }
  }
  const context = fakeContext({ stdin: Readable.from(endless()) });
  assert.equal(await main(['replay', '--transactions', '-'], context), 0);
  assert.equal(context.stderr.text, '');
  assert.ok(produced >= 100 && produced < 200, `${produced}`);
});

test('a slow reader slows it down', async () => {
  let produced = 0;
  async function* endless() {
    yield Buffer.from(`${CAPTURE.slice(0, 3).join('\n')}\n`);
    for (; produced < 100_000; produced++) {
      yield Buffer.from(`${data('c1', produced, 'ingress', REQUEST)}\n${data('c1', produced, 'egress', RESPONSE)}\n`);
    }
  }
  const context = fakeContext({ stdin: Readable.from(endless()) });
  context.stdout.stall = true;
  const ended = main(['replay', '--transactions', '-'], context);
  for (let turns = 0; turns < 2000; turns++) await turn();
  const before = produced;
  for (let turns = 0; turns < 2000; turns++) await turn();
  assert.equal(produced, before);
  assert.ok(produced > 0 && produced < 10_000, `${produced}`);
  context.stdout.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
  assert.equal(await ended, 0);
});
