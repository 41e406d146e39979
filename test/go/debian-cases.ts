/**
 * Programs written in Go that nobody here wrote, as Debian ships them: how each is started, with HTTP/1.1 over TLS, and what
 * its requests are counted against. They are started and stopped on loopback.
 */

import assert from 'node:assert/strict';
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  canConnect,
  freePort,
  makeCertificate,
  type RunningAgent,
  run,
  sleep,
  startAgent,
  temporaryFolder,
  until,
} from '../kernel/harness.ts';
import { makeUnit, type Unit } from '../kernel/unit.ts';
import { startIn } from '../stacks/scenario.ts';
import { type Counts, runClient, startServer, toCounts } from './scenario.ts';
import type { DebianProgram } from './toolchains.ts';

/** Requests of one role of a program. */
export interface Traffic {
  readonly unit: Unit;
  readonly role: 'server' | 'client';
  readonly sent: Counts;
  /** Who counted them. */
  readonly against: string;
  /** The program has HTTP/2 connections besides. */
  readonly hasOther?: boolean;
}

interface Stage {
  readonly t: TestContext;
  /** Of the program. */
  readonly path: string;
  /** The programs of fixtures/go, built for this. */
  readonly ours: { readonly server: string; readonly client: string };
}

export interface DebianCase {
  readonly name: string;
  readonly program: DebianProgram;
  run(stage: Stage): Promise<{ agent: RunningAgent; traffic: readonly Traffic[] }>;
}

const FLAGS = ['-requests=1000', '-connections=50'];

function count(keys: readonly string[]): Counts {
  const counts: Counts = new Map();
  for (const key of keys.toSorted()) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}

async function listens(port: number): Promise<void> {
  await until(`something listens on port ${port}`, async () => (await canConnect(port)) || undefined);
}

/** A proxy: its clients and its upstream speak HTTPS. */
async function runCaddy({ t, path, ours }: Stage) {
  const folder = temporaryFolder(t);
  const { certificate, key } = await makeCertificate(folder);
  const upstream = await startServer(t, ours.server, []);
  const port = await freePort();
  const log = join(folder, 'access.log');
  const proxy = {
    handler: 'reverse_proxy',
    transport: { protocol: 'http', versions: ['1.1'], tls: { insecure_skip_verify: true } },
    upstreams: [{ dial: upstream.server.address }],
  };
  const server = {
    listen: [`127.0.0.1:${port}`],
    protocols: ['h1'],
    automatic_https: { disable: true },
    tls_connection_policies: [{ default_sni: 'localhost' }],
    routes: [{ handle: [proxy] }],
    logs: {},
  };
  const configuration = {
    admin: { disabled: true },
    logging: {
      logs: {
        default: { exclude: ['http.log.access'] },
        access: { writer: { output: 'file', filename: log, roll: false }, include: ['http.log.access'] },
      },
    },
    apps: {
      http: { servers: { proxy: server } },
      tls: { certificates: { load_files: [{ certificate, key }] } },
    },
  };
  writeFileSync(join(folder, 'caddy.json'), JSON.stringify(configuration));
  const unit = makeUnit(t, 'caddy');
  const home = ['/usr/bin/env', `HOME=${folder}`, `XDG_DATA_HOME=${folder}`, `XDG_CONFIG_HOME=${folder}`] as const;
  const caddy = await startIn(t, unit, [...home, path, 'run', '--config', join(folder, 'caddy.json')]);
  await listens(port);
  const agent = await startAgent(t);
  const sent = await runClient(agent, makeUnit(t, 'client'), ours.client, [`-url=https://127.0.0.1:${port}`, ...FLAGS]);
  assert.deepEqual(await caddy.stop(), { code: 0, signal: null }, caddy.stderr());
  const forwarded = toCounts(await upstream.server.stop());
  const logged = count(
    readFileSync(log, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { request: { method: string }; status: number })
      .map(({ request, status }) => `${request.method} ${status}`),
  );
  assert.deepEqual(logged, sent);
  const traffic: readonly Traffic[] = [
    { unit, role: 'server', sent: logged, against: 'its access log' },
    { unit, role: 'client', sent: forwarded, against: 'its upstream' },
  ];
  return { agent, traffic };
}

/** A server that writes no access log: it is asked by our client, which knows what it was answered. */
async function asServer(
  { t, ours }: Stage,
  role: string,
  port: number,
  program: [string, ...string[]],
  hasOther = false,
): Promise<{ agent: RunningAgent; traffic: readonly Traffic[] }> {
  const unit = makeUnit(t, role);
  const server = await startIn(t, unit, program);
  await listens(port);
  const agent = await startAgent(t);
  const sent = await runClient(agent, makeUnit(t, 'client'), ours.client, [`-url=https://127.0.0.1:${port}`, ...FLAGS]);
  await server.stop();
  return { agent, traffic: [{ unit, role: 'server', sent, against: "its client's count", hasOther }] };
}

async function runPrometheus(stage: Stage) {
  const folder = temporaryFolder(stage.t);
  const { certificate, key } = await makeCertificate(folder);
  const port = await freePort();
  writeFileSync(join(folder, 'prometheus.yml'), 'global:\n  scrape_interval: 1h\n');
  writeFileSync(
    join(folder, 'web.yml'),
    `tls_server_config:\n  cert_file: ${certificate}\n  key_file: ${key}\nhttp_server_config:\n  http2: false\n`,
  );
  return asServer(stage, 'prometheus', port, [
    stage.path,
    `--config.file=${folder}/prometheus.yml`,
    `--web.config.file=${folder}/web.yml`,
    `--web.listen-address=127.0.0.1:${port}`,
    `--storage.tsdb.path=${folder}/data`,
  ]);
}

async function runEtcd(stage: Stage) {
  const folder = temporaryFolder(stage.t);
  const { certificate, key } = await makeCertificate(folder);
  const port = await freePort();
  const peers = await freePort();
  const program: [string, ...string[]] = [
    stage.path,
    `--data-dir=${folder}/data`,
    `--listen-client-urls=https://127.0.0.1:${port}`,
    `--advertise-client-urls=https://127.0.0.1:${port}`,
    `--listen-peer-urls=http://127.0.0.1:${peers}`,
    `--cert-file=${certificate}`,
    `--key-file=${key}`,
  ];
  // It is a gRPC client of itself.
  return asServer(stage, 'etcd', port, program, true);
}

/** It begins at once, and the first program of a kind is found while it runs: one that waits comes before it. */
async function runHey({ t, path, ours }: Stage) {
  const { server } = await startServer(t, ours.server, []);
  const idle = await startServer(t, ours.server, []);
  const agent = await startAgent(t);
  const url = (address: string, status: number) => `https://${address}/status/${status}`;
  const first = run(path, ['-n', '10', '-c', '1', '-q', '5', url(idle.server.address, 200)]);
  await until('hey is attached', async () => {
    const status = (await (await fetch(`${agent.url}/api/status`)).json()) as { libraries: { path: string }[] };
    return status.libraries.some((library) => library.path === realpathSync(path)) || undefined;
  });
  const unit = makeUnit(t, 'hey');
  for (const [method, status] of [
    ['GET', 200],
    ['POST', 404],
    ['PUT', 503],
    ['DELETE', 204],
  ] as const) {
    const [command, ...args] = unit.command(path, '-n', '250', '-c', '50', '-m', method, url(server.address, status));
    await run(command, args);
    await sleep(50);
  }
  await first;
  await idle.server.stop();
  const sent = toCounts(await server.stop());
  return { agent, traffic: [{ unit, role: 'client', sent, against: "its server's count" }] as const };
}

export const DEBIAN_CASES: readonly DebianCase[] = [
  { name: 'caddy, bookworm', program: 'caddy', run: runCaddy },
  { name: 'caddy, sid', program: 'caddy-new', run: runCaddy },
  { name: 'prometheus, bookworm', program: 'prometheus', run: runPrometheus },
  { name: 'prometheus, sid', program: 'prometheus-new', run: runPrometheus },
  { name: 'etcd, bookworm', program: 'etcd', run: runEtcd },
  { name: 'hey, bookworm', program: 'hey', run: runHey },
];
