/**
 * HTTP/1 of real servers under curl: 5,000 requests of mixed methods, statuses, sizes and framings, each counted once by every
 * process that has a part in it; the durations are those that the client measured.
 *
 * Caddy 2.6 now and then (once in some ten thousand requests) resets its upstream connection before the end of a response, and
 * ends what it sends as if that were all. That request is counted as one that was reset; curl may then have fewer bytes than it
 * asked for.
 */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  type Certificate,
  makeCertificate,
  type RunningAgent,
  settled,
  sleep,
  temporaryFolder,
} from '../kernel/harness.ts';
import { makeUnit, runInUnit, type Unit } from '../kernel/unit.ts';
import { startAgentUnderLoad } from './load.ts';
import { mapOpenSsl, type Running } from './programs.ts';
import { startApacheBefore, startBackend, startCaddyBefore, startNginxBefore } from './proxies.ts';
import { serve, total } from './rows.ts';
import type { Row } from './table.ts';

const PROCESSES = 8;
const REQUESTS = 5000;
const METHODS = ['GET', 'POST', 'GET', 'PUT', 'HEAD', 'DELETE', 'GET', 'PATCH', 'OPTIONS'];
const STATUSES = [200, 201, 200, 404, 200, 500, 204, 200, 503, 301, 200];
const SIZES = [0, 1, 100, 1000, 4000, 10_000, 50_000, 200_000];
const LARGE = 10_000_000;
const FRAMINGS = ['length', 'chunked', 'length', 'close'];
const TOLERANCE = 0.02;
const SETTLE_ROUNDS = 30;
/** Of REQUESTS. */
const MOST_RESETS = 5;

/** One in a hundred is of HTTP/1.0, one in five hundred is large. */
function section(i: number, base: string, folder: string): string {
  const method = METHODS[i % METHODS.length]!;
  const isLarge = i % 500 === 250;
  const status = isLarge ? 200 : STATUSES[i % STATUSES.length]!;
  const size = isLarge ? LARGE : status === 204 ? 0 : SIZES[i % SIZES.length]!;
  const how = FRAMINGS[i % FRAMINGS.length]!;
  const lines = [
    `url = "${base}/${status}/${size}/${how}/${2 * (i % 13)}"`,
    'output = "/dev/null"',
    `write-out = "%{method} %{http_code} %{time_pretransfer} %{time_total} %{size_download} ${method === 'HEAD' ? 0 : size}\\n"`,
    // Apache answers ALPN of HTTP/1.0 alone with http/1.1, which OpenSSL does not let pass (RFC 7301 section 3.2).
    ...(i % 100 === 99 ? ['http1.0', 'no-alpn'] : ['http1.1']),
    ...['insecure', 'silent', 'show-error'],
  ];
  if (method === 'HEAD') lines.push('head');
  else if (method !== 'GET') lines.push(`request = "${method}"`);
  if (method === 'POST' || method === 'PUT' || method === 'PATCH') {
    lines.push(`data-binary = "@${join(folder, isLarge ? 'large' : `body${i % 3}`)}"`);
    if (i % 2 === 0 && i % 100 !== 99) lines.push('header = "Transfer-Encoding: chunked"');
  }
  return lines.join('\n');
}

interface Sent {
  readonly counts: Map<string, number>;
  /** Those of them whose response was shorter than what was asked for. */
  readonly cut: Map<string, number>;
  readonly seconds: number;
}

function add(counts: Map<string, number>, key: string, count = 1): void {
  counts.set(key, (counts.get(key) ?? 0) + count);
}

async function sendAll(unit: Unit, base: string, folder: string): Promise<Sent> {
  [10, 3000, 40_000].forEach((size, index) => {
    writeFileSync(join(folder, `body${index}`), Buffer.alloc(size, 'b'));
  });
  writeFileSync(join(folder, 'large'), Buffer.alloc(LARGE, 'b'));
  const sections = Array.from({ length: REQUESTS }, (_, i) => section(i, base, folder));
  const outputs = await Promise.all(
    Array.from({ length: PROCESSES }, (_, at) => {
      const config = join(folder, `curl${at}`);
      const own = sections.filter((_, i) => i % PROCESSES === at);
      writeFileSync(config, own.join('\nnext\n'));
      return runInUnit(unit, ['curl', '-K', config]);
    }),
  );
  const counts = new Map<string, number>();
  const cut = new Map<string, number>();
  let seconds = 0;
  for (const line of outputs.join('').trim().split('\n')) {
    const [method, status, before, total, received, asked] = line.split(' ');
    add(counts, `${method} ${status}`);
    if (received !== asked) add(cut, `${method} ${status}`);
    seconds += Number(total) - Number(before);
  }
  assert.equal(total(counts), REQUESTS);
  return { counts, cut, seconds };
}

/** What is counted, for the table: once it is all, or nothing more comes. */
async function note(row: Row, agent: RunningAgent, server: string, client: string, { counts }: Sent): Promise<void> {
  const sent = total(counts);
  row.sent = sent;
  for (let i = 0; i < SETTLE_ROUNDS; i++) {
    const exposition = await agent.scrape();
    row.served = total(exposition.transactions('server', { service: server }));
    row.asked = total(exposition.transactions('client', { service: client }));
    if (row.served >= sent && row.asked >= sent) return;
    await sleep(100);
  }
}

/** One side has counted what was sent, and nothing else. Returns its sum of durations, in seconds. */
async function expectAll(
  t: TestContext,
  agent: RunningAgent,
  role: 'server' | 'client',
  service: string,
  { counts, seconds }: Sent,
): Promise<number> {
  const exposition = await agent.expect(role, { service }, counts);
  const metric = role === 'server' ? 'http_request_duration_seconds_sum' : 'http_client_request_duration_seconds_sum';
  const measured = exposition.sum(metric, { service });
  t.diagnostic(
    `${service} as ${role}: ${measured.toFixed(3)} s, curl ${seconds.toFixed(3)} s, ${(measured / seconds - 1).toFixed(4)}`,
  );
  assert.equal(exposition.sum('http_requests_incomplete_total', { service, role }), 0, exposition.text);
  assert.equal(exposition.lost(), 0);
  return measured;
}

/** Both ends of what a proxy asks for, of which it may have reset some. Their server may have sent all by then. */
async function expectUpstream(agent: RunningAgent, proxy: string, backend: string, sent: Sent): Promise<void> {
  await settled(agent, (exposition) => {
    const incomplete = (labels: Record<string, string>) => exposition.sum('http_requests_incomplete_total', labels);
    const missing = (role: 'server' | 'client', service: string) => {
      const found = exposition.transactions(role, { service });
      for (const [key, count] of found) assert.ok(count <= (sent.counts.get(key) ?? 0), `${role}: ${count} ${key}`);
      return REQUESTS - total(found);
    };
    const resets = incomplete({ service: proxy, reason: 'reset' });
    assert.ok(resets <= MOST_RESETS && total(sent.cut) <= resets, `${resets} reset, ${total(sent.cut)} cut`);
    assert.equal(missing('client', proxy), resets);
    assert.equal(incomplete({ service: proxy }), resets);
    assert.ok(incomplete({ service: backend }) <= resets);
    assert.equal(missing('server', backend), incomplete({ service: backend }));
    assert.equal(exposition.lost(), 0);
  });
}

/** Both ends of what curl sent; the durations are its own. */
async function expectEnds(t: TestContext, row: Row, agent: RunningAgent, server: string, client: string, sent: Sent) {
  const asked = await expectAll(t, agent, 'client', client, sent);
  const served = await expectAll(t, agent, 'server', server, sent);
  row.difference = asked / sent.seconds - 1;
  assert.ok(Math.abs(row.difference) <= TOLERANCE, `${asked} s instead of ${sent.seconds} s`);
  // Requests wait for the server too, where processors are few.
  assert.ok(served <= sent.seconds * (1 + TOLERANCE), `${served} s instead of ${sent.seconds} s`);
}

type Before = (t: TestContext, backend: Running, tls: Certificate | undefined, folder: string) => Promise<Running>;

interface Proxy {
  readonly name: string;
  readonly packages?: readonly string[];
  readonly start: Before;
  readonly resets?: true;
}

const PROXIES: readonly Proxy[] = [
  { name: 'nginx', start: startNginxBefore },
  { name: 'Apache', packages: ['apache2-bin'], start: startApacheBefore },
  { name: 'Caddy', packages: ['caddy'], start: startCaddyBefore, resets: true },
];

for (const isTls of [false, true]) {
  const scheme = isTls ? 'https' : 'http';
  const common = { protocol: 'HTTP/1.0 and 1.1', isTls, client: 'curl' };

  for (const { name, packages, start, resets } of PROXIES) {
    const each = { ...common, server: name, what: 'a proxy to Node.js, counted by all four ends' };
    serve({ ...each, ...(packages && { packages }) }, async (t, row) => {
      const folder = temporaryFolder(t);
      const tls = isTls ? await makeCertificate(folder) : undefined;
      const backend = await startBackend(t, folder);
      const proxy = await start(t, backend, tls, folder);
      const curl = makeUnit(t, 'curl');
      if (isTls) await mapOpenSsl(t);
      const agent = await startAgentUnderLoad(t);
      const sent = await sendAll(curl, `${scheme}://127.0.0.1:${proxy.port}`, folder);
      await note(row, agent, proxy.service, curl.name, sent);
      if (resets) {
        await expectUpstream(agent, proxy.service, backend.service, sent);
      } else {
        await expectAll(t, agent, 'client', proxy.service, sent);
        await expectAll(t, agent, 'server', backend.service, sent);
      }
      await expectEnds(t, row, agent, proxy.service, curl.name, sent);
    });
  }

  serve({ ...common, server: 'Node.js' }, async (t, row) => {
    const folder = temporaryFolder(t);
    const tls = isTls ? await makeCertificate(folder) : undefined;
    const server = await startBackend(t, folder, tls);
    const curl = makeUnit(t, 'curl');
    if (isTls) await mapOpenSsl(t);
    const agent = await startAgentUnderLoad(t);
    const sent = await sendAll(curl, `${scheme}://127.0.0.1:${server.port}`, folder);
    await note(row, agent, server.service, curl.name, sent);
    await expectEnds(t, row, agent, server.service, curl.name, sent);
  });
}
