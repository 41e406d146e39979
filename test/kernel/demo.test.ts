/**
 * The demo: what a newcomer starts, with the time to the first number; what Ctrl-C leaves behind; and a secret that goes
 * through every service of it and must come out nowhere.
 */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import { openShop } from '../../tools/demo/shop.ts';
import { ask, askShop, CANARY } from './customer.ts';
import { Exposition, PLAINSIGHT, sleep, start, temporaryFolder, until } from './harness.ts';

/** From the signal to the end of the demo: three seconds for what it started, and a little for itself. */
const STOP_LIMIT_MS = 5_000;
const FIRST_NUMBER = /The first number was on the page after ([\d.]+) s/;

function startDemo(t: TestContext) {
  return start(t, process.execPath, [fromRoot('build/tools/demo/demo.js'), '--listen', '127.0.0.1:0']);
}

/** Processes of the demo: its children and theirs. */
function family(root: number): number[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'latin1');
      parents.set(Number(entry), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {
      // It has ended meanwhile.
    }
  }
  const members = [root];
  for (const member of members) for (const [pid, parent] of parents) if (parent === member) members.push(pid);
  return members.slice(1);
}

const folders = () => readdirSync(tmpdir()).filter((name) => name.startsWith('plainsight-demo-'));

test('the demo shows its first number, and Ctrl-C ends all of it', async (t) => {
  const before = new Set(folders());
  const demo = startDemo(t);
  const seconds = await until('the first number', () => {
    assert.equal(demo.process.exitCode, null, demo.stderr());
    return FIRST_NUMBER.exec(demo.stdout())?.[1];
  });
  t.diagnostic(`the first number was on the page ${seconds} s after the start of the demo`);
  const address = /page +(http:\S+)/.exec(demo.stdout())?.[1] ?? '';
  assert.match(await (await fetch(address)).text(), /<title>Plainsight<\/title>/);
  const members = family(demo.pid);
  // The agent, nginx with two workers, the API, the payments, the customers.
  assert.ok(members.length >= 7, `${members.length} processes`);
  const startedMs = performance.now();
  const { code } = await demo.stop('SIGINT');
  assert.equal(code, 0, demo.stderr());
  assert.ok(performance.now() - startedMs < STOP_LIMIT_MS);
  assert.deepEqual(
    members.filter((pid) => existsSync(`/proc/${pid}`)),
    [],
  );
  assert.deepEqual(
    folders().filter((name) => !before.has(name)),
    [],
  );
});

test('the demo ends when one of its services does, and says which', async (t) => {
  const demo = startDemo(t);
  await until('the first number', () => FIRST_NUMBER.exec(demo.stdout())?.[1]);
  const members = family(demo.pid);
  const customers = members.find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('customers.mjs'));
  process.kill(customers!, 'SIGTERM');
  const { code } = await demo.exited;
  assert.equal(code, 1);
  assert.match(demo.stderr(), /shop-customers ended \(SIGTERM\); the rest is stopped/);
  assert.deepEqual(
    members.filter((pid) => existsSync(`/proc/${pid}`)),
    [],
  );
});

/** What a capture file holds of a connection's directions, each in one piece. */
function captured(file: string): string {
  const streams = new Map<string, Buffer[]>();
  for (const line of readFileSync(file, 'utf8').split('\n').filter(Boolean)) {
    const { conn = '', direction = '', data } = JSON.parse(line) as Record<string, string>;
    if (data === undefined) continue;
    const key = `${conn} ${direction}`;
    streams.set(key, [...(streams.get(key) ?? []), Buffer.from(data, 'base64')]);
  }
  return [...streams.values()].map((parts) => Buffer.concat(parts).toString('latin1')).join('\n');
}

test('a secret in URL, headers and body comes out nowhere', async (t) => {
  const name = `canary-shop-${process.pid}`;
  const shop = await openShop(name);
  t.after(() => shop.stop());
  const folder = temporaryFolder(t);
  const redacted = join(folder, 'redacted.jsonl');
  const whole = join(folder, 'whole.jsonl');
  const agent = start(t, PLAINSIGHT, ['run', '--listen', '127.0.0.1:0', '--log-level', 'debug']);
  const others = [
    start(t, PLAINSIGHT, ['record', '--out', redacted, '--log-level', 'debug']),
    start(t, PLAINSIGHT, ['record', '--out', whole, '--include-payload']),
    start(t, PLAINSIGHT, ['tail', '--log-level', 'debug']),
    start(t, PLAINSIGHT, ['tail', '--json', '--log-level', 'debug']),
  ];
  const base = await until('the agent starts', () => /(http:\/\/\S+)\/metrics/.exec(agent.stdout())?.[1]);
  await until('the others see traffic', async () => {
    await ask(shop, 'web', 'POST', '/api/orders');
    return others.slice(2).every((other) => other.stdout().includes('POST')) || undefined;
  });
  const sent = await askShop(shop, 3);
  await ask(shop, 'api', 'POST', '/orders');
  await ask(shop, 'pay', 'POST', '/charges');
  const exposition = await until('everything is counted', async () => {
    const found = new Exposition(await (await fetch(`${base}/metrics`)).text());
    return found.sum('http_request_duration_seconds_count', { service: `${name}-web` }) > sent ? found : undefined;
  });
  const services = ['web', 'api', 'pay'].map((part) => `${name}-${part}`);
  for (const service of services) assert.ok(exposition.sum('http_request_duration_seconds_count', { service }) > 0);

  const page = await (await fetch(`${base}/`)).text();
  const assets = [...page.matchAll(/(?:src|href)="\.\/(assets\/[^"]+)"/g)].map(([, path]) => `/${path}`);
  assert.ok(assets.length >= 2);
  const paths = ['/metrics', '/api/status', '/api/graph', '/healthz', '/readyz', '/nothing-here', ...assets];
  const summaries = ['', `?service=${name}-web`, '?role=client', `?service=${CANARY}`, `?role=${CANARY}`];
  const texts = new Map([['the page', page]]);
  for (const path of [...paths, ...summaries.map((query) => `/api/summary${query}`), `/${CANARY}`]) {
    texts.set(path, await (await fetch(base + path, { headers: { 'X-Note': CANARY } })).text());
  }
  const openMetrics = { accept: 'application/openmetrics-text; version=1.0.0' };
  texts.set('OpenMetrics', await (await fetch(`${base}/metrics`, { headers: openMetrics })).text());
  await sleep(200);
  for (const [index, other] of [agent, ...others].entries()) {
    await other.stop();
    texts.set(`stdout ${index}`, other.stdout());
    texts.set(`stderr ${index}`, other.stderr());
  }
  texts.set('the recording', readFileSync(redacted, 'utf8'));
  texts.set('what is in the recording', captured(redacted));
  assert.match(texts.get('stderr 0') ?? '', /debug/);
  assert.ok(captured(redacted).includes('HTTP/1.1'));
  // The secret was within reach: the same traffic, recorded with payload, has it.
  assert.ok(captured(whole).includes(CANARY));
  const leaks = [...texts].filter(([, text]) => text.includes(CANARY)).map(([where]) => where);
  assert.deepEqual(leaks, []);
  for (const file of readdirSync(shop.folder, { recursive: true, withFileTypes: true })) {
    if (file.isFile()) assert.equal(readFileSync(join(file.parentPath, file.name)).includes(CANARY), false, file.name);
  }
});
