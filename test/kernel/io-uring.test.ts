/**
 * What moves by io_uring: its bytes are in no system call's arguments, so they count by their length alone. And never is what a
 * system call holds, on whose way out the kernel completes such an operation, taken for it.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import { freePort, hasSocketTracepoints, run, scaled, start, startAgent, temporaryFolder, until } from './harness.ts';
import { makeUnit, runInUnit } from './unit.ts';

const REQUESTS = scaled(200, 20);
const BODY_BYTES = 100_000;

async function startServer(t: TestContext, mode: 'bodies' | 'all' | 'aside') {
  const program = join(temporaryFolder(t), 'uring-server');
  await run('gcc', ['-O2', '-o', program, fromRoot('fixtures/servers/uring-server.c'), '-lpthread']);
  const unit = makeUnit(t, mode);
  const port = await freePort();
  const [command, ...args] = unit.command(program, String(port), mode);
  const child = start(t, command, args);
  await until('the server listens', () => {
    assert.notEqual(child.process.exitCode, 77, 'io_uring is switched off: sysctl kernel.io_uring_disabled');
    return child.stdout().includes('ready') || undefined;
  });
  return { unit, port };
}

test('bodies that are sent by io_uring are lengths: each response is counted, and hardly copied', async (t) => {
  const { unit, port } = await startServer(t, 'bodies');
  const client = makeUnit(t, 'client');
  const agent = await startAgent(t);
  await runInUnit(client, ['h2load', '--h1', '-n', String(REQUESTS), '-c', '1', `http://127.0.0.1:${port}/`]);
  const counts = new Map([['GET 200', REQUESTS]]);
  await agent.expect('client', { service: client.name }, counts);
  const exposition = await agent.expect('server', { service: unit.name }, counts);
  assert.equal(exposition.sum('http_requests_incomplete_total', { service: unit.name }), 0, exposition.text);
  const status = (await (await fetch(`${agent.url}/api/status`)).json()) as { chunks: { opaque: number } };
  // Below 6.3 the exits of system calls do not show them: TCP's own positions do.
  if (hasSocketTracepoints()) assert.ok(status.chunks.opaque >= REQUESTS, `${status.chunks.opaque} chunks`);
});

for (const mode of ['all', 'aside'] as const) {
  test(`of a server whose requests come by io_uring (${mode}) nothing is invented`, async (t) => {
    const { unit, port } = await startServer(t, mode);
    const client = makeUnit(t, 'client');
    const agent = await startAgent(t);
    await runInUnit(client, ['h2load', '--h1', '-n', String(REQUESTS), '-c', '1', `http://127.0.0.1:${port}/`]);
    const exposition = await agent.expect('client', { service: client.name }, new Map([['GET 200', REQUESTS]]));
    assert.deepEqual(exposition.transactions('server', { service: unit.name }), new Map());
    const received = exposition.sum('tcp_sent_bytes_total', { service: unit.name });
    assert.ok(received === 0 || received >= REQUESTS * BODY_BYTES, `${received} bytes`);
  });
}
