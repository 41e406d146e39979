/**
 * HTTP/2 of real servers under h2load, 100 streams at a time on each of four connections: every request is counted on both
 * sides, with its method and status, and the durations are those that the client measured.
 */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import {
  type Certificate,
  canConnect,
  copyNode,
  freePort,
  makeCertificate,
  start,
  startAgent,
  temporaryFolder,
  until,
} from '../kernel/harness.ts';
import { makeUnit } from '../kernel/unit.ts';
import { expectBoth, LARGE, type Load, load, Sent, SIZES, warmUp, writeFiles } from './load.ts';

interface Server {
  readonly service: string;
  readonly base: string;
}

interface Case {
  readonly title: string;
  readonly isTls: boolean;
  start(t: TestContext, tls: Certificate | undefined, folder: string): Promise<Server>;
  readonly loads: (folder: string) => readonly Load[];
}

async function startIn(t: TestContext, name: string, port: number, program: string, ...args: string[]) {
  const unit = makeUnit(t, name);
  const [command, ...rest] = unit.command(program, ...args);
  const child = start(t, command, rest);
  await until(`${name} listens`, async () => {
    assert.equal(child.process.exitCode, null, child.stderr());
    return (await canConnect(port)) || undefined;
  });
  return unit.name;
}

const files = SIZES.map((size) => `/f${size}`);
const ok = (paths: readonly string[]) => paths.map(() => 200);

/** 5,000 requests and more of servers that serve files. */
const staticLoads = (posts: Load | undefined): Load[] => [
  { paths: files, statuses: ok(files), requests: 3200 },
  { paths: files, statuses: ok(files), requests: 640, method: 'HEAD' },
  { paths: ['/missing', '/f100'], statuses: [404, 200], requests: 1160 },
  { paths: [`/f${LARGE}`], statuses: [200], requests: 20, streams: 5 },
  ...(posts ? [posts] : []),
];

const NGINX = (port: number, folder: string, tls: Certificate) => `
daemon off; pid ${folder}/pid; error_log stderr; worker_processes 2; user root;
events { worker_connections 1024; }
http {
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')}
  access_log off; keepalive_requests 1000000; client_max_body_size 0; http2_max_concurrent_streams 128;
  server {
    listen 127.0.0.1:${port} ssl http2; root ${folder}/root;
    ssl_certificate ${tls.certificate}; ssl_certificate_key ${tls.key};
    location /created { return 201 "created\\n"; }
    location /empty { return 204; }
    location /moved { return 301 /f1; }
    location /error { return 503; }
  }
}`;

const CADDY = (port: number, folder: string, tls: Certificate | undefined) => `
{
  admin off
  auto_https off
  servers {
    protocols h1 h2 h2c
  }
}
http${tls ? 's' : ''}://localhost:${port} {
  bind 127.0.0.1
  ${tls ? `tls ${tls.certificate} ${tls.key}` : ''}
  root * ${folder}/root
  file_server
}
`;

const origin = (tls: unknown, port: number) => `${tls ? 'https' : 'http'}://localhost:${port}`;

const nghttpd: Pick<Case, 'start' | 'loads'> = {
  async start(t, tls, folder) {
    const port = await freePort();
    const secure = tls ? [tls.key, tls.certificate] : ['--no-tls'];
    const options = ['-a', '127.0.0.1', '-d', join(folder, 'root'), '-n', '2'];
    const args = tls ? [...options, String(port), ...secure] : [...options, ...secure, String(port)];
    return { service: await startIn(t, 'nghttpd', port, 'nghttpd', ...args), base: origin(tls, port) };
  },
  loads: (folder) =>
    staticLoads({ paths: ['/f100'], statuses: [200], requests: 200, body: join(folder, 'root/f16384') }),
};

const nodeServer: Pick<Case, 'start' | 'loads'> = {
  async start(t, tls, folder) {
    const port = await freePort();
    const secure = tls ? [tls.certificate, tls.key] : [];
    const script = fromRoot('fixtures/servers/http2-server.mjs');
    const service = await startIn(t, 'node', port, copyNode(folder), script, String(port), ...secure);
    return { service, base: origin(tls, port) };
  },
  loads: (folder) => {
    const paths = SIZES.map((size, index) => `/${index % 2 ? 200 : 404}/${size}${index > 3 ? '/chunks' : ''}`);
    const statuses = SIZES.map((_, index) => (index % 2 ? 200 : 404));
    return [
      { paths, statuses, requests: 3200 },
      { paths: ['/204/0', '/500/10'], statuses: [204, 500], requests: 1000, method: 'DELETE' },
      { paths: ['/200/0'], statuses: [200], requests: 400, method: 'HEAD' },
      { paths: ['/201/300'], statuses: [201], requests: 400, body: join(folder, 'root/f100000') },
      { paths: [`/200/${LARGE}/chunks`], statuses: [200], requests: 20, streams: 5 },
    ];
  },
};

const caddy: Pick<Case, 'start' | 'loads'> = {
  async start(t, tls, folder) {
    const port = await freePort();
    writeFileSync(join(folder, 'Caddyfile'), CADDY(port, folder, tls));
    const args = ['run', '--adapter', 'caddyfile', '--config', join(folder, 'Caddyfile')];
    return { service: await startIn(t, 'caddy', port, 'caddy', ...args), base: origin(tls, port) };
  },
  loads: () => staticLoads(undefined),
};

const CASES: readonly Case[] = [
  {
    title: 'nginx',
    isTls: true,
    async start(t, tls, folder) {
      const port = await freePort();
      writeFileSync(join(folder, 'nginx.conf'), NGINX(port, folder, tls!));
      const args = ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'];
      return { service: await startIn(t, 'nginx', port, '/usr/sbin/nginx', ...args), base: origin(tls, port) };
    },
    loads: (folder) => [
      ...staticLoads({ paths: ['/f100'], statuses: [405], requests: 200, body: join(folder, 'root/f16384') }),
      {
        paths: ['/created', '/empty', '/moved', '/error'],
        statuses: [201, 204, 301, 503],
        requests: 800,
      },
    ],
  },
  { title: 'nghttpd', isTls: true, ...nghttpd },
  { title: 'nghttpd', isTls: false, ...nghttpd },
  { title: 'Node.js', isTls: true, ...nodeServer },
  { title: 'Node.js', isTls: false, ...nodeServer },
  { title: 'Caddy', isTls: true, ...caddy },
  { title: 'Caddy', isTls: false, ...caddy },
];

for (const each of CASES) {
  test(`${each.title} over ${each.isTls ? 'TLS' : 'TCP'}: every request on both sides`, async (t) => {
    const folder = temporaryFolder(t);
    writeFiles(folder);
    const tls = each.isTls ? await makeCertificate(folder) : undefined;
    const agent = await startAgent(t);
    const { service, base } = await each.start(t, tls, folder);
    const loads = each.loads(folder);
    const before = await warmUp(t, agent, service, base, { ...loads[0]!, requests: 4 * loads[0]!.paths.length });
    const client = makeUnit(t, 'h2load');
    const sent = new Sent();
    for (const what of loads) await load(client, sent, base, what);
    assert.ok(sent.total >= 5000);
    await expectBoth(t, agent, sent, before, service, client.name, each.isTls ? 'https' : 'http');
  });
}
