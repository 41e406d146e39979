/** Bytes of connections while they are open, and while they close, against `ss -ti` and the clients' own totals. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { PYTHON, settled, sleep, startAgent } from '../kernel/harness.ts';
import { makeUnit, type Unit } from '../kernel/unit.ts';
import { type End, makeNetwork } from './namespaces.ts';
import { PEER, peer, serve } from './peers.ts';

const BYTES = 3_000_000;

interface Totals {
  sent: number;
  received: number;
}

/** What `ss -ti` says of the connections of a namespace that are open: payload bytes, those sent again once. */
async function socketStatistics(end: End, port: number): Promise<Totals> {
  const totals = { sent: 0, received: 0 };
  const text = await end.run(`ss -tiHn state established '( sport = :${port} or dport = :${port} )'`);
  const number = (line: string, name: string) => Number(new RegExp(`\\b${name}:(\\d+)`).exec(line)?.[1] ?? 0);
  for (const line of text.split('\n')) {
    totals.sent += number(line, 'bytes_sent') - number(line, 'bytes_retrans');
    totals.received += number(line, 'bytes_received');
  }
  return totals;
}

/** A connection that stays open: each call moves bytes and waits for them. */
async function hold(t: TestContext, unit: Unit, near: End, far: End, kind: string): Promise<() => Promise<void>> {
  const [program, ...enter] = near.enter;
  const words = [PYTHON, PEER, 'hold', far.v4, '7000', String(BYTES), kind];
  const [command, ...args] = unit.command(program, ...enter, ...words);
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill());
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  assert.match(String((await lines.next()).value), /^open/);
  return async () => {
    child.stdin.write('\n');
    assert.equal((await lines.next()).value, `moved ${BYTES}`);
  };
}

for (const { name, kind } of [
  { name: 'written', kind: 'e' },
  { name: 'by sendfile', kind: 's' },
]) {
  test(`an open connection that loses 3 %, ${name}: its bytes are those of ss -ti, on both sides`, async (t) => {
    const { near, far } = await makeNetwork(t);
    const server = await serve(t, far, '0.0.0.0', 7000);
    const client = makeUnit(t, 'client');
    const agent = await startAgent(t);
    for (const end of [near, far]) await end.lose(3);
    const move = await hold(t, client, near, far, kind);
    for (let round = 1; round <= 3; round++) {
      await move();
      // The last acknowledgement may still be lost; what was sent is sent.
      await sleep(500);
      const scrape = await agent.scrape();
      for (const [unit, end] of [
        [client, near],
        [server, far],
      ] as const) {
        const truth = await socketStatistics(end, 7000);
        const service = unit.name;
        assert.equal(scrape.sum('tcp_connections_active', { service }), 1);
        assert.equal(scrape.sum('tcp_sent_bytes_total', { service }), truth.sent);
        assert.equal(scrape.sum('tcp_received_bytes_total', { service }), truth.received);
        const least = round * BYTES;
        assert.ok((unit === server ? truth.sent : truth.received) >= least, `${truth.sent} ${truth.received}`);
      }
    }
    assert.ok((await far.counter('RetransSegs')) > 0, 'nothing was lost: this shows nothing');
  });
}

test('connections that close while they are read: no byte twice, none missing', async (t) => {
  const { near, far } = await makeNetwork(t);
  const server = await serve(t, far, '0.0.0.0', 7000);
  const client = makeUnit(t, 'client');
  const agent = await startAgent(t);
  const totals = { sent: 0, received: 0 };
  let scrapes = 0;
  for (let round = 0; round < 12; round++) {
    let done = false;
    const reading = (async () => {
      for (; !done; scrapes++) await agent.scrape();
    })();
    const counts = await peer(client, near, 'burst', far.v4, 7000, 300, 2000 + round);
    done = true;
    await reading;
    totals.sent += counts.sent!;
    totals.received += counts.received!;
    // After each round: what was told too much would not show once more is sent.
    await settled(agent, (scrape) => {
      assert.equal(scrape.sum('tcp_connections_active', { service: client.name }), 0);
      for (const [service, sent, received] of [
        [client.name, totals.sent, totals.received],
        [server.name, totals.received, totals.sent],
      ] as const) {
        assert.equal(scrape.sum('tcp_sent_bytes_total', { service }), sent);
        assert.equal(scrape.sum('tcp_received_bytes_total', { service }), received);
      }
    });
  }
  t.diagnostic(`${scrapes} readings`);
});
