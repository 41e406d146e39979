import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Recorder } from '../../src/cli/agent-contract.ts';
import { main } from '../../src/main.ts';
import { EGRESS, INGRESS } from '../../src/stream/contract.ts';
import { CONNECTION, fakeAgent, fakeContext, makeHost, temporaryFolder, turn } from './fake-context.ts';

const SECRET = 'c4n4ry-s3cr3t';
const REQUEST = Buffer.from(
  `POST /${SECRET}?${SECRET} HTTP/1.1\r\nHost: ${SECRET}\r\nCookie: ${SECRET}\r\nContent-Length: 13\r\n\r\n${SECRET}`,
);
const RESPONSE = Buffer.from(`HTTP/1.1 201 Created\r\nX-Key: ${SECRET}\r\nContent-Length: 13\r\n\r\n${SECRET}`);

function feed(recorder: Recorder): void {
  recorder.open(CONNECTION, 1000);
  recorder.data(42, 7, 2000, INGRESS, 0, REQUEST.length, REQUEST, 0, REQUEST.length);
  recorder.data(42, 7, 3000, EGRESS, 0, RESPONSE.length, RESPONSE, 0, RESPONSE.length);
  recorder.close(42, 4000, 'orderly');
}

/** Records the exchange; the path of the file. */
async function record(words: string[], folder: string, hostRoot: string): Promise<string> {
  const path = join(folder, 'capture');
  const agent = fakeAgent(({ options }) => {
    feed(options!.recorder!);
    context.signals.emit('SIGINT');
  });
  const context = fakeContext({ hostRoot, startAgent: agent.start });
  assert.equal(await main(['record', '--out', path, ...words], context), 0);
  assert.equal(context.stderr.text, `plainsight: recording to '${path}'; Ctrl-C ends it\n`);
  assert.equal(agent.options?.web, false);
  return path;
}

function capturedText(path: string): string {
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  return lines.map((line) => Buffer.from(JSON.parse(line).data ?? '', 'base64').toString('latin1')).join('\n');
}

describe('the file', () => {
  test('without --include-payload: start lines and framing only, readable by the owner only', async (t) => {
    const path = await record([], temporaryFolder(t), makeHost(t));
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const text = capturedText(path);
    assert.ok(!text.includes(SECRET));
    assert.match(text, /POST /);
    assert.match(text, /HTTP\/1\.1 201/);
    assert.match(text, /Content-Length: 13/i);
    assert.ok(!readFileSync(path, 'latin1').includes(SECRET));
  });

  test('with --include-payload: what was captured', async (t) => {
    const path = await record(['--include-payload'], temporaryFolder(t), makeHost(t));
    const text = capturedText(path);
    assert.ok(text.includes(REQUEST.toString()));
    assert.ok(text.includes(RESPONSE.toString()));
  });

  test('replays to the same transaction, with and without payload', async (t) => {
    for (const words of [[], ['--include-payload']]) {
      const path = await record(words, temporaryFolder(t), makeHost(t));
      const context = fakeContext();
      assert.equal(await main(['replay', path, '--transactions'], context), 0);
      const { time, pid, role, scheme, method, status, durationNs, peer } = JSON.parse(context.stdout.text);
      assert.deepEqual(
        { time, pid, role, scheme, method, status, durationNs, peer },
        {
          ...{ time: 2000, pid: 7, role: 'server', scheme: 'https', method: 'POST', status: 201 },
          ...{ durationNs: 1000, peer: '10.0.0.2:50000' },
        },
      );
    }
  });

  test('to stdout', async (t) => {
    const agent = fakeAgent(({ options }) => {
      feed(options!.recorder!);
      context.signals.emit('SIGINT');
    });
    const context = fakeContext({ hostRoot: makeHost(t), startAgent: agent.start });
    assert.equal(await main(['record', '--out', '-'], context), 0);
    assert.match(context.stdout.text, /^\{"plainsight":1\}\n/);
    assert.equal(context.stderr.text, '');
  });
});

describe('bad luck', () => {
  test('a file that exists is not touched, and nothing is started', async (t) => {
    const path = join(temporaryFolder(t), 'capture');
    writeFileSync(path, 'kept');
    const context = fakeContext({ hostRoot: makeHost(t) });
    assert.equal(await main(['record', '--out', path], context), 64);
    assert.match(context.stderr.text, /^plainsight: --out: '\S+' cannot be created: it exists; [^\n]*\n$/);
    assert.equal(readFileSync(path, 'utf8'), 'kept');
  });

  test('an agent that does not start leaves no file', async (t) => {
    const path = join(temporaryFolder(t), 'capture');
    const failing = fakeContext({ hostRoot: makeHost(t) });
    assert.equal(await main(['record', '--out', path], failing), 70);
    assert.equal(existsSync(path), false);
    const unfit = fakeContext({ hostRoot: makeHost(t, { '/sys/kernel/btf/vmlinux': undefined }) });
    assert.equal(await main(['record', '--out', path], unfit), 2);
    assert.equal(existsSync(path), false);
  });

  test('a stop that hangs has 30 s; then the exit code says that the file is not whole', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let stopped = () => {};
    const stop = () => new Promise<void>((resolve) => (stopped = resolve));
    const agent = fakeAgent(() => context.signals.emit('SIGINT'), { stop });
    const context = fakeContext({ hostRoot: makeHost(t), startAgent: agent.start });
    const ended = main(['record', '--out', join(temporaryFolder(t), 'capture')], context);
    while (context.stderr.text === '') await turn();
    await turn();
    t.mock.timers.tick(29_999);
    assert.deepEqual(context.exits, []);
    t.mock.timers.tick(1);
    assert.deepEqual(context.exits, [74]);
    assert.match(context.stderr.text, /the end of the recording is missing/);
    stopped();
    await ended;
  });

  test('a full disk ends it: exit code 74', async (t) => {
    const agent = fakeAgent(() => context.stdout.destroy(Object.assign(new Error('full'), { code: 'ENOSPC' })));
    const context = fakeContext({ hostRoot: makeHost(t), startAgent: agent.start });
    assert.equal(await main(['record', '--out', '-'], context), 74);
    assert.equal(context.stderr.text, 'plainsight: the capture file cannot be written (ENOSPC); its end is missing\n');
    assert.equal(agent.stops, 1);
  });

  test('a reader that goes away ends it quietly', async (t) => {
    const agent = fakeAgent(() => context.stdout.destroy(Object.assign(new Error('gone'), { code: 'EPIPE' })));
    const context = fakeContext({ hostRoot: makeHost(t), startAgent: agent.start });
    assert.equal(await main(['record', '--out', '-'], context), 0);
    assert.equal(context.stderr.text, '');
  });
});
