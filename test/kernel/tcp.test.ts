import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import { freePort, PYTHON, scaled, settled, start, startAgent, until } from './harness.ts';
import { makeUnit, runInUnit, type Unit } from './unit.ts';

const PEER = fromRoot('fixtures/servers/tcp-peer.py');

type Counts = Readonly<Record<'opened' | 'sent' | 'received' | 'refused' | 'reset' | 'timeout' | 'aborted', number>>;

async function serve(t: TestContext, address: string): Promise<{ unit: Unit; port: number }> {
  const unit = makeUnit(t, 'server');
  const port = await freePort();
  const [command, ...args] = unit.command(PYTHON, PEER, 'server', address, String(port));
  const child = start(t, command, args);
  await until('the server listens', () => (child.stdout().includes('ready') ? true : undefined));
  return { unit, port };
}

async function connect(unit: Unit, ...args: readonly (string | number)[]): Promise<Counts> {
  return JSON.parse(await runInUnit(unit, [PYTHON, PEER, 'client', ...args.map(String)])) as Counts;
}

const CONNECTIONS = scaled(300, 30);
const BYTES = 10_000;

for (const { name, listen, to } of [
  { name: 'IPv4', listen: '127.0.0.1', to: '127.0.0.1' },
  { name: 'IPv6', listen: '::', to: '::1' },
  { name: 'IPv4 to an IPv6 socket', listen: '::', to: '127.0.0.1' },
]) {
  test(`${name}: connections, bytes and peers as the client counts them, on both sides`, async (t) => {
    const server = await serve(t, listen);
    const client = makeUnit(t, 'client');
    const agent = await startAgent(t);
    const counts = await connect(client, to, server.port, 'echo', CONNECTIONS, BYTES);
    assert.equal(counts.opened, CONNECTIONS);
    await settled(agent, (scrape) => {
      const asClient = { service: client.name, dest_service: server.unit.name, role: 'client' };
      const asServer = { service: server.unit.name, dest_service: client.name, role: 'server' };
      assert.equal(scrape.sum('tcp_connections_opened_total', asClient), counts.opened, scrape.text);
      assert.equal(scrape.sum('tcp_connections_opened_total', asServer), counts.opened);
      assert.equal(scrape.sum('tcp_sent_bytes_total', asClient), counts.sent);
      assert.equal(scrape.sum('tcp_received_bytes_total', asClient), counts.received);
      assert.equal(scrape.sum('tcp_sent_bytes_total', asServer), counts.received);
      assert.equal(scrape.sum('tcp_received_bytes_total', asServer), counts.sent);
      assert.equal(scrape.sum('tcp_connect_duration_seconds_count', { service: client.name }), counts.opened);
      assert.equal(scrape.sum('tcp_connections_failed_total', { service: client.name }), 0);
      assert.equal(scrape.sum('tcp_connections_active', { service: client.name }), 0);
      assert.ok(scrape.sum('tcp_rtt_seconds_count', { service: client.name }) > 0);
      assert.ok(scrape.samples.some(({ labels }) => labels.dest_port === String(server.port)));
    });
  });
}

test('failures by reason, as the client counts them', async (t) => {
  const server = await serve(t, '127.0.0.1');
  const client = makeUnit(t, 'client');
  const closed = await freePort();
  const agent = await startAgent(t);
  const refused = await connect(client, '127.0.0.1', closed, 'echo', CONNECTIONS);
  const reset = await connect(client, '127.0.0.1', server.port, 'reset', CONNECTIONS);
  const aborted = await connect(client, '127.0.0.1', server.port, 'abort', CONNECTIONS);
  assert.deepEqual([refused.refused, reset.reset, aborted.aborted], [CONNECTIONS, CONNECTIONS, CONNECTIONS]);
  await settled(agent, (scrape) => {
    const failed = (service: string, reason: string) => scrape.sum('tcp_connections_failed_total', { service, reason });
    assert.equal(failed(client.name, 'refused'), CONNECTIONS);
    assert.equal(failed(client.name, 'reset'), CONNECTIONS);
    assert.equal(failed(client.name, 'aborted'), CONNECTIONS);
    assert.equal(scrape.sum('tcp_connections_failed_total', { service: client.name }), 3 * CONNECTIONS);
    assert.equal(scrape.sum('tcp_connections_opened_total', { service: client.name }), 2 * CONNECTIONS);
    // What one side aborts, the other sees reset.
    assert.equal(failed(server.unit.name, 'aborted'), CONNECTIONS);
  });
});

test('a connection older than the agent: active, its bytes while it is open and from the start of the agent on', async (t) => {
  const server = await serve(t, '127.0.0.1');
  const client = makeUnit(t, 'client');
  const [command, ...args] = client.command(PYTHON, PEER, 'hold', '127.0.0.1', String(server.port), '100000');
  const held = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => held.kill());
  const lines = createInterface(held.stdout)[Symbol.asyncIterator]();
  const move = async () => {
    held.stdin.write('\n');
    assert.equal((await lines.next()).value, 'moved 100000');
  };
  assert.match(String((await lines.next()).value), /^open/);
  await move();
  const agent = await startAgent(t);
  await move();
  await move();
  const asClient = { service: client.name, dest_service: server.unit.name };
  const asServer = { service: server.unit.name, dest_service: client.name };
  await settled(agent, (scrape) => {
    assert.equal(scrape.sum('tcp_connections_active', { service: client.name, role: 'client' }), 1, scrape.text);
    assert.equal(scrape.sum('tcp_connections_active', { service: server.unit.name, role: 'server' }), 1);
    for (const labels of [asClient, asServer]) {
      assert.equal(scrape.sum('tcp_sent_bytes_total', labels), 200_000, scrape.text);
      assert.equal(scrape.sum('tcp_received_bytes_total', labels), 200_000);
      assert.equal(scrape.sum('tcp_connections_opened_total', labels), 0);
    }
  });
  await move();
  const ended = once(held, 'close');
  held.stdin.end();
  await ended;
  await settled(agent, (scrape) => {
    assert.equal(scrape.sum('tcp_connections_active', { service: client.name }), 0);
    assert.equal(scrape.sum('tcp_sent_bytes_total', asClient), 300_000);
    assert.equal(scrape.sum('tcp_connections_failed_total', { service: client.name }), 0);
  });
});

test('sendfile: bytes on both sides', async (t) => {
  const server = await serve(t, '127.0.0.1');
  const client = makeUnit(t, 'client');
  const agent = await startAgent(t);
  const counts = await connect(client, '127.0.0.1', server.port, 'file', 4, 5_000_000);
  assert.equal(counts.received, 20_000_000);
  await settled(agent, (scrape) => {
    assert.equal(scrape.sum('tcp_sent_bytes_total', { service: server.unit.name }), counts.received);
    assert.equal(scrape.sum('tcp_received_bytes_total', { service: client.name }), counts.received);
  });
});

test('switched off: no programs, no families, and it is said', async (t) => {
  const agent = await startAgent(t, '--tcp', 'off');
  const scrape = await agent.scrape();
  assert.ok(scrape.samples.some(({ labels }) => labels.feature === 'tcp' && labels.reason === 'disabled'));
  assert.equal(scrape.samples.filter(({ name }) => name.startsWith('tcp_')).length, 0);
});
