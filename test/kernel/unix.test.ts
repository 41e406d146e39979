/** HTTP over Unix stream sockets: both ends count, each knows the other, and nothing else that moves there is kept. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import {
  countLines,
  h2load,
  hasSocketTracepoints,
  PLAINSIGHT,
  PYTHON,
  run,
  scaled,
  start,
  startAgent,
  startNginx,
  temporaryFolder,
  until,
} from './harness.ts';
import { makeUnit } from './unit.ts';

const REQUESTS = scaled(600, 60);
const PATHS = [
  '/status/200',
  '/status/204',
  '/status/404',
  '/status/503',
  '/bytes/50000',
  '/closing/20000',
  '/chunked/9000',
];

async function startBackend(t: TestContext) {
  const socket = join(temporaryFolder(t), 'backend.sock');
  const unit = makeUnit(t, 'backend');
  const [command, ...args] = unit.command(PYTHON, fromRoot('fixtures/servers/unix-server.py'), socket);
  const server = start(t, command, args);
  await until('the backend listens', () => (server.stdout().includes('ready') ? true : undefined));
  return { socket, unit, pid: server.pid };
}

if (!hasSocketTracepoints()) {
  test('below Linux 6.3 Unix sockets are not looked at, and it is said', async (t) => {
    const agent = await startAgent(t);
    assert.equal((await agent.scrape()).sum('plainsight_feature_enabled', { feature: 'unix' }), 0);
  });
} else {
  for (const [name, upstream, directives] of [
    ['a connection for each request', '', ''],
    ['connections that are kept', 'keepalive 8;', 'proxy_http_version 1.1; proxy_set_header Connection "";'],
  ] as const) {
    test(`nginx and a backend behind it, ${name}: all is counted three times`, async (t) => {
      const { socket, unit } = await startBackend(t);
      const nginx = await startNginx(t, {
        tls: undefined,
        upstreams: `upstream backend { server unix:${socket}; ${upstream} }`,
        locations: PATHS.map((path) => `location ${path} { proxy_pass http://backend; ${directives} }`).join('\n'),
      });
      const agent = await startAgent(t);
      await h2load(`http://127.0.0.1:${nginx.port}`, PATHS, REQUESTS);
      const expected = countLines(await nginx.accessLog());
      await agent.expect('server', { service: 'nginx' }, expected);
      await agent.expect('server', { service: unit.name }, expected);
      const exposition = await agent.expect('client', { service: 'nginx' }, expected);
      assert.equal(exposition.lost(), 0);
      assert.equal(exposition.sum('http_requests_incomplete_total', { service: unit.name }), 0, exposition.text);
      assert.equal(exposition.sum('http_requests_incomplete_total', { service: 'nginx' }), 0, exposition.text);
    });
  }

  test('each end names the process at the other', async (t) => {
    const { socket, pid } = await startBackend(t);
    const tail = start(t, PLAINSIGHT, ['tail', '--json']);
    const lines = () =>
      tail
        .stdout()
        .split('\n')
        .filter((line) => line.includes('"status":418'))
        .map((line) => JSON.parse(line));
    const client = async () => {
      const running = run('curl', ['-s', '--unix-socket', socket, 'http://x/status/418']);
      const curl = running.child.pid;
      await running;
      return curl;
    };
    await until('tail is attached', async () => {
      await client();
      return lines().length >= 2 || undefined;
    });
    const curl = await client();
    const [other] = await until('the client', () => {
      const found = lines().filter((line) => line.pid === curl);
      return found.length > 0 ? found : undefined;
    });
    const [server] = await until('the server', () => {
      const found = lines().filter((line) => line.peer === `unix:${curl}`);
      return found.length > 0 ? found : undefined;
    });
    assert.deepEqual([server.role, server.pid, other.role, other.peer], ['server', pid, 'client', `unix:${pid}`]);
  });

  test('what is no HTTP, or no stream, is not captured', async (t) => {
    const file = join(temporaryFolder(t), 'capture');
    const record = start(t, PLAINSIGHT, ['record', '--include-payload', '--out', file]);
    await until('record is attached', () => (record.stderr().includes('recording to') ? true : undefined));
    const { socket } = await startBackend(t);
    const text = () => readFileSync(file, 'utf8').replace(/.*$/, '');
    const seen = (word: string) =>
      text()
        .split('\n')
        .filter((line) => Buffer.from(JSON.parse(line || '{}').data ?? '', 'base64').includes(word));
    const marked = async (word: string) =>
      until(`${word} is recorded`, async () => {
        await run('curl', ['-s', '--unix-socket', socket, '-H', `X-Mark: ${word}`, 'http://x/']);
        return seen(word).length > 0 || undefined;
      });
    await marked('BEFORE');
    assert.equal((await run(PYTHON, [fromRoot('fixtures/servers/unix-noise.py')])).stdout, 'done\n');
    await marked('BEHIND');
    assert.equal(seen('SECRET').length, 0);
    await record.stop();
  });

  test('QUIC is counted as seen', async (t) => {
    const agent = await startAgent(t);
    const seen = async () => (await agent.scrape()).sum('plainsight_events_total', { kind: 'quic' });
    const before = await seen();
    assert.equal((await run(PYTHON, [fromRoot('fixtures/servers/quic-noise.py'), '25'])).stdout, 'done\n');
    assert.equal((await seen()) - before, 25);
  });
}
