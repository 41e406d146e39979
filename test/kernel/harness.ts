/**
 * What the tests on a real kernel share: the agent as a child process, real servers and clients on loopback, and a
 * reader of expositions. Everything that is started is stopped by its own handle; nothing is left behind.
 */

import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { inspect, isDeepStrictEqual, promisify } from 'node:util';
import { fromRoot } from '../../src/root.ts';

export const run = promisify(execFile);
export const PLAINSIGHT = fromRoot('bin/plainsight');
/** Debian's, not one that stands earlier in PATH: that may bring an OpenSSL of its own. */
export const PYTHON = '/usr/bin/python3';

/**
 * PLAINSIGHT_TEST_SCALE: a factor for counts and sizes. Below 1 it says that this machine is slow (an emulated one), so what
 * is waited for may take longer, and two clocks of the same event may differ by more.
 */
const SCALE = Number(process.env.PLAINSIGHT_TEST_SCALE ?? 1);
assert.ok(SCALE > 0 && SCALE <= 1, 'PLAINSIGHT_TEST_SCALE must be above 0 and at most 1');
export const IS_SLOW = SCALE < 1;

/** A count of the tests as this machine takes it: never below `least`. */
export function scaled(count: number, least: number): number {
  return Math.max(Math.min(least, count), Math.round(count * SCALE));
}

/** For titles: a count as people write it. */
export const written = (count: number) => count.toLocaleString('en-US');

const START_LIMIT_MS = IS_SLOW ? 240_000 : 20_000;
/** How long an exposition may take to become what is expected. */
const SETTLE_MS = IS_SLOW ? 30_000 : 2_000;
const SETTLE_STEP_MS = 40;
/** A child that does not end by itself. */
const END_LIMIT_MS = IS_SLOW ? 30_000 : 5_000;

/** From 7.0 on: src/programs.ts. */
const HAS_SECOND_PROGRAMS = Number.parseInt(release(), 10) >= 7;

export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Waits until `check` gives something other than undefined. */
export async function until<T>(what: string, check: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const deadline = Date.now() + START_LIMIT_MS;
  for (;;) {
    const value = await check();
    if (value !== undefined) return value;
    if (Date.now() > deadline) throw new Error(`timed out: ${what}`);
    await sleep(20);
  }
}

/** A folder that goes with the test. */
export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'plainsight-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export interface Child {
  readonly process: ChildProcess;
  readonly pid: number;
  stdout(): string;
  stderr(): string;
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
  stop(signal?: NodeJS.Signals): Promise<{ code: number | null; signal: string | null }>;
}

/** Starts a program that the end of the test stops, if nothing has before. */
export function start(t: TestContext, command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Child {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
  exited.catch(() => {});
  const handle: Child = {
    process: child,
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    exited,
    stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      return exited;
    },
  };
  t.after(async () => {
    const forced = setTimeout(() => child.kill('SIGKILL'), END_LIMIT_MS);
    await handle.stop();
    clearTimeout(forced);
  });
  return handle;
}

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly name: string;
  readonly labels: Labels;
  readonly value: number;
}

/** Reads the text format of Prometheus. */
export function parseExposition(text: string): Sample[] {
  const samples: Sample[] = [];
  for (const line of text.split('\n')) {
    const [, name, labels = '', value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (name === undefined) continue;
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key, text]);
    samples.push({ name, labels: Object.fromEntries(pairs), value: Number(value) });
  }
  return samples;
}

export class Exposition {
  readonly text: string;
  readonly samples: readonly Sample[];

  constructor(text: string) {
    this.text = text;
    this.samples = parseExposition(text);
  }

  sum(name: string, labels: Labels = {}): number {
    const matches = ({ labels: own }: Sample) => Object.entries(labels).every(([key, value]) => own[key] === value);
    return this.samples.filter((sample) => sample.name === name && matches(sample)).reduce((n, s) => n + s.value, 0);
  }

  /** `METHOD STATUS` -> transactions, of one histogram. */
  transactions(role: 'server' | 'client', labels: Labels): Map<string, number> {
    const name =
      role === 'server' ? 'http_request_duration_seconds_count' : 'http_client_request_duration_seconds_count';
    const counts = new Map<string, number>();
    for (const sample of this.samples) {
      if (sample.name !== name || !Object.entries(labels).every(([key, value]) => sample.labels[key] === value))
        continue;
      const key = `${sample.labels.method} ${sample.labels.status}`;
      counts.set(key, (counts.get(key) ?? 0) + sample.value);
    }
    return new Map([...counts].sort());
  }

  /** Where two programs see each operation, `missed` is a bound: it counts what the second missed and the first did not. */
  lost(): number {
    const lost = this.sum('plainsight_events_lost_total');
    return HAS_SECOND_PROGRAMS ? lost - this.sum('plainsight_events_lost_total', { stage: 'missed' }) : lost;
  }
}

export interface RunningAgent extends Child {
  readonly url: string;
  /** The text at a path of its web server. */
  get(path: string): Promise<string>;
  scrape(): Promise<Exposition>;
  /** Scrapes until the transactions are `expected`, or nothing has changed for a while; then asserts. */
  expect(role: 'server' | 'client', labels: Labels, expected: Map<string, number>): Promise<Exposition>;
}

/** `plainsight run` on a free port, ready when this returns. */
export function startAgent(t: TestContext, ...args: string[]): Promise<RunningAgent> {
  return startAgentWith(t, [PLAINSIGHT], ...args);
}

/** By a command that ends with the agent: `setpriv ... plainsight`. */
export async function startAgentWith(
  t: TestContext,
  [program = '', ...rest]: readonly string[],
  ...args: string[]
): Promise<RunningAgent> {
  const child = start(t, program, [...rest, 'run', '--listen', '127.0.0.1:0', ...args]);
  const url = await until('the agent starts', () => {
    const exited = child.process.exitCode;
    if (exited !== null) throw new Error(`the agent ended with ${exited}: ${child.stderr()}`);
    return /http:\/\/127\.0\.0\.1:\d+/.exec(child.stdout())?.[0];
  });
  const get = async (path: string) => {
    try {
      return await fetchText(`${url}${path}`);
    } catch (cause) {
      const { exitCode, signalCode } = child.process;
      const end = exitCode ?? signalCode;
      const state = end === null ? 'it runs' : `it ended with ${end}: ${child.stderr()}`;
      throw new Error(`no ${path} of the agent (${(cause as Error).message}); ${state}`, { cause });
    }
  };
  const scrape = async () => new Exposition(await get('/metrics'));
  return Object.assign(child, {
    url,
    get,
    scrape,
    async expect(role: 'server' | 'client', labels: Labels, expected: Map<string, number>) {
      const sorted = new Map([...expected].sort());
      let exposition = await scrape();
      const total = (counts: Map<string, number>) => [...counts.values()].reduce((a, b) => a + b, 0);
      const rounds = SETTLE_MS / SETTLE_STEP_MS;
      for (let i = 0; i < rounds && total(exposition.transactions(role, labels)) < total(sorted); i++) {
        await sleep(SETTLE_STEP_MS);
        exposition = await scrape();
      }
      const found = exposition.transactions(role, labels);
      if (!isDeepStrictEqual(found, sorted)) {
        const why = exposition.samples.filter(({ name, value }) => value > 0 && /(incomplete|lost)_total$/.test(name));
        assert.fail(`${inspect(found)} instead of ${inspect(sorted)}; ${inspect(why, { depth: 3 })}`);
      }
      return exposition;
    },
  });
}

/** On a connection of its own: one that is kept may be closed by the other side in the moment it is used again. */
function fetchText(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part) => {
        text += part;
      });
      response.on('error', reject);
      response.on('end', () => resolve(text));
    });
    sent.on('error', reject);
    sent.end();
  });
}

/** Scrapes until the check passes; throws what it throws when it never does. Closing takes longer than being done with it. */
export async function settled(agent: RunningAgent, check: (exposition: Exposition) => void): Promise<Exposition> {
  for (let i = 0; ; i++) {
    try {
      const exposition = await agent.scrape();
      check(exposition);
      return exposition;
    } catch (error) {
      if (i === 20) throw error;
      await sleep(200);
    }
  }
}

export interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

export async function makeCertificate(folder: string): Promise<Certificate> {
  const certificate = join(folder, 'cert.pem');
  const key = join(folder, 'key.pem');
  const subject = ['-subj', '/CN=localhost', '-days', '2'];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  await run('openssl', ['req', '-x509', '-nodes', ...curve, ...subject, '-keyout', key, '-out', certificate]);
  return { certificate, key };
}

export interface Nginx extends Child {
  readonly port: number;
  readonly folder: string;
  /** Lines of the access log so far: `METHOD STATUS REQUEST_TIME`. */
  accessLog(): Promise<string[]>;
}

export interface NginxOptions {
  readonly tls: Certificate | undefined;
  /** Further directives of the server. */
  readonly locations?: string;
  /** Further directives beside the server. */
  readonly upstreams?: string;
  readonly workers?: number;
}

const LOCATIONS = `
  location /ok { return 200 "ok\\n"; }
  location /empty { return 204; }
  location /moved { return 301 /ok; }
  location /missing { return 404; }
  location /error { return 500; }
`;

export async function startNginx(
  t: TestContext,
  { tls, locations = '', upstreams = '', workers = 2 }: NginxOptions,
): Promise<Nginx> {
  const folder = temporaryFolder(t);
  const port = await freePort();
  const secure = tls ? `ssl_certificate ${tls.certificate}; ssl_certificate_key ${tls.key};` : '';
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  const config = `
daemon off; pid ${folder}/pid; error_log stderr; worker_processes ${workers}; user root;
events { worker_connections 1024; }
http {
  ${paths.join(' ')}
  log_format plain '$request_method $status $request_time';
  access_log ${folder}/access.log plain;
  keepalive_requests 1000000; client_max_body_size 0;
  ${upstreams}
  server { listen 127.0.0.1:${port} ${tls ? 'ssl' : ''} backlog=1024; root ${folder}; ${secure} ${LOCATIONS} ${locations} }
}`;
  writeFileSync(join(folder, 'nginx.conf'), config);
  const child = start(t, '/usr/sbin/nginx', ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr']);
  await until('nginx listens', async () => (await canConnect(port)) || undefined);
  const accessLog = async () => {
    const text = await run('cat', [join(folder, 'access.log')], { maxBuffer: 64 * 1024 * 1024 });
    return text.stdout.trim().split('\n').filter(Boolean);
  };
  return Object.assign(child, { port, folder, accessLog });
}

export async function startPythonServer(
  t: TestContext,
  tls: Certificate | undefined,
): Promise<Child & { port: number }> {
  const port = await freePort();
  const secure = tls ? [tls.certificate, tls.key] : [];
  const child = start(t, PYTHON, [fromRoot('fixtures/servers/server.py'), String(port), ...secure]);
  await until('the Python server listens', () => (child.stdout().includes('ready') ? true : undefined));
  return Object.assign(child, { port });
}

/**
 * A copy of Node.js, with the OpenSSL that is linked into it where it was built so. Its name is its service, which sets it
 * apart from the test's own process: that one scrapes the agent by HTTP.
 */
export function copyNode(folder: string): string {
  const copy = join(folder, 'node-copy');
  copyFileSync(process.execPath, copy);
  return copy;
}

export async function startNodeServer(
  t: TestContext,
  node: string,
  tls: Certificate | undefined,
): Promise<Child & { port: number }> {
  const port = await freePort();
  const secure = tls ? [tls.certificate, tls.key] : [];
  const child = start(t, node, [fromRoot('fixtures/servers/node-server.mjs'), String(port), ...secure]);
  await until('the Node.js server listens', () => (child.stdout().includes('ready') ? true : undefined));
  return Object.assign(child, { port });
}

/** Does this kernel have the tracepoints of the socket front end (6.3)? Found in another way than the agent does. */
export function hasSocketTracepoints(): boolean {
  return readFileSync('/sys/kernel/btf/vmlinux').includes('btf_trace_sock_send_length\0');
}

export async function canConnect(port: number): Promise<boolean> {
  const { connect } = await import('node:net');
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** `METHOD STATUS ...` lines -> how many of each. */
export function countLines(lines: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const line of lines) {
    const key = line.split(' ').slice(0, 2).join(' ');
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

/** `METHOD STATUS N` lines, as the Python client prints them. */
export function readCounts(text: string): Map<string, number> {
  const lines = text.trim().split('\n');
  return new Map(lines.map((line) => [line.split(' ').slice(0, 2).join(' '), Number(line.split(' ')[2])]));
}

/** h2load over HTTP/1.1: the paths in turn. Returns how many requests were answered, as it counts them itself. */
export async function h2load(
  base: string,
  paths: readonly string[],
  count: number,
  ...options: string[]
): Promise<number> {
  const urls = paths.map((path) => base + path);
  const { stdout } = await run('h2load', ['--h1', '-n', String(count), '-c', '8', ...options, ...urls]);
  const done = /(\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored/.exec(stdout);
  assert.ok(done, stdout);
  assert.equal(done[5], '0', stdout);
  return Number(done[2]);
}
