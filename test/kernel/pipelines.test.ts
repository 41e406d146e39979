/**
 * Pipelines of HTTP/1.1 (RFC 9112 section 9.3.2), in which message heads stand anywhere in what a read or write moves: each request
 * is counted once, with its method and the status of its own response, by both ends.
 */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import {
  type Certificate,
  copyNode,
  freePort,
  makeCertificate,
  PYTHON,
  type RunningAgent,
  readCounts,
  scaled,
  sleep,
  start,
  startAgent,
  startNginx,
  temporaryFolder,
  until,
} from './harness.ts';
import { makeUnit, runInUnit, type Unit } from './unit.ts';

const DEPTH = 8;
const REQUESTS = scaled(4096, 256);
/** Of a pipeline that is sent by one call: 64 KiB. */
const AT_ONCE = 1000;
const SIZES = [0, 1, 100, 1000, 3000, 10_000];
const WARM = 32;
/** All of it, were the agent to sleep. */
const RING_BYTES = String(64 * 2 ** 20);

interface Server {
  readonly service: string;
  readonly port: number;
}

/** A server of Node.js in a unit, which the request paths tell what to answer; for TLS nginx is before it. */
async function startServer(t: TestContext, tls: Certificate | undefined): Promise<Server> {
  const unit = makeUnit(t, 'server');
  const port = await freePort();
  const node = copyNode(temporaryFolder(t));
  const [command, ...args] = unit.command(node, fromRoot('fixtures/servers/mixed-server.mjs'), String(port));
  const child = start(t, command, args);
  await until('the server listens', () => child.stdout().includes('ready') || undefined);
  if (!tls) return { service: unit.name, port };
  const nginx = await startNginx(t, { tls, locations: `location / { proxy_pass http://127.0.0.1:${port}; }` });
  return { service: 'nginx', port: nginx.port };
}

/** Runs a client that sends `count` requests until both ends are counted: their TLS libraries have probes. Returns the server's counts. */
async function warmUp(
  t: TestContext,
  agent: RunningAgent,
  service: string,
  client: readonly [string, ...string[]],
  count: number,
) {
  return until('both ends are seen', async () => {
    const total = (counts: Map<string, number>) => [...counts.values()].reduce((a, b) => a + b, 0);
    const unit = makeUnit(t, 'warm');
    const before = total((await agent.scrape()).transactions('server', { service }));
    await runInUnit(unit, client);
    await sleep(300);
    const exposition = await agent.scrape();
    const served = exposition.transactions('server', { service });
    const asked = exposition.transactions('client', { service: unit.name });
    return total(served) === before + count && total(asked) === count ? served : undefined;
  });
}

/** Both ends have counted what was sent, and nothing else. */
async function expectBoth(
  t: TestContext,
  agent: RunningAgent,
  service: string,
  client: Unit,
  sent: Map<string, number>,
  before: Map<string, number>,
) {
  const expected = new Map(before);
  for (const [key, count] of sent) expected.set(key, (before.get(key) ?? 0) + count);
  await agent.expect('client', { service: client.name }, sent);
  const exposition = await agent.expect('server', { service }, expected);
  for (const name of [service, client.name]) {
    assert.equal(exposition.sum('http_requests_incomplete_total', { service: name }), 0, exposition.text);
  }
  assert.equal(exposition.lost(), 0);
  const requests = [...sent.values()].reduce((a, b) => a + b, 0);
  t.diagnostic(`${(exposition.sum('plainsight_captured_bytes_total') / requests).toFixed(0)} bytes copied per request`);
}

for (const scheme of ['http', 'https'] as const) {
  const secure = async (t: TestContext) => (scheme === 'https' ? makeCertificate(temporaryFolder(t)) : undefined);

  for (const [size, how, requests] of [
    [10, 'length', REQUESTS],
    [3000, 'chunked', REQUESTS],
    [10_000, 'chunked', REQUESTS / 4],
    [10_000, 'length', REQUESTS / 4],
  ] as const) {
    test(`${scheme}: pipelines of ${DEPTH}, responses of ${size} bytes, ${how}`, async (t) => {
      const server = await startServer(t, await secure(t));
      const client = makeUnit(t, 'h2load');
      const agent = await startAgent(t, '--ring-size', RING_BYTES);
      const url = `${scheme}://127.0.0.1:${server.port}/200/${size}/${how}/0`;
      const h2load = (count: number) =>
        ['h2load', '--h1', '-n', String(count), '-c', '4', '-m', String(DEPTH), url] as const;
      const before = await warmUp(t, agent, server.service, h2load(WARM), WARM);
      assert.match(await runInUnit(client, h2load(requests)), new RegExp(` ${requests} done`));
      await expectBoth(t, agent, server.service, client, new Map([['GET 200', requests]]), before);
    });
  }

  test(`${scheme}: ${AT_ONCE} requests in one call, methods, statuses, sizes and framings mixed`, async (t) => {
    const server = await startServer(t, await secure(t));
    const client = makeUnit(t, 'pipeliner');
    const agent = await startAgent(t, '--ring-size', RING_BYTES);
    const pipeliner = (connections: number, count: number) =>
      [
        PYTHON,
        fromRoot('fixtures/servers/pipeliner.py'),
        String(server.port),
        scheme === 'https' ? 'tls' : 'plain',
        String(connections),
        String(count),
        ...SIZES.map(String),
      ] as const;
    const before = await warmUp(t, agent, server.service, pipeliner(1, 2), 2);
    const sent = readCounts(await runInUnit(client, pipeliner(4, AT_ONCE)));
    await expectBoth(t, agent, server.service, client, sent, before);
  });
}
