/** The peer of a Go program's connection is the other end of its socket, or `unknown`: never another one. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { PLAINSIGHT, sleep, start, until } from '../kernel/harness.ts';
import { makeUnit, runInUnit } from '../kernel/unit.ts';
import { buildGo } from './programs.ts';
import { startServer, toCounts, total } from './scenario.ts';
import { type GoVersion, goToolchain, TESTED_GO_VERSIONS } from './toolchains.ts';

const CONNECTIONS = 10;
const REQUESTS = 200;

interface Line {
  readonly service: string;
  readonly role: string;
  readonly peer: string;
}

interface Peers {
  /** Address of the server. */
  readonly address: string;
  /** As the server knows them: requests by client. */
  readonly clients: Readonly<Record<string, number>>;
  /** As the agent knows them: transactions by peer. */
  readonly ofServer: Record<string, number>;
  readonly ofClient: Record<string, number>;
}

async function peersOf(
  t: TestContext,
  version: GoVersion,
  flags: readonly string[],
  clientFlags: readonly string[] = [],
): Promise<Peers> {
  const toolchain = await goToolchain(version);
  const build = { variant: 'plain', stripped: true } as const;
  const client = await buildGo(toolchain, 'client', build);
  const { unit, server } = await startServer(t, await buildGo(toolchain, 'server', build), flags);
  const tail = start(t, PLAINSIGHT, ['tail', '--json', '--tls']);
  const url = `-url=https://${server.address}`;
  const ask = (name: string, requests: number) => {
    const own = makeUnit(t, name);
    const args = [`-requests=${requests}`, `-connections=${CONNECTIONS}`, url, ...clientFlags] as const;
    return { unit: own, done: runInUnit(own, [client, '-wait', ...args], { text: '', afterMs: 1000 }) };
  };
  const linesOf = (service: string, role: string) => {
    const lines = tail.stdout().split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as Line).filter((one) => one.service === service && one.role === role);
  };
  await until('tail is attached', async () => {
    const first = ask('first', 1);
    await first.done;
    await sleep(200);
    return linesOf(first.unit.name, 'client').length > 0 && linesOf(unit.name, 'server').length > 0 ? true : undefined;
  });
  const before = linesOf(unit.name, 'server').length;
  const second = ask('client', REQUESTS);
  await second.done;
  const all = await until('all transactions', () => {
    const ofServer = linesOf(unit.name, 'server').slice(before);
    const ofClient = linesOf(second.unit.name, 'client');
    return ofServer.length >= REQUESTS && ofClient.length >= REQUESTS ? { ofServer, ofClient } : undefined;
  });
  assert.ok(total(toCounts(await server.stop())) > REQUESTS);
  const byPeer = (lines: readonly Line[]) => {
    assert.equal(lines.length, REQUESTS);
    const counts: Record<string, number> = {};
    for (const { peer } of lines) counts[peer] = (counts[peer] ?? 0) + 1;
    return counts;
  };
  return {
    address: server.address,
    clients: server.clients,
    ofServer: byPeer(all.ofServer),
    ofClient: byPeer(all.ofClient),
  };
}

/** As many transactions as the server counted, for each of its clients but those of the first requests. */
function assertExact(found: Readonly<Record<string, number>>, clients: Readonly<Record<string, number>>): void {
  assert.equal(Object.keys(found).length, CONNECTIONS);
  for (const [peer, count] of Object.entries(found)) assert.equal(count, clients[peer], peer);
}

for (const version of TESTED_GO_VERSIONS) {
  test(`Go ${version}: of both roles`, async (t) => {
    const { address, clients, ofServer, ofClient } = await peersOf(t, version, []);
    assert.deepEqual(ofClient, { [address]: REQUESTS });
    assertExact(ofServer, clients);
  });
}

for (const kind of ['own', 'embedded']) {
  test(`connections of another type (${kind}): proven by their own socket operations, or unknown`, async (t) => {
    const { clients, ofServer } = await peersOf(t, '1.27', [`-wrap=${kind}`]);
    for (const [peer, count] of Object.entries(ofServer)) {
      assert.ok(peer === 'unknown' || (clients[peer] ?? 0) >= count, `${peer} was no client`);
    }
  });
}

test('connections whose socket other goroutines use are unknown', async (t) => {
  const { ofServer } = await peersOf(t, '1.27', ['-wrap=relay']);
  assert.deepEqual(ofServer, { unknown: REQUESTS });
});

test('TLS over TLS: each request is counted once, and its peer is unknown', async (t) => {
  const { ofServer, ofClient } = await peersOf(t, '1.27', ['-wrap=tls'], ['-tunnel']);
  assert.deepEqual(ofServer, { unknown: REQUESTS });
  assert.deepEqual(ofClient, { unknown: REQUESTS });
});
