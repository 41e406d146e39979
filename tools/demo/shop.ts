/**
 * The demo: a shop on loopback (nginx in front, an API in Node.js, payments in Python, customers) and the agent that
 * watches it. Every process is one of ours and is ended by its pid; none outlives this one.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeUnitFolder } from './unit.ts';

// This file runs as build/tools/demo/shop.js.
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const START_LIMIT_MS = 20_000;
/** What is asked to end gets this long, then it is killed. */
const END_LIMIT_MS = 3_000;

export interface Shop {
  readonly folder: string;
  readonly certificate: string;
  /** False: the services go by the names of their executables. */
  readonly hasNames: boolean;
  readonly ports: { readonly web: number; readonly api: number; readonly pay: number };
  /** `service: what it is`, for people. */
  readonly description: readonly (readonly [service: string, text: string])[];
  /** Resolves when one of the processes has ended by itself, with what it was. */
  readonly ended: Promise<string>;
  startCustomers(): void;
  /** `plainsight` with these arguments. */
  startAgent(args: readonly string[], stdio: 'inherit' | 'pipe'): ChildProcess;
  /** A second call waits for the first. */
  stop(): Promise<void>;
}

const PARTS = ['web', 'api', 'pay', 'customers'] as const;

/**
 * The services are called `NAME-web` and so on where they can have names of their own.
 * @throws Error when a service does not start; then nothing is left behind
 */
export async function openShop(name = 'shop'): Promise<Shop> {
  const folder = mkdtempSync(join(tmpdir(), 'plainsight-demo-'));
  const units = makeUnitFolder(PARTS.map((part) => `${name}-${part}`));
  const children: ChildProcess[] = [];
  let stopping = false;
  let tellEnded: (what: string) => void = () => {};
  const ended = new Promise<string>((resolve) => {
    tellEnded = resolve;
  });

  const start = (what: string, words: readonly string[], stdio: 'inherit' | 'pipe' = 'pipe'): ChildProcess => {
    // In a process group of its own Ctrl-C reaches it only through us; without us it ends.
    const child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', ...words], {
      detached: true,
      stdio: ['ignore', stdio, stdio],
    });
    children.push(child);
    child.on('error', (error) => tellEnded(`${what} cannot be started: ${error.message}`));
    child.on('exit', (code, signal) => {
      if (!stopping) tellEnded(`${what} ended (${signal ?? `exit code ${code}`})`);
    });
    return child;
  };
  const startService = (part: (typeof PARTS)[number], ...words: string[]) =>
    start(`${name}-${part}`, units.command(`${name}-${part}`, words));

  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= end();
    return stopped;
  };
  const end = async () => {
    stopping = true;
    for (const child of [...children].reverse()) child.kill('SIGTERM');
    const deadline = Date.now() + END_LIMIT_MS;
    const running = () => children.some((child) => child.exitCode === null && child.signalCode === null);
    while ((running() || units.pids().length > 0) && Date.now() < deadline) await sleep(20);
    for (const child of children) child.kill('SIGKILL');
    for (const pid of units.pids()) kill(pid);
    units.remove();
    rmSync(folder, { recursive: true, force: true });
  };

  try {
    const certificate = join(folder, 'cert.pem');
    const key = join(folder, 'key.pem');
    chmodSync(folder, 0o755);
    makeCertificate(certificate, key);
    const pay = await portOf(`${name}-pay`, startService('pay', '/usr/bin/python3', at('pay.py'), certificate, key));
    const api = await portOf(
      `${name}-api`,
      startService('api', process.execPath, at('api.mjs'), certificate, String(pay)),
    );
    const web = await freePort();
    const config = join(folder, 'nginx.conf');
    writeFileSync(config, nginxConfig({ folder, certificate, key, web, api, pay }));
    const nginx = startService('web', 'nginx', '-p', folder, '-c', config, '-e', 'stderr');
    await listening(`${name}-web`, nginx, web);
    return {
      folder,
      certificate,
      hasNames: units.hasNames,
      ports: { web, api, pay },
      description: [
        [`${name}-web`, `nginx, HTTPS on port ${web}; hands on to ${name}-api and ${name}-pay`],
        [`${name}-api`, `Node.js, HTTP on port ${api}; calls ${name}-pay`],
        [`${name}-pay`, `Python, HTTPS on port ${pay}`],
        [`${name}-customers`, 'Node.js, about 40 HTTPS requests a second, in waves'],
      ],
      ended,
      startCustomers: () => {
        startService('customers', process.execPath, at('customers.mjs'), certificate, String(web));
      },
      startAgent: (args, stdio) => start('the agent', [join(ROOT, 'bin/plainsight'), ...args], stdio),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function at(file: string): string {
  return join(ROOT, 'fixtures/demo', file);
}

function makeCertificate(certificate: string, key: string): void {
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const files = ['-keyout', key, '-out', certificate];
  execFileSync('openssl', ['req', '-x509', '-nodes', '-days', '2', ...curve, ...names, ...files], { stdio: 'pipe' });
}

function nginxConfig(shop: {
  readonly folder: string;
  readonly certificate: string;
  readonly key: string;
  readonly web: number;
  readonly api: number;
  readonly pay: number;
}): string {
  const { folder, certificate, key, web, api, pay } = shop;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  return `
daemon off; pid ${folder}/nginx.pid; error_log stderr emerg; worker_processes 2;
events { worker_connections 512; }
http {
  ${temporary.join(' ')}
  access_log off; keepalive_requests 100000; client_max_body_size 1m;
  upstream api { server 127.0.0.1:${api}; keepalive 8; }
  upstream pay { server 127.0.0.1:${pay}; keepalive 4; }
  proxy_http_version 1.1; proxy_set_header Connection "";
  server {
    listen 127.0.0.1:${web} ssl;
    ssl_certificate ${certificate}; ssl_certificate_key ${key};
    location = / { return 200 "welcome to the shop\\n"; }
    location = /picture { default_type image/x-demo; return 200 "${'tea '.repeat(900)}"; }
    location /api/ { proxy_pass http://api/; }
    location /pay/ { proxy_pass https://pay/; }
    location / { return 404; }
  }
}
`;
}

/** The port that a service prints when it listens. */
function portOf(name: string, child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = '';
    const limit = setTimeout(() => reject(new Error(`${name} does not start`)), START_LIMIT_MS);
    const fail = (why: string) => {
      clearTimeout(limit);
      reject(new Error(`${name} ${why}`));
    };
    child.on('error', (error) => fail(`cannot be started: ${error.message}`));
    child.on('exit', (code) => fail(`ended with ${code}: ${text.trim()}`));
    child.stderr?.on('data', (part) => {
      if (text.length < 4096) text += part;
    });
    child.stdout?.on('data', (part) => {
      const port = /^ready (\d+)$/m.exec(String(part))?.[1];
      if (port === undefined) return;
      clearTimeout(limit);
      resolve(Number(port));
    });
  });
}

async function listening(name: string, child: ChildProcess, port: number): Promise<void> {
  const { connect } = await import('node:net');
  let text = '';
  child.stderr?.on('data', (part) => {
    if (text.length < 4096) text += part;
  });
  const deadline = Date.now() + START_LIMIT_MS;
  for (;;) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
    if (open) return;
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}: ${text.trim()}`);
    if (Date.now() > deadline) throw new Error(`${name} does not start`);
    await sleep(20);
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}
