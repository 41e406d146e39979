/**
 * The root file system of the image in runc, started as deploy/Dockerfile says and confined as the DaemonSet says, beside
 * a container that serves HTTPS. `npm run image:rootfs` makes the same file system by hand.
 */

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { load } from 'js-yaml';
import { fromRoot } from '../../src/root.ts';
import { makeRootfs, makeSystem, nodeVersion, readDockerfile, SUITE, sizes } from '../../tools/image/rootfs.ts';
import { Exposition, makeCertificate, run, sleep, temporaryFolder, until } from '../kernel/harness.ts';
import { ApiServer } from '../kubernetes/api-server.ts';
import { fill, isRead, PODS, SERVICES } from '../kubernetes/large-cluster.ts';
import { type Container, type Mount, type SecurityContext, startContainer } from './container.ts';
import { describeMemory, readMemory } from './memory.ts';

const SIZE_LIMIT_BYTES = 200e6;
/** What the manifests request is 80 Mi. */
const RESIDENT_LIMIT_BYTES = 80e6;
const REQUESTS = 400;
const PORT = 8443;
/** File pages of the start are given back every minute. */
const SETTLED_MS = 65_000;
const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

interface PodSpec {
  readonly hostPID: boolean;
  readonly containers: readonly [
    {
      readonly args: readonly string[];
      readonly securityContext: SecurityContext;
      readonly resources: { readonly limits: { readonly memory: string } };
      readonly volumeMounts: readonly { name: string; mountPath: string; readOnly: boolean }[];
    },
  ];
  readonly volumes: readonly { name: string; hostPath?: { path: string }; configMap?: { name: string } }[];
}

function base(file: string): unknown {
  return load(readFileSync(fromRoot(`deploy/kustomize/base/${file}.yaml`), 'utf8'));
}

const { spec } = (base('daemonset') as { spec: { template: { spec: PodSpec } } }).spec.template;
const [agentSpec] = spec.containers;
const configuration = (base('configmap') as { data: Record<string, string> }).data['plainsight.yaml']!;

const rootfs = await makeRootfs();

function bytesOf(quantity: string): number {
  const [, number] = /^(\d+)Mi$/.exec(quantity)!;
  return Number(number) * 1024 * 1024;
}

interface Cluster {
  readonly port: number;
  /** As Kubernetes mounts it into every pod. */
  readonly account: string;
}

function cgroupOf(name: string): string {
  return `image-${name}-${process.pid}`;
}

/** As the DaemonSet has it, with this text as the ConfigMap. */
function startAgent(t: TestContext, name: string, config: string, cluster?: Cluster): Promise<Container> {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'plainsight.yaml'), config);
  const mounts = agentSpec.volumeMounts.map(({ name, mountPath, readOnly }): Mount => {
    const volume = spec.volumes.find((volume) => volume.name === name)!;
    return { path: mountPath, source: volume.hostPath?.path ?? folder, readOnly };
  });
  const { entrypoint, env } = readDockerfile();
  return startContainer(t, {
    rootfs,
    args: [...entrypoint, ...agentSpec.args],
    env: [...env, 'PLAINSIGHT_NODE_NAME=node-1', ...(cluster ? clusterVariables(cluster) : [])],
    hostPid: spec.hostPID,
    hostNetwork: cluster !== undefined,
    security: agentSpec.securityContext,
    mounts: [...mounts, ...(cluster ? [{ path: ACCOUNT, source: cluster.account, readOnly: true }] : [])],
    memoryLimitBytes: bytesOf(agentSpec.resources.limits.memory),
    cgroup: cgroupOf(name),
  });
}

/** The address is one of this host, whose port 9090 may be taken. */
function clusterVariables({ port }: Cluster): readonly string[] {
  const server = ['KUBERNETES_SERVICE_HOST=127.0.0.1', `KUBERNETES_SERVICE_PORT_HTTPS=${port}`];
  return [...server, 'PLAINSIGHT_LISTEN=127.0.0.1:0'];
}

async function get(url: string): Promise<string> {
  return (await fetch(url)).text();
}

async function startNginx(t: TestContext, unit: string): Promise<Container> {
  const folder = temporaryFolder(t);
  await makeCertificate(folder);
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path /tmp/${name};`);
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; pid /tmp/pid; error_log stderr emerg; worker_processes 2; user root root; events {}
http { ${paths.join(' ')} access_log off; keepalive_requests 100000;
  server { listen ${PORT} ssl; ssl_certificate /etc/plainsight/cert.pem; ssl_certificate_key /etc/plainsight/key.pem;
    location /ok { return 200 "ok\\n"; } location / { return 404; } } }
`,
  );
  const scratch = join(folder, 'tmp');
  mkdirSync(scratch);
  return startContainer(t, {
    rootfs: await makeSystem('nginx'),
    args: ['/usr/sbin/nginx', '-e', 'stderr', '-c', '/etc/plainsight/nginx.conf'],
    security: {
      ...{ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, runAsUser: 0, runAsGroup: 0 },
      capabilities: { drop: ['ALL'], add: ['SETUID', 'SETGID', 'CHOWN', 'DAC_OVERRIDE'] },
    },
    mounts: [
      { path: '/etc/plainsight', source: folder, readOnly: true },
      { path: '/tmp', source: scratch, readOnly: false },
    ],
    cgroup: unit,
  });
}

test('the file system is small, has Node.js 24, and neither a shell nor anything to build with', async (t) => {
  const { all, agent } = await sizes(rootfs);
  t.diagnostic(`${(all / 1e6).toFixed(1)} MB, of them ${(agent / 1e6).toFixed(1)} MB the agent`);
  t.diagnostic(`Node.js ${nodeVersion(rootfs)} of Debian ${SUITE}`);
  assert.ok(all < SIZE_LIMIT_BYTES, `${all} bytes`);
  assert.match(nodeVersion(rootfs), /^24\./);
  const programs = ['bin', 'sbin'].flatMap((name) => readdirSync(join(rootfs, 'usr', name)));
  const unwanted = /^(ba|da|z|k)?sh$|^busybox|^(apt|dpkg|gcc|cc|clang|ld|as|make|npm|npx|corepack|perl|python)/;
  assert.deepEqual(
    programs.filter((name) => unwanted.test(name)),
    [],
  );
  assert.ok(programs.includes('node'));
});

test('a bill of materials and licenses are in the image', () => {
  const home = join(rootfs, 'opt/plainsight');
  const { dependencies, devDependencies } = JSON.parse(readFileSync(fromRoot('package.json'), 'utf8')) as Record<
    string,
    Record<string, string>
  >;
  const { bomFormat, components } = JSON.parse(readFileSync(join(home, 'sbom.cdx.json'), 'utf8')) as {
    bomFormat: string;
    components: readonly { name: string; version: string }[];
  };
  assert.equal(bomFormat, 'CycloneDX');
  const listed = new Map(components.map(({ name, version }) => [name, version]));
  for (const [name, version] of Object.entries(dependencies!)) {
    assert.equal(listed.get(name), version);
    assert.notDeepEqual(readdirSync(join(home, 'node_modules', name)), []);
  }
  for (const name of Object.keys(devDependencies!)) assert.ok(!listed.has(name), name);
  assert.match(readFileSync(join(home, 'LICENSE'), 'utf8'), /Apache License/);
});

test('the image starts the agent as bin/plainsight does', () => {
  const [line = ''] = readFileSync(fromRoot('bin/plainsight'), 'utf8').split('\n');
  const { entrypoint, env, command } = readDockerfile();
  assert.equal(line, `#!/usr/bin/env -S ${[...env, 'node', ...entrypoint.slice(1, -1)].join(' ')}`);
  assert.deepEqual(
    [entrypoint[0], entrypoint.at(-1), ...command],
    ['/usr/bin/node', '/opt/plainsight/bin/plainsight', 'run'],
  );
});

test("with the DaemonSet's security context it counts the HTTPS requests of a container beside it", async (t) => {
  const service = `image-web-${process.pid}`;
  const nginx = await startNginx(t, `${service}.service`);
  assert.notEqual(nginx.firstPid, 0, nginx.stderr());
  const server = await ApiServer.start(t);
  fill(server);
  const account = temporaryFolder(t);
  writeFileSync(join(account, 'token'), server.token);
  cpSync(server.authority, join(account, 'ca.crt'));
  const agent = await startAgent(t, 'agent', configuration, { port: server.port, account });
  const url = await until('the agent has read the cluster', async () => {
    if (agent.process.exitCode !== null) throw new Error(agent.stderr());
    const address = /http:\/\/[^/]+/.exec(agent.stdout())?.[0];
    const status = address === undefined ? '' : await get(`${address}/api/status`);
    return isRead(status) ? address : undefined;
  });
  assert.match(await get(`${url}/readyz`), /attached/);
  const limits = readFileSync(`/proc/${agent.firstPid}/status`, 'utf8');
  const capabilities = BigInt(`0x${/^CapEff:\s*(\w+)$/m.exec(limits)![1]}`);
  assert.equal(capabilities.toString(2).replaceAll('0', '').length, agentSpec.securityContext.capabilities.add.length);
  assert.match(limits, /^NoNewPrivs:\s*1$/m);

  const urls = [`https://127.0.0.1:${PORT}/ok/[1-${REQUESTS}]`, `https://127.0.0.1:${PORT}/none/[1-${REQUESTS / 4}]`];
  for (const url of urls) await nginx.inNetwork('curl', '-sk', url);
  const expected = new Map([
    ['GET 200', REQUESTS],
    ['GET 404', REQUESTS / 4],
  ]);
  let found = new Map<string, number>();
  for (let i = 0; i < 50 && found.get('GET 404') !== expected.get('GET 404'); i++) {
    await sleep(100);
    found = new Exposition(await get(`${url}/metrics`)).transactions('server', { service, scheme: 'https' });
  }
  assert.deepEqual(found, expected, agent.stderr());
  assert.match(await get(`${url}/`), /<title>Plainsight<\/title>/);

  const atFirst = readMemory(agent.firstPid, cgroupOf('agent'));
  await sleep(SETTLED_MS);
  const memory = readMemory(agent.firstPid, cgroupOf('agent'));
  t.diagnostic(`with ${PODS} pods on the node and ${SERVICES} services in the cluster: ${describeMemory(memory)}`);
  t.diagnostic(`in the first minute: ${describeMemory(atFirst)}`);
  assert.ok(memory.residentBytes <= RESIDENT_LIMIT_BYTES, describeMemory(memory));
  await run('kill', ['-TERM', String(agent.firstPid)]);
  assert.equal((await agent.exited).code, 0, agent.stderr());
});

test('two agents on one node say so', async (t) => {
  const inHostNetwork = { port: 1, account: temporaryFolder(t) };
  const alone = configuration.replace(/kubernetes: .*/, "kubernetes: 'off'");
  const first = await startAgent(t, 'first', alone, inHostNetwork);
  const url = await until('the first runs', () => /http:\/\/[^/]+/.exec(first.stdout())?.[0]);
  const second = await startAgent(t, 'second', alone, inHostNetwork);
  const said = (agent: Container) =>
    agent
      .stderr()
      .split('\n')
      .filter((line) => line.includes('another agent runs'));
  await until(
    'the second says so',
    () => said(second).some((line) => line.includes(`"pid":${first.firstPid}`)) || undefined,
  );
  const { otherAgents } = JSON.parse(await get(`${url}/api/status`)) as { otherAgents: readonly number[] };
  assert.ok(otherAgents.includes(second.firstPid), `${otherAgents}`);
});

test('an unknown flag in the ConfigMap ends the agent with one line and status 64', async (t) => {
  const started = startAgent(t, 'mistaken', `${configuration}ring-sice: 1\n`);
  const agent = await started;
  const { code } = await agent.exited;
  assert.equal(code, 64);
  assert.match(agent.stderr(), /^plainsight: [^\n]*ring-sice[^\n]*\n$/);
});
