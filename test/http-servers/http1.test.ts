/**
 * HTTP/1 of real servers under curl: 5,000 requests of mixed methods, statuses, sizes and framings, each counted once by every
 * process that has a part in it; the durations are those that the client measured. And pipelines.
 */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import {
  type Certificate,
  freePort,
  makeCertificate,
  PYTHON,
  type RunningAgent,
  start,
  startAgent,
  temporaryFolder,
  until,
} from '../kernel/harness.ts';
import { makeUnit, runInUnit, type Unit } from '../kernel/unit.ts';
import { type Running, startApacheBefore, startBackend, startNginxBefore } from './proxies.ts';

const PROCESSES = 8;
const REQUESTS = 5000;
const METHODS = ['GET', 'POST', 'GET', 'PUT', 'HEAD', 'DELETE', 'GET', 'PATCH', 'OPTIONS'];
const STATUSES = [200, 201, 200, 404, 200, 500, 204, 200, 503, 301, 200];
const SIZES = [0, 1, 100, 1000, 4000, 10_000, 50_000, 200_000];
const LARGE = 10_000_000;
const FRAMINGS = ['length', 'chunked', 'length', 'close'];
const TOLERANCE = 0.02;
const PIPELINED = 2048;

/** One in a hundred is of HTTP/1.0, one in five hundred is large. */
function section(i: number, base: string, folder: string): string {
  const method = METHODS[i % METHODS.length]!;
  const isLarge = i % 500 === 250;
  const status = isLarge ? 200 : STATUSES[i % STATUSES.length]!;
  const size = isLarge ? LARGE : status === 204 ? 0 : SIZES[i % SIZES.length]!;
  const how = FRAMINGS[i % FRAMINGS.length]!;
  const lines = [
    `url = "${base}/${status}/${size}/${how}/${2 * (i % 13)}"`,
    'output = "/dev/null"',
    'write-out = "%{method} %{http_code} %{time_pretransfer} %{time_total}\\n"',
    i % 100 === 99 ? 'http1.0' : 'http1.1',
    ...['insecure', 'silent', 'show-error'],
  ];
  if (method === 'HEAD') lines.push('head');
  else if (method !== 'GET') lines.push(`request = "${method}"`);
  if (method === 'POST' || method === 'PUT' || method === 'PATCH') {
    lines.push(`data-binary = "@${join(folder, isLarge ? 'large' : `body${i % 3}`)}"`);
    if (i % 2 === 0 && i % 100 !== 99) lines.push('header = "Transfer-Encoding: chunked"');
  }
  return lines.join('\n');
}

interface Sent {
  readonly counts: Map<string, number>;
  readonly seconds: number;
}

async function sendAll(unit: Unit, base: string, folder: string): Promise<Sent> {
  [10, 3000, 40_000].forEach((size, index) => {
    writeFileSync(join(folder, `body${index}`), Buffer.alloc(size, 'b'));
  });
  writeFileSync(join(folder, 'large'), Buffer.alloc(LARGE, 'b'));
  const sections = Array.from({ length: REQUESTS }, (_, i) => section(i, base, folder));
  const outputs = await Promise.all(
    Array.from({ length: PROCESSES }, (_, at) => {
      const config = join(folder, `curl${at}`);
      const own = sections.filter((_, i) => i % PROCESSES === at);
      writeFileSync(config, own.join('\nnext\n'));
      return runInUnit(unit, ['curl', '-K', config]);
    }),
  );
  const counts = new Map<string, number>();
  let seconds = 0;
  for (const line of outputs.join('').trim().split('\n')) {
    const [method, status, before, total] = line.split(' ');
    const key = `${method} ${status}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    seconds += Number(total) - Number(before);
  }
  assert.equal(
    [...counts.values()].reduce((a, b) => a + b, 0),
    REQUESTS,
  );
  return { counts, seconds };
}

async function expectAll(
  t: TestContext,
  agent: RunningAgent,
  role: 'server' | 'client',
  service: string,
  { counts, seconds }: Sent,
) {
  const exposition = await agent.expect(role, { service }, counts);
  const metric = role === 'server' ? 'http_request_duration_seconds_sum' : 'http_client_request_duration_seconds_sum';
  const measured = exposition.sum(metric, { service });
  t.diagnostic(
    `${service} as ${role}: ${measured.toFixed(3)} s, curl ${seconds.toFixed(3)} s, ${(measured / seconds - 1).toFixed(4)}`,
  );
  assert.equal(exposition.sum('http_requests_incomplete_total', { service }), 0, exposition.text);
  assert.equal(exposition.lost(), 0);
  return measured;
}

type Before = (t: TestContext, backend: Running, tls: Certificate | undefined, folder: string) => Promise<Running>;
const PROXIES: Readonly<Record<string, Before>> = { nginx: startNginxBefore, Apache: startApacheBefore };

for (const scheme of ['http', 'https'] as const) {
  for (const [name, startBefore] of Object.entries(PROXIES)) {
    test(`${scheme}: 5,000 requests through ${name} to Node.js, counted by all four ends`, async (t) => {
      const folder = temporaryFolder(t);
      const tls = scheme === 'https' ? await makeCertificate(folder) : undefined;
      const backend = await startBackend(t, folder);
      const proxy = await startBefore(t, backend, tls, folder);
      const curl = makeUnit(t, 'curl');
      const agent = await startAgent(t);
      const sent = await sendAll(curl, `${scheme}://127.0.0.1:${proxy.port}`, folder);
      const client = await expectAll(t, agent, 'client', curl.name, sent);
      const server = await expectAll(t, agent, 'server', proxy.service, sent);
      await expectAll(t, agent, 'client', proxy.service, sent);
      await expectAll(t, agent, 'server', backend.service, sent);
      assert.ok(Math.abs(client / sent.seconds - 1) <= TOLERANCE, `${client} s`);
      // Requests wait for the server too, where processors are few.
      assert.ok(server <= sent.seconds * (1 + TOLERANCE), `${server} s`);
    });
  }
}

test('pipelines of 8', async (t) => {
  const folder = temporaryFolder(t);
  const backend = await startBackend(t, folder);
  const nginx = await startNginxBefore(t, backend, undefined, folder);
  const client = makeUnit(t, 'h2load');
  const agent = await startAgent(t);
  for (const { port } of [nginx, backend]) {
    const url = `http://127.0.0.1:${port}/200/10/length/0`;
    const output = await runInUnit(client, ['h2load', '--h1', '-n', String(PIPELINED), '-c', '4', '-m', '8', url]);
    assert.match(output, new RegExp(` ${PIPELINED} done`));
  }
  const counts = (count: number) => new Map([['GET 200', count]]);
  for (const { service } of [nginx, backend]) {
    // The backend answers what comes through nginx too.
    const times = service === nginx.service ? 1 : 2;
    const exposition = await agent.expect('server', { service }, counts(PIPELINED * times));
    assert.equal(exposition.sum('http_requests_incomplete_total', { service }), 0, exposition.text);
  }
  const exposition = await agent.expect('client', { service: client.name }, counts(2 * PIPELINED));
  assert.equal(exposition.sum('http_requests_incomplete_total', { service: client.name }), 0, exposition.text);
});

test('curl sends a body that it does not know the length of, and waits for 100 Continue', async (t) => {
  const folder = temporaryFolder(t);
  const backend = await startBackend(t, folder);
  const curl = makeUnit(t, 'curl');
  const agent = await startAgent(t);
  const url = `http://127.0.0.1:${backend.port}/200/10/length/5`;
  const common = [
    'curl',
    '-s',
    '-o',
    '/dev/null',
    '--expect100-timeout',
    '20',
    '-H',
    'Expect: 100-continue',
    '-T',
    '-',
  ] as const;
  await runInUnit(curl, [...common, url], { text: 'b'.repeat(300_000), afterMs: 300 });
  await agent.expect('client', { service: curl.name }, new Map([['PUT 200', 1]]));
  await agent.expect('server', { service: backend.service }, new Map([['PUT 200', 1]]));
});

test('WebSocket, server-sent events, CONNECT and h2c by Upgrade', async (t) => {
  const folder = temporaryFolder(t);
  const backend = await startBackend(t, folder);
  const apache = await startApacheBefore(t, backend, undefined, folder, backend.port);
  const port = await freePort();
  const server = makeUnit(t, 'websocket');
  const [command, ...args] = server.command(PYTHON, fromRoot('fixtures/servers/websocket.py'), 'server', String(port));
  const running = start(t, command, args);
  await until('the WebSocket server listens', () => running.stdout().includes('ready') || undefined);
  const client = makeUnit(t, 'client');
  const agent = await startAgent(t);

  await runInUnit(client, [PYTHON, fromRoot('fixtures/servers/websocket.py'), 'client', String(port), '2']);
  await runInUnit(client, ['curl', '-s', `http://127.0.0.1:${backend.port}/events/10/100`]);
  const proxy = `http://127.0.0.1:${apache.port}`;
  await runInUnit(client, [
    'curl',
    '-s',
    '-o',
    '/dev/null',
    '-p',
    '-x',
    proxy,
    `http://127.0.0.1:${backend.port}/200/10/length/500`,
  ]);
  const name = 'http_stream_duration_seconds';
  const exposition = await until('the streams are over', async () => {
    const scraped = await agent.scrape();
    const count = scraped.sum(`${name}_count`, { service: client.name });
    return count === 3 && scraped.sum(`${name}_count`, { service: apache.service }) === 1 ? scraped : undefined;
  });
  for (const [service, role, kind, seconds] of [
    [client.name, 'client', 'websocket', 2],
    [server.name, 'server', 'websocket', 2],
    [client.name, 'client', 'sse', 1],
    [backend.service, 'server', 'sse', 1],
    [client.name, 'client', 'connect', 0.5],
    [apache.service, 'server', 'connect', 0.5],
  ] as const) {
    assert.equal(exposition.sum(`${name}_count`, { service, role, kind }), 1, `${service} ${kind}`);
    const took = exposition.sum(`${name}_sum`, { service, role, kind });
    assert.ok(took >= seconds && took < seconds * 1.3 + 0.2, `${service} ${kind}: ${took} s`);
  }
  const setUp = exposition.sum('http_client_request_duration_seconds_sum', { service: client.name });
  assert.ok(setUp < 0.5, `the set-ups took ${setUp} s`);
  const status = '101';
  assert.equal(exposition.sum('http_request_duration_seconds_count', { service: server.name, status }), 1);

  await runInUnit(client, ['nghttp', '-nu', `${proxy}/200/10/length/0`, `${proxy}/404/10/length/0`]);
  const counts = new Map([
    ['CONNECT 200', 1],
    ['GET 200', 1],
    ['GET 404', 1],
  ]);
  await agent.expect('server', { service: apache.service }, counts);
});
