/** Retransmits of pods: containers of runc in the cgroups of Kubernetes, each pod's network loses 5 % of what it receives. */

import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import { listens } from '../containers/node.ts';
import { makeWorld } from '../containers/world.ts';
import { settled } from '../kernel/harness.ts';
import { namespaceObject } from '../kubernetes/samples.ts';
import { insideOf } from './namespaces.ts';

const PORT = 7000;
const SECONDS = 25;

test('5 % loss between pods: retransmits by pod are those of its network namespace, bytes those of its programs', async (t) => {
  const { node, server, agent: startAgent } = await makeWorld(t);
  copyFileSync(fromRoot('fixtures/servers/tcp-peer.py'), join(node.work, 'tcp-peer.py'));
  for (const name of ['shop', 'pay']) server.put('namespaces', namespaceObject(name));
  const web = await node.pod({ namespace: 'shop', name: 'web-0' });
  const batch = await node.pod({ namespace: 'shop', name: 'batch-0' }, 'systemd');
  const store = await node.pod({ namespace: 'pay', name: 'store-0' });
  const pods = [web, batch, store] as const;
  const peer = (...args: readonly (string | number)[]) => ({
    args: ['/usr/bin/python3', '/srv/tcp-peer.py', ...args.map(String)],
  });
  store.start(server, 'store', peer('server', '0.0.0.0', PORT));
  await listens(node, store.address, PORT);
  const agent = await startAgent();
  const before = await Promise.all(pods.map(({ network }) => insideOf(network).counter('RetransSegs')));
  for (const { network } of pods) await insideOf(network).lose(5);
  const running = [
    web.start(server, 'pour', peer('pour', store.address, PORT, SECONDS, 3)).finished(),
    batch.start(server, 'pour', peer('pour', store.address, PORT, SECONDS, 2)).finished(),
    // Many handshakes: SYN and SYN-ACK are sent again as well.
    batch.start(server, 'short', peer('client', store.address, PORT, 'echo', 400, 1000)).finished(),
  ];
  const [first, second, short] = (await Promise.all(running)).map((text) => JSON.parse(text) as Record<string, number>);
  for (const { network } of pods) await insideOf(network).lose(0);
  const sent = new Map([
    [web, first!.sent!],
    [batch, second!.sent! + short!.sent!],
  ]);
  const scrape = await settled(agent, (now) => {
    assert.equal(now.sum('tcp_connections_active', { namespace: 'shop' }), 0);
    for (const [{ sample }, bytes] of sent) {
      assert.equal(now.sum('tcp_sent_bytes_total', { namespace: 'shop', pod: sample.name }), bytes);
    }
  });
  for (const [i, { sample, network }] of pods.entries()) {
    const truth = (await insideOf(network).counter('RetransSegs')) - before[i]!;
    const labels = { namespace: sample.namespace, pod: sample.name, dest_port: String(PORT) };
    const found = scrape.sum('node_tcp_retransmits_total', labels);
    t.diagnostic(`${sample.name}: ${found} of ${truth}`);
    assert.ok(truth >= 20, `only ${truth} retransmits: this shows nothing`);
    assert.ok(Math.abs(found - truth) <= Math.max(1, truth * 0.05), `${sample.name}: ${found}, not ${truth}`);
  }
});
