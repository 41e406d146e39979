/** What the agent makes of Go programs without TLS, at many connections, and of programs of a version that does not exist yet. */

import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startAgent, temporaryFolder } from '../kernel/harness.ts';
import { makeUnit } from '../kernel/unit.ts';
import { load } from './binaries.ts';
import { buildGo } from './programs.ts';
import { processesOf, runClient, startServer, toCounts, total } from './scenario.ts';
import { goToolchain } from './toolchains.ts';

const BUILD = { variant: 'plain', stripped: true } as const;

for (const processors of [1, 2]) {
  test(`10,000 requests in the clear at 400 connections, GOMAXPROCS ${processors}`, async (t) => {
    const toolchain = await goToolchain('1.27');
    const client = await buildGo(toolchain, 'client', BUILD);
    const { unit, server } = await startServer(t, await buildGo(toolchain, 'server', BUILD), ['-plain'], processors);
    // Four busy threads may keep the agent from its turn for long on two processors.
    const agent = await startAgent(t, '--ring-size', String(64 * 1024 * 1024));
    const own = makeUnit(t, 'client');
    const flags = [`-url=http://${server.address}`, '-requests=10000', '-connections=400'];
    const sent = await runClient(agent, own, client, flags, { processors });
    assert.equal(total(sent), 10_000);
    assert.deepEqual(toCounts(await server.stop()), sent);
    for (const [role, { name: service }] of [
      ['server', unit],
      ['client', own],
    ] as const) {
      const exposition = await agent.expect(role, { service, scheme: 'http' }, sent);
      assert.equal(exposition.sum('http_requests_incomplete_total', { service }), 0);
      assert.equal(exposition.lost(), 0);
    }
  });
}

/** A copy that says to be of a later version. */
function fromTheFuture(path: string, copy: string): string {
  const bytes = Buffer.from(readFileSync(path));
  const { offset } = load(path).file.sections.find(({ name }) => name === '.go.buildinfo')!;
  const at = bytes.indexOf('go1.27.', offset);
  assert.ok(at > 0 && at < offset + 64);
  bytes.write('go1.99.', at);
  writeFileSync(copy, bytes);
  chmodSync(copy, 0o755);
  return copy;
}

test('a program of a version that does not exist yet is left alone, and the agent says so', async (t) => {
  const toolchain = await goToolchain('1.27');
  const folder = temporaryFolder(t);
  const client = fromTheFuture(await buildGo(toolchain, 'client', BUILD), join(folder, 'client'));
  const { unit, server } = await startServer(
    t,
    fromTheFuture(await buildGo(toolchain, 'server', BUILD), join(folder, 'server')),
    [],
  );
  const agent = await startAgent(t);
  const own = makeUnit(t, 'client');
  const flags = [`-url=https://${server.address}`, '-requests=200', '-connections=10'];
  const sent = await runClient(agent, own, client, flags, { state: 'unsupported' });
  assert.equal(total(sent), 200);
  const [found, ...others] = await processesOf(agent, unit);
  assert.deepEqual(
    [found?.library, found?.state, found?.reason, others],
    ['go', 'unsupported', 'Go version unverified', []],
  );
  assert.match(found?.version ?? '', /^go1\.99\./);
  const status = (await (await fetch(`${agent.url}/api/status`)).json()) as { libraries: { path: string }[] };
  assert.deepEqual(
    status.libraries.filter(({ path }) => path.startsWith(folder)),
    [],
  );
  const exposition = await agent.scrape();
  for (const { name: service } of [unit, own]) {
    assert.deepEqual(exposition.transactions('server', { service }), new Map());
    assert.deepEqual(exposition.transactions('client', { service }), new Map());
    assert.equal(exposition.sum('http_requests_incomplete_total', { service }), 0);
  }
  const told = exposition.sum('plainsight_tls_processes', {
    library: 'go',
    state: 'unsupported',
    reason: 'Go version unverified',
  });
  assert.ok(told >= 1);
  assert.deepEqual(toCounts(await server.stop()), sent);
});
