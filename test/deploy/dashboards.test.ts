/**
 * A real Prometheus with the shipped configuration and rules scrapes the agent while the demo's shop has traffic: what
 * the dashboards ask for and the rules record must be there.
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { load } from 'js-yaml';
import { fromRoot } from '../../src/root.ts';
import { openShop, type Shop } from '../../tools/demo/shop.ts';
import { freePort, type RunningAgent, sleep, start, startAgent, temporaryFolder, until } from '../kernel/harness.ts';
import { debianProgram } from './debian.ts';

/** Series that only something amiss makes: queries that ask for nothing else may be empty. */
const AMISS: readonly string[] = [
  ...['plainsight_series_overflow_total', 'http_requests_incomplete_total'],
  ...['node_tcp_retransmits_total', 'tcp_connections_failed_total'],
];

/** Rules of these windows need that much of a past; here a minute has to do. */
const INTERVAL = '1s';
const WINDOW = '30s';
const DATA_LIMIT_MS = 60_000;

interface Rules {
  readonly groups: readonly { readonly rules: readonly { readonly record?: string; readonly expr: string }[] }[];
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

interface Query {
  readonly name: string;
  readonly expr: string;
  /** Of a rule: what it records. */
  readonly from?: string;
}

/** As Grafana asks when all is chosen. */
function panelQueries(): Query[] {
  const folder = fromRoot('deploy/grafana');
  return readdirSync(folder).flatMap((file) => {
    const { panels } = JSON.parse(readFileSync(join(folder, file), 'utf8')) as { panels: readonly Panel[] };
    return panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }) => ({
        name: `${file}: ${title}`,
        expr: expr.replaceAll('$__rate_interval', WINDOW).replace(/"\$\w+"/g, '".*"'),
      })),
    );
  });
}

function recorded(): Query[] {
  const { groups } = load(readFileSync(fromRoot('deploy/prometheus/rules.yml'), 'utf8')) as Rules;
  return groups.flatMap(({ rules }) =>
    rules.map(({ record, expr }) => ({ name: `rule ${record}`, expr: record!, from: expr })),
  );
}

/** Those of AMISS that an expression names. */
function amissIn(expr: string): string[] {
  const bare = expr.replace(/"[^"]*"/g, '""');
  return AMISS.filter((metric) => new RegExp(`\\b${metric}\\b`).test(bare));
}

async function startPrometheus(t: TestContext, agent: RunningAgent) {
  const folder = temporaryFolder(t);
  cpSync(fromRoot('deploy/prometheus'), folder, { recursive: true });
  const file = join(folder, 'prometheus.yml');
  const shipped = readFileSync(file, 'utf8');
  const text = shipped.replace('127.0.0.1:9090', new URL(agent.url).host).replaceAll(': 15s', `: ${INTERVAL}`);
  assert.notEqual(text, shipped);
  writeFileSync(file, text);
  const url = `http://127.0.0.1:${await freePort()}`;
  const prometheus = start(t, await debianProgram('prometheus'), [
    `--config.file=${file}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=${new URL(url).host}`,
    '--enable-feature=exemplar-storage',
    '--log.level=warn',
  ]);
  await until('Prometheus is ready', async () => {
    if (prometheus.process.exitCode !== null) throw new Error(prometheus.stderr());
    const ready = await fetch(`${url}/-/ready`).catch(() => undefined);
    return ready?.ok || undefined;
  });
  return async (expr: string): Promise<{ values: number[]; error?: string }> => {
    const response = await fetch(`${url}/api/v1/query?${new URLSearchParams({ query: expr })}`);
    const { data, error } = (await response.json()) as {
      data?: { result: { value: [number, string] }[] };
      error?: string;
    };
    return { values: (data?.result ?? []).map(({ value }) => Number(value[1])), ...(error !== undefined && { error }) };
  };
}

async function openBusyShop(t: TestContext): Promise<Shop> {
  const shop = await openShop(`boards-${process.pid}`);
  t.after(() => shop.stop());
  shop.startCustomers();
  return shop;
}

/** What it says; nothing when all is well. */
function promtoolCheck(promtool: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(promtool, ['check', 'metrics'], (error, stdout, stderr) => {
      const output = stdout + stderr;
      if (error && output === '') reject(error);
      else resolve(output);
    });
    child.stdin!.end(text);
  });
}

test('every panel and every rule has data after the demo traffic', async (t) => {
  const agent = await startAgent(t);
  await openBusyShop(t);
  const ask = await startPrometheus(t, agent);
  const wanted = [...panelQueries(), ...recorded()];

  const excused = (query: Query) => amissIn(query.from ?? query.expr).length > 0;
  let empty: readonly Query[] = wanted;
  const deadline = Date.now() + DATA_LIMIT_MS;
  while (!empty.every(excused) && Date.now() < deadline) {
    await sleep(1000);
    const left: Query[] = [];
    for (const query of empty) {
      const { values, error } = await ask(query.expr);
      assert.equal(error, undefined, `${query.name}: ${query.expr}`);
      if (values.every(Number.isNaN)) left.push(query);
    }
    empty = left;
  }
  t.diagnostic(`${wanted.length} queries were asked; ${wanted.length - empty.length} had data`);
  assert.deepEqual(
    empty.filter((query) => !excused(query)).map(({ name, expr }) => `${name}: ${expr}`),
    [],
  );
});

/** Names of prom-client, which its users' dashboards know. */
const PROM_CLIENT = /^nodejs_active_(handles|requests|resources)_total non-counter metrics should not have .*\n/gm;

test('promtool finds nothing to say about our metrics', async (t) => {
  const agent = await startAgent(t);
  const shop = await openBusyShop(t);
  const { text } = await until('the shop is seen', async () => {
    const exposition = await agent.scrape();
    const requests = exposition.sum('http_request_duration_seconds_count', { scheme: 'https' });
    return requests > 0 ? exposition : undefined;
  });
  assert.notEqual(shop.ports.web, 0);
  assert.equal((await promtoolCheck(await debianProgram('promtool'), text)).replace(PROM_CLIENT, ''), '');
});
