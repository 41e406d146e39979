/** A fixed list of transactions gives exactly the text in fixtures/metrics/. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { Metrics } from '../../src/metrics/metrics.ts';
import { fromRoot } from '../../src/root.ts';
import { sampleSelf } from './sample-self.ts';
import { finishedStream, owner, transaction } from './traffic.ts';

const web = owner({ namespace: 'shop', pod: 'web-0', container: 'web', service: 'web' });
const api = owner({ namespace: 'shop', pod: 'api-1', container: 'api', service: 'api' });
const host = owner({ service: 'nginx.service' });
const hostile = owner({ service: 'quo"te\\slash\nline' });

const TRANSACTIONS = [
  transaction({ owner: web, scheme: 'https', durationNs: 1_000_000 }),
  transaction({ owner: web, scheme: 'https', durationNs: 1_000_001 }),
  transaction({ owner: web, scheme: 'https', durationNs: 300_000_000 }),
  transaction({ owner: web, scheme: 'https', status: 404, durationNs: 250_000 }),
  transaction({ owner: web, scheme: 'https', method: 'POST', status: 500, durationNs: 12_500_000_000 }),
  transaction({ owner: web, role: 'client', durationNs: 40_000_000 }),
  transaction({ owner: api, method: 'unknown', status: 204, durationNs: 0 }),
  transaction({ owner: host, method: 'OTHER', status: 301, durationNs: 2_500_000 }),
  transaction({ owner: host, method: 'HEAD', durationNs: 10_000_000_000 }),
  transaction({ owner: hostile, durationNs: 99 }),
  transaction({
    owner: api,
    method: 'POST',
    durationNs: 3_000_000,
    grpc: { service: 'shop.Cart', method: 'Add', code: 'OK' },
  }),
  transaction({
    owner: api,
    method: 'POST',
    role: 'client',
    status: 0,
    grpc: { service: 'unknown', method: 'unknown', code: 'unknown' },
  }),
];

const STREAMS = [
  finishedStream('sse', { owner: web, durationNs: 60_000_000_000 }),
  finishedStream('grpc', {
    owner: api,
    durationNs: 7_000_000_000,
    grpc: { service: 'shop.Cart', method: 'Watch', code: 'Unavailable' },
  }),
  finishedStream('websocket', { owner: web, role: 'client', durationNs: 1_000_000 }),
];

function sampleMetrics(order: readonly (typeof TRANSACTIONS)[number][], maxSeries: number): Metrics {
  const metrics = new Metrics({
    maxSeries,
    self: sampleSelf,
    build: { version: '1.2.3', kernel: '6.1.0-18-amd64', arch: 'x86_64' },
  });
  for (const item of order) metrics.transaction(item);
  for (const item of STREAMS) metrics.stream(item);
  metrics.incomplete(web, 'server', 'reset');
  metrics.incomplete(web, 'server', 'reset');
  metrics.incomplete(host, 'unknown', 'orphan');
  metrics.tlsBytes(web, 70_000, 75_000);
  metrics.tlsBytes(web, 1, 0);
  metrics.tlsBytes(host, 0, 4_096);
  return metrics;
}

function golden(name: string): string {
  return readFileSync(fromRoot(`fixtures/metrics/${name}`), 'utf8');
}

/** Without the metrics of this very process. */
function ownFamilies(body: string): string {
  const blocks = body.split(/\n+(?=# HELP )/).filter((block) => block.startsWith('# HELP plainsight_'));
  return `${blocks.join('\n').trimEnd()}\n`;
}

describe('the exposition', () => {
  const metrics = sampleMetrics(TRANSACTIONS, 8);

  test('of traffic, as text', async () => {
    const { contentType, body } = await metrics.renderTraffic();
    assert.equal(contentType, 'text/plain; version=0.0.4; charset=utf-8');
    assert.equal(body, golden('traffic.txt'));
  });

  test('of traffic, as OpenMetrics', async () => {
    const { contentType, body } = await metrics.renderTraffic(true);
    assert.equal(contentType, 'application/openmetrics-text; version=1.0.0; charset=utf-8');
    assert.equal(body, golden('traffic.openmetrics.txt'));
  });

  test('of the agent itself', async () => {
    assert.equal(ownFamilies((await metrics.render(false)).body), golden('self.txt'));
  });

  test('is the same after OpenMetrics was asked for', async () => {
    await metrics.render(true);
    assert.equal((await metrics.renderTraffic()).body, golden('traffic.txt'));
    assert.equal(ownFamilies((await metrics.render(false)).body), golden('self.txt'));
  });

  test('does not depend on the order of the transactions', async () => {
    const back = sampleMetrics(TRANSACTIONS.toReversed(), 8);
    assert.equal((await back.renderTraffic()).body, golden('traffic.txt'));
  });

  test('of traffic is the same without the agent, as in a replay', async () => {
    const replay = new Metrics({ build: { version: '', kernel: '', arch: '' } });
    for (const item of TRANSACTIONS) replay.transaction(item);
    for (const item of STREAMS) replay.stream(item);
    replay.incomplete(web, 'server', 'reset');
    replay.incomplete(web, 'server', 'reset');
    replay.incomplete(host, 'unknown', 'orphan');
    assert.equal((await replay.renderTraffic()).body, golden('traffic.txt'));
    assert.equal((await replay.render(false)).body, golden('traffic.txt'));
  });

  test('shows what was cut off at the series cap', async () => {
    const capped = sampleMetrics(TRANSACTIONS, 2);
    assert.equal((await capped.renderTraffic()).body, golden('overflow.txt'));
  });

  test('of no traffic has every family and no sample', async () => {
    const empty = new Metrics({ build: { version: '', kernel: '', arch: '' } });
    assert.equal((await empty.renderTraffic()).body, golden('empty.txt'));
  });
});
