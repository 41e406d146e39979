/**
 * The agent on a node with pods: real containers, the cgroups and networks of Kubernetes, an API server. It runs with the
 * capabilities of the DaemonSet and nothing else.
 */

import assert from 'node:assert/strict';
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import { type Labels, makeCertificate, type RunningAgent, readCounts, run, sleep, until } from '../kernel/harness.ts';
import { namespaceObject, serviceObject } from '../kubernetes/samples.ts';
import { listens, type Pod } from './node.ts';
import { makeRootfs } from './rootfs.ts';
import { makeWorld as makeBareWorld, type World } from './world.ts';

const HTTP = 18080;
const HTTPS = 18443;
const STATUSES = [200, 204, 301, 404, 500, 201, 503];

before(async () => {
  await makeRootfs();
});

async function makeWorld(t: TestContext): Promise<World> {
  const world = await makeBareWorld(t);
  const { node } = world;
  for (const name of ['client.py', 'server.py'])
    copyFileSync(fromRoot(`fixtures/servers/${name}`), join(node.work, name));
  const { certificate, key } = await makeCertificate(node.folder);
  copyFileSync(certificate, join(node.work, 'cert.pem'));
  copyFileSync(key, join(node.work, 'key.pem'));
  writeFileSync(join(node.work, 'nginx.conf'), nginxConfig());
  return world;
}

function nginxConfig(): string {
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path /tmp/${name};`);
  const locations = STATUSES.map((status) => {
    const text = status === 204 ? '' : status === 301 ? ' /x' : ' "ok\\n"';
    return `location = /status/${status} { return ${status}${text}; }`;
  });
  return `daemon off; pid /tmp/pid; error_log stderr; worker_processes 2; user root; events {}
http {
  ${paths.join(' ')} access_log off; keepalive_requests 1000000; client_max_body_size 0;
  server { listen ${HTTP}; listen ${HTTPS} ssl; ssl_certificate /srv/cert.pem; ssl_certificate_key /srv/key.pem;
    ${locations.join('\n')} }
}`;
}

const nginx = { args: ['/usr/sbin/nginx', '-e', 'stderr', '-c', '/srv/nginx.conf'] };
const client = (url: string, count: number, delayS = 0) => ({
  args: ['/usr/bin/python3', '/srv/client.py', url, String(count), String(delayS)],
});
const python = (port: number, ...tls: string[]) => ({
  args: ['/usr/bin/python3', '/srv/server.py', String(port), ...tls],
  env: ['BIND=0.0.0.0'],
});

const labelsOf = ({ sample }: Pod, container: string, service: string): Labels => ({
  namespace: sample.namespace,
  pod: sample.name,
  container,
  service,
});

const status = async (agent: RunningAgent) => JSON.parse(await agent.get('/api/status')) as never;

test('four containers of two pods, HTTP and HTTPS: every series carries the right labels, 10,000 requests exactly', async (t) => {
  const { node, server, agent: startAgent } = await makeWorld(t);
  const web = await node.pod({ namespace: 'shop', name: 'web-0', labels: { app: 'web' } });
  const api = await node.pod(
    {
      ...{ namespace: 'pay', name: 'api-6d4cf56db6-x2x9z', hostNetwork: true },
      labels: { 'pod-template-hash': '6d4cf56db6' },
      owner: { kind: 'ReplicaSet', name: 'api-6d4cf56db6' },
    },
    'systemd',
  );
  for (const name of ['shop', 'pay']) server.put('namespaces', namespaceObject(name));
  server.put('services', serviceObject('shop', 'front', '10.96.0.1', { app: 'web' }));
  web.start(server, 'nginx', nginx);
  const agent = await startAgent();
  api.start(server, 'api', python(HTTP + 1));
  api.start(server, 'api-tls', python(HTTPS + 1, '/srv/cert.pem', '/srv/key.pem'));
  for (const [address, port] of [
    [web.address, HTTP],
    [web.address, HTTPS],
    [node.address, HTTP + 1],
    [node.address, HTTPS + 1],
  ] as const)
    await listens(node, address, port);
  const each = 2500;
  const requests = [
    { from: web, name: 'client', url: `http://${node.address}:${HTTP + 1}`, to: api, server: 'api', service: 'api' },
    {
      from: web,
      name: 'client-tls',
      url: `https://${node.address}:${HTTPS + 1}`,
      to: api,
      server: 'api-tls',
      service: 'api',
    },
    { from: api, name: 'caller', url: `http://${web.address}:${HTTP}`, to: web, server: 'nginx', service: 'front' },
    {
      from: api,
      name: 'caller-tls',
      url: `https://${web.address}:${HTTPS}`,
      to: web,
      server: 'nginx',
      service: 'front',
    },
  ];
  let sum = 0;
  for (const { from, name, url, to, server: container, service } of requests) {
    const counts = readCounts(await from.start(server, name, client(url, each, 1)).finished());
    const total = [...counts.values()].reduce((a, b) => a + b, 0);
    assert.equal(total, each);
    sum += total;
    const scheme = url.slice(0, url.indexOf(':'));
    await agent.expect('server', { ...labelsOf(to, container, service), scheme }, counts);
    await agent.expect('client', { ...labelsOf(from, name, from === web ? 'front' : 'api'), scheme }, counts);
  }
  assert.equal(sum, 10_000);
  const exposition = await agent.scrape();
  const counted =
    exposition.sum('http_request_duration_seconds_count', { namespace: 'shop' }) +
    exposition.sum('http_request_duration_seconds_count', { namespace: 'pay' });
  assert.equal(counted, 10_000);
  assert.equal(exposition.lost(), 0);
  assert.equal(exposition.sum('plainsight_kubernetes_watch_up', { reason: 'ok' }), 5);
  const resident = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${agent.pid}/status`, 'utf8'))?.[1];
  t.diagnostic(`resident ${Math.round(Number(resident) / 1000)} MB`);
  assert.equal((await agent.stop()).code, 0, agent.stderr());
});

for (const flags of [
  ['--include-namespace=shop'],
  // Alone it would let traffic of the machine in, and then the bytes that are copied could be anybody's.
  ['--exclude-namespace=secret', '--include-namespace=shop,secret'],
])
  test(`${flags.join(' ')}, and a pod that opts out: not a byte is copied, and what is excluded later stops`, async (t) => {
    const { node, server, agent: startAgent } = await makeWorld(t);
    const secret = await node.pod({ namespace: 'secret', name: 'vault-0' });
    const silent = await node.pod(
      { namespace: 'shop', name: 'silent-0', annotations: { 'plainsight.dev/enabled': 'false' } },
      'systemd',
    );
    const web = await node.pod({ namespace: 'shop', name: 'web-0' });
    for (const pod of [secret, silent, web]) {
      pod.start(server, 'nginx', nginx);
      await listens(node, pod.address, HTTP);
      await listens(node, pod.address, HTTPS);
    }
    const agent = await startAgent(...flags);
    const before = await agent.scrape();
    for (const from of [secret, silent]) {
      for (const to of [secret, silent]) {
        for (const url of [`http://${to.address}:${HTTP}`, `https://${to.address}:${HTTPS}`]) {
          // Also containers that begin under the agent's eyes.
          await from.start(server, `client-${url}`, client(url, 50, 0.2)).finished();
        }
      }
    }
    await sleep(1500);
    const after = await agent.scrape();
    // The counters of the kernel: chunks were seen and refused, and no byte was copied, of the whole machine.
    const { chunks } = (await status(agent)) as { chunks: Record<string, number> };
    assert.ok(chunks.excluded! >= 8 * 50, `${chunks.excluded} chunks were refused`);
    assert.equal(after.sum('plainsight_captured_bytes_total'), before.sum('plainsight_captured_bytes_total'));
    assert.equal(after.sum('plainsight_captured_bytes_total'), 0);
    assert.equal(after.sum('http_request_duration_seconds_count'), 0);
    assert.equal(after.sum('http_client_request_duration_seconds_count'), 0);
    for (const kind of ['sent', 'received']) assert.equal(after.sum(`tcp_${kind}_bytes_total`), 0);
    for (const kind of ['plaintext', 'ciphertext']) assert.equal(after.sum(`plainsight_tls_${kind}_bytes_total`), 0);
    // What is listed is seen all the same.
    const url = `https://${web.address}:${HTTPS}`;
    const counts = readCounts(await web.start(server, 'client', client(url, 100, 1)).finished());
    await agent.expect('server', labelsOf(web, 'nginx', 'web-0'), counts);
    // A change of mind takes effect on a pod that runs.
    const object = silent.object();
    object.metadata.annotations = {};
    server.put('pods', object);
    await sleep(500);
    const more = readCounts(
      await web.start(server, 'client-2', client(`http://${silent.address}:${HTTP}`, 100, 1)).finished(),
    );
    await agent.expect('server', labelsOf(silent, 'nginx', 'silent-0'), more);
    // So does one about the whole namespace: its counters stop, and nothing of it is copied any more.
    const bytes = async () => {
      await sleep(1500);
      const exposition = await agent.scrape();
      const copied = exposition.sum('plainsight_captured_bytes_total');
      const moved = ['sent', 'received'].map((kind) =>
        exposition.sum(`tcp_${kind}_bytes_total`, { namespace: 'shop' }),
      );
      return { copied, moved };
    };
    const counted = await bytes();
    assert.ok(counted.copied > 0 && counted.moved.every((sum) => sum > 0), JSON.stringify(counted));
    server.put('namespaces', namespaceObject('shop', { 'plainsight.dev/enabled': 'false' }));
    await sleep(500);
    const stopped = await bytes();
    await web.start(server, 'client-3', client(`http://${silent.address}:${HTTP}`, 100, 1)).finished();
    assert.deepEqual(await bytes(), stopped);
  });

interface Held {
  /** File descriptors of the agent. */
  readonly files: number;
  readonly cgroups: number;
  /** Entries of its hash maps in the kernel; those that age are told apart. */
  readonly maps: Readonly<Record<string, number>>;
  readonly aging: Readonly<Record<string, number>>;
  readonly residentMegabytes: number;
}

interface MapEntry {
  readonly id: number;
  readonly name: string;
  readonly type: string;
}

/** What the agent holds, by what the kernel says. */
async function heldBy(agent: RunningAgent): Promise<Held> {
  const bpftool = async (...args: string[]) =>
    JSON.parse((await run('bpftool', ['--json', 'map', ...args], { maxBuffer: 64 * 1024 * 1024 })).stdout) as unknown;
  const own = new Set<number>();
  for (const fd of readdirSync(`/proc/${agent.pid}/fdinfo`)) {
    const id = /^map_id:\s*(\d+)$/m.exec(readFileSync(`/proc/${agent.pid}/fdinfo/${fd}`, 'utf8'))?.[1];
    if (id !== undefined) own.add(Number(id));
  }
  const maps: Record<string, number> = {};
  const aging: Record<string, number> = {};
  for (const { id, name, type } of (await bpftool('show')) as MapEntry[]) {
    if (!own.has(id) || !/^(lru_)?hash$/.test(type)) continue;
    const entries = ((await bpftool('dump', 'id', String(id))) as unknown[]).length;
    // The agent deletes a flow that was idle for ten minutes, or for one when there are many.
    (type === 'hash' && name !== 'flows' ? maps : aging)[name] = entries;
  }
  const { cgroups } = (await status(agent)) as { cgroups: number };
  const resident = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${agent.pid}/status`, 'utf8'))?.[1];
  const files = readdirSync(`/proc/${agent.pid}/fd`).length;
  return { files, cgroups, maps, aging, residentMegabytes: Math.round((Number(resident) * 1024) / 1e6) };
}

test('200 containers come and go, the API server goes and comes back with 410: labels stay right, series go in time', async (t) => {
  const { node, server, agent: startAgent } = await makeWorld(t);
  const web = await node.pod({ namespace: 'shop', name: 'web-0' });
  web.start(server, 'nginx', nginx);
  await listens(node, web.address, HTTP);
  const agent = await startAgent();
  await agent.scrape();
  const before = await heldBy(agent);
  const url = `http://${web.address}:${HTTP}`;
  const pods: Pod[] = [];
  const counts = new Map<string, number>();
  const add = (found: Map<string, number>) => {
    for (const [key, count] of found) counts.set(key, (counts.get(key) ?? 0) + count);
  };
  const lastPid = readFileSync('/proc/sys/kernel/ns_last_pid', 'utf8');
  for (let round = 0; round < 20; round++) {
    const pod = await node.pod({ namespace: 'batch', name: `job-${round}` }, round % 2 ? 'systemd' : 'cgroupfs');
    pods.push(pod);
    // Pids are used again from round to round.
    writeFileSync('/proc/sys/kernel/ns_last_pid', lastPid);
    const running = Array.from({ length: 10 }, (_, i) => pod.start(server, `c${i}`, client(url, i + 1)).finished());
    for (const text of await Promise.all(running)) add(readCounts(text));
    await pod.stop();
  }
  let exposition = await agent.expect('server', labelsOf(web, 'nginx', 'web-0'), counts);
  await until('all labels are there', async () => {
    await sleep(500);
    exposition = await agent.scrape();
    return exposition.sum('plainsight_kubernetes_waiting') === 0 || undefined;
  });
  const perContainer = new Map<string, number>();
  const wanted = new Map<string, number>();
  for (let round = 0; round < 20; round++) for (let i = 0; i < 10; i++) wanted.set(`job-${round} c${i}`, i + 1);
  for (const { name, labels, value } of exposition.samples) {
    if (name !== 'http_client_request_duration_seconds_count' || labels.namespace !== 'batch') continue;
    const key = `${labels.pod} ${labels.container}`;
    perContainer.set(key, (perContainer.get(key) ?? 0) + value);
  }
  const wrong = [...perContainer].filter(([key, count]) => wanted.get(key) !== count);
  assert.deepEqual([wrong, perContainer.size], [[], 200]);
  const held = exposition.sum('plainsight_series', { metric: 'http_client_request_duration_seconds' });
  // They end while the server is away: what it tells when it is back is that they are gone.
  await server.close();
  const awayMs = Date.now();
  for (const pod of pods) server.remove('pods', pod.object());
  server.compact();
  // Traffic goes on.
  const during = readCounts(await web.start(undefined, 'nginx-client', client(url, 700)).finished());
  add(during);
  await agent.expect('server', labelsOf(web, 'nginx', 'web-0'), counts);
  await sleep(Math.max(0, 60_000 - (Date.now() - awayMs)));
  await server.listen();
  web.tell(server);
  const backMs = Date.now();
  // After a minute of trying in vain it is tried every 15 to 45 s.
  let known = 0;
  while (known !== 1 && Date.now() - backMs < 90_000) {
    await sleep(1000);
    known = (await agent.scrape()).sum('plainsight_kubernetes_objects', { resource: 'pods' });
  }
  assert.equal(known, 1, 'the pods that are gone are still there');
  let gone = 0;
  while (gone === 0 && Date.now() - backMs < 220_000) {
    await sleep(2000);
    exposition = await agent.scrape();
    if (exposition.sum('http_client_request_duration_seconds_count', { namespace: 'batch' }) === 0) gone = Date.now();
  }
  const endedMs = gone - backMs;
  assert.ok(gone > 0 && endedMs > 60_000, `the series ended after ${endedMs} ms`);
  t.diagnostic(`the series ended ${Math.round(endedMs / 1000)} s after the server was back; ${held} were held`);
  await agent.expect('server', labelsOf(web, 'nginx', 'web-0'), counts);
  // Its container was told of after a minute: it is counted, under what was known by then.
  const pod = { namespace: 'shop', pod: 'web-0', service: 'web-0' };
  await agent.expect('client', pod, during);
  const later = readCounts(await web.start(server, 'later', client(url, 100, 1)).finished());
  await agent.expect('client', labelsOf(web, 'later', 'web-0'), later);
  // 20 pods and 200 containers later the agent holds what it held: others on this machine come and go too, by a few.
  const after = await heldBy(agent);
  t.diagnostic(`before: ${JSON.stringify(before)}`);
  t.diagnostic(`after: ${JSON.stringify(after)}`);
  assert.ok(after.files <= before.files + 8, `${after.files} files, ${before.files} before`);
  assert.ok(after.cgroups <= before.cgroups + 15, `${after.cgroups} cgroups, ${before.cgroups} before`);
  for (const [name, entries] of Object.entries(after.maps)) {
    assert.ok(entries <= (before.maps[name] ?? 0) + 15, `${name}: ${entries} entries, ${before.maps[name]} before`);
  }
  const stale = (await agent.scrape()).samples.filter(({ labels }) => labels.namespace === 'batch');
  assert.deepEqual([...new Set(stale.map(({ name }) => name))], []);
});

test('an API server that refuses: one line, a metric, and everything else goes on', async (t) => {
  const { node, server, agent: startAgent } = await makeWorld(t);
  server.broken.set('*', 'forbidden');
  const web = await node.pod({ namespace: 'shop', name: 'web-0' });
  web.start(server, 'nginx', nginx);
  await listens(node, web.address, HTTP);
  const agent = await startAgent();
  const counts = readCounts(
    await web.start(server, 'client', client(`http://${web.address}:${HTTP}`, 100, 1)).finished(),
  );
  assert.equal(
    [...counts.values()].reduce((a, b) => a + b, 0),
    100,
  );
  let exposition = await agent.scrape();
  assert.equal(exposition.sum('plainsight_kubernetes_watch_up', { reason: 'forbidden' }), 0);
  assert.equal(
    exposition.samples.filter(({ labels }) => labels.reason === 'forbidden' && labels.resource === 'pods').length,
    2,
  );
  assert.equal(
    agent
      .stderr()
      .split('\n')
      .filter((line) => line.includes('no pods: ')).length,
    1,
    agent.stderr(),
  );
  assert.equal(exposition.sum('plainsight_kubernetes_waiting'), 200);
  server.broken.clear();
  await until('the labels', async () => {
    exposition = await agent.scrape();
    return exposition.sum('plainsight_kubernetes_waiting') === 0 || undefined;
  });
  await agent.expect('server', labelsOf(web, 'nginx', 'web-0'), counts);
  await agent.expect('client', labelsOf(web, 'client', 'web-0'), counts);
});
