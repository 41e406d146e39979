/** What takes minutes, or namespaces: `npm run test:tcp`. The kernel's counters and the clients' own are the truth. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import {
  copyNode,
  freePort,
  makeCertificate,
  PYTHON,
  settled,
  sleep,
  start,
  startAgent,
  temporaryFolder,
  until,
} from '../kernel/harness.ts';
import { makeUnit, runInUnit, type Unit } from '../kernel/unit.ts';
import { makeNetwork, residentBytes } from './namespaces.ts';
import { peer, serve } from './peers.ts';

function within(found: number, truth: number, share: number, what: string): void {
  assert.ok(Math.abs(found - truth) <= truth * share, `${what}: ${found}, not ${truth} within ${share * 100} %`);
}

for (const percent of [5, 20]) {
  test(`${percent} % loss for 30 s: retransmits of both ends are the kernel's, bytes the client's`, async (t) => {
    const { near, far } = await makeNetwork(t);
    const server = await serve(t, far, '::', 7000);
    const client = makeUnit(t, 'client');
    const agent = await startAgent(t);
    for (const end of [near, far]) await end.lose(percent);
    const asked = [
      peer(client, near, 'pour', far.v4, 7000, 28),
      peer(client, near, 'client', far.v6, 7000, 'echo', 16, 4000),
    ];
    await sleep(30_000);
    // What still waits for a timeout of many seconds may come through at once.
    for (const end of [near, far]) await end.lose(0);
    const [poured, echoed] = (await Promise.all(asked)) as [Record<string, number>, Record<string, number>];
    const sent = poured.sent! + echoed.sent!;
    await settled(agent, (scrape) => {
      assert.equal(scrape.sum('tcp_connections_active', { service: client.name }), 0);
      within(scrape.sum('tcp_sent_bytes_total', { service: client.name }), sent, 0.001, 'bytes sent');
      within(scrape.sum('tcp_received_bytes_total', { service: server.name }), sent, 0.001, 'bytes received');
    });
    const scrape = await agent.scrape();
    for (const [unit, end] of [
      [client, near],
      [server, far],
    ] as const) {
      const truth = await end.counter('RetransSegs');
      const found = scrape.sum('node_tcp_retransmits_total', { service: unit.name });
      t.diagnostic(`${unit.name}: ${found} of ${truth}`);
      // Of the few that answer, one may fall between two readings.
      assert.ok(Math.abs(found - truth) <= Math.max(1, truth * 0.05), `${unit.name}: ${found}, not ${truth}`);
      if (unit === client) assert.ok(truth > 1000, `only ${truth} retransmits: this shows nothing`);
    }
  });
}

test('10,000 short connections, refused, timed out, reset and aborted ones among them, exactly as counted', async (t) => {
  const { near, far } = await makeNetwork(t);
  const server = await serve(t, far, '::', 7000);
  const client = makeUnit(t, 'client');
  const agent = await startAgent(t);
  await far.run(
    "nft 'table inet silent { chain arrive { type filter hook input priority 0; tcp dport 7002 drop; }; }'",
  );
  const counts = [
    await peer(client, near, 'client', far.v4, 7000, 'echo', 4000, 100),
    await peer(client, near, 'client', far.v6, 7000, 'echo', 3000, 100),
    await peer(client, near, 'client', far.v4, 7001, 'echo', 1000),
    await peer(client, near, 'client', far.v6, 7000, 'reset', 1000),
    await peer(client, near, 'client', far.v4, 7000, 'abort', 800),
    await peer(client, near, 'client', far.v4, 7002, 'timeout', 150),
    await peer(client, near, 'client', far.v4, 7002, 'giveup', 50),
  ];
  const sum = (name: string) => counts.reduce((n, count) => n + (count[name] ?? 0), 0);
  t.diagnostic(JSON.stringify(Object.fromEntries(Object.keys(counts[0]!).map((name) => [name, sum(name)]))));
  assert.deepEqual(
    ['opened', 'refused', 'reset', 'timeout', 'aborted'].map(sum),
    [8800, 1000, 1000, 150, 850],
    'the clients did not see what the test set up',
  );
  await settled(agent, (scrape) => {
    const failed = (reason: string) => scrape.sum('tcp_connections_failed_total', { service: client.name, reason });
    const opened = { service: client.name, role: 'client', dest_service: server.name, dest_port: '7000' };
    assert.equal(scrape.sum('tcp_connections_opened_total', opened), sum('opened'));
    assert.equal(scrape.sum('tcp_connections_opened_total', { service: server.name, role: 'server' }), sum('opened'));
    for (const reason of ['refused', 'reset', 'timeout', 'aborted']) assert.equal(failed(reason), sum(reason), reason);
    assert.equal(scrape.sum('tcp_connections_failed_total', { service: client.name }), 3000);
  });
});

test('100,000 remote addresses: the tables hold, what is beyond them is counted, memory stays', async (t) => {
  const { near, far } = await makeNetwork(t);
  await far.run('ip route add local 10.128.0.0/9 dev lo');
  await near.run(`ip route add 10.128.0.0/9 via ${far.v4}`);
  const server = await serve(t, far, '0.0.0.0', 7000);
  const client = makeUnit(t, 'client');
  const agent = await startAgent(t);
  const first = await peer(client, near, 'flood', 7000, 2000);
  await agent.scrape();
  const beforeBytes = residentBytes(agent.pid);
  const rest = await peer(client, near, 'flood', 7000, 98_000);
  const scrape = await settled(agent, (now) => {
    const told = now.sum('tcp_connections_opened_total', { service: client.name, role: 'client' });
    const beyond = now.sum('tcp_connections_opened_total', { service: '_overflow', role: 'client' });
    t.diagnostic(`${told} told, ${beyond} beyond the table`);
    assert.ok(told >= 8000);
    assert.ok(beyond > 80_000);
    assert.ok(told + beyond >= first.opened! + rest.opened!);
    assert.equal(now.sum('tcp_connections_opened_total', { service: server.name, role: 'server' }), 100_000);
  });
  assert.ok(scrape.sum('plainsight_unplaced_total', { kind: 'flow' }) > 80_000);
  assert.ok(scrape.samples.filter(({ name }) => name === 'tcp_connections_opened_total').length < 100);
  const grownBytes = residentBytes(agent.pid) - beforeBytes;
  t.diagnostic(`grown by ${(grownBytes / 2 ** 20).toFixed(1)} MiB`);
  assert.ok(grownBytes < 8 * 2 ** 20, `grown by ${grownBytes} bytes`);
});

interface Graph {
  readonly edges: readonly { client: string; server: string; requests: number; errors: number; requestBytes: number }[];
}

test('three tiers, TLS and plain: exactly the edges there are, each request once', async (t) => {
  const folder = temporaryFolder(t);
  const tls = await makeCertificate(folder);
  const [front, python, node, client] = ['proxy', 'python', 'node', 'client'].map((role) => makeUnit(t, role)) as [
    Unit,
    Unit,
    Unit,
    Unit,
  ];
  const [httpPort, httpsPort, pythonPort, nodePort] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ] as const;
  const begin = async (unit: Unit, program: string, ...args: string[]) => {
    const [command, ...words] = unit.command(program, ...args);
    const child = start(t, command, words);
    await until(`${program} listens`, () => (child.stdout().includes('ready') ? true : undefined));
  };
  await begin(python, PYTHON, fromRoot('fixtures/servers/server.py'), String(pythonPort));
  const server = [fromRoot('fixtures/servers/node-server.mjs'), String(nodePort), tls.certificate, tls.key];
  await begin(node, copyNode(folder), ...server);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${folder}/${kind};`,
  );
  const locations = `location /python/ { proxy_pass http://127.0.0.1:${pythonPort}/; }
    location /node/ { proxy_pass https://127.0.0.1:${nodePort}/; }`;
  writeFileSync(
    `${folder}/nginx.conf`,
    `daemon off; pid ${folder}/pid; error_log stderr; worker_processes 2; user root; events { worker_connections 1024; }
http { ${temporary.join(' ')} access_log off;
  server { listen 127.0.0.1:${httpPort}; ${locations} }
  server { listen 127.0.0.1:${httpsPort} ssl; ssl_certificate ${tls.certificate}; ssl_certificate_key ${tls.key}; ${locations} } }`,
  );
  const [command, ...words] = front.command(
    '/usr/sbin/nginx',
    '-p',
    folder,
    '-c',
    `${folder}/nginx.conf`,
    '-e',
    'stderr',
  );
  start(t, command, words);
  const agent = await startAgent(t);
  await sleep(1000);
  const load = async (url: string, count: number) => {
    const out = await runInUnit(client, ['h2load', '--h1', '-n', String(count), '-c', '4', url]);
    return Number(/(\d+) done/.exec(out)?.[1]);
  };
  const asked = { python: 0, node: 0, failed: 0 };
  for (const base of [`http://127.0.0.1:${httpPort}`, `https://127.0.0.1:${httpsPort}`]) {
    asked.python += await load(`${base}/python/status/200`, 500);
    asked.python += await load(`${base}/python/status/503`, 100);
    asked.failed += 100;
    asked.node += await load(`${base}/node/status/200`, 500);
  }
  await sleep(3000);
  const graph = (await (await fetch(`${agent.url}/api/graph`)).json()) as Graph;
  const names = new Map([front, python, node, client].map((unit) => [unit.name, unit.name.replace(/.*-/, '')]));
  const ours = graph.edges.filter((edge) => names.has(edge.client) || names.has(edge.server));
  const found = ours
    .map(({ client: from, server: to, requests, errors }) => ({
      edge: `${names.get(from) ?? from} -> ${names.get(to) ?? to}`,
      requests,
      errors,
    }))
    .sort((a, b) => (a.edge < b.edge ? -1 : 1));
  assert.deepEqual(found, [
    { edge: 'client -> proxy', requests: asked.python + asked.node, errors: asked.failed },
    { edge: 'proxy -> node', requests: asked.node, errors: 0 },
    { edge: 'proxy -> python', requests: asked.python, errors: asked.failed },
  ]);
  assert.ok(ours.every(({ requestBytes }) => requestBytes > 0));
  const scrape = await agent.scrape();
  const total = scrape.sum('traces_service_graph_request_total', { client: client.name, server: front.name });
  assert.equal(total, asked.python + asked.node);
});
