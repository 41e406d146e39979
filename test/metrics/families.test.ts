/** The families against the interface, and against the rules of the format. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { Metrics } from '../../src/metrics/metrics.ts';
import type { SelfSource } from '../../src/metrics/self.ts';
import { sampleSelf } from './sample-self.ts';
import { finishedStream, owner, sampleOf, transaction } from './traffic.ts';

/** The table of metrics in the interface, as far as it is built. */
const INTERFACE: readonly [name: string, type: string, labels: string][] = [
  ['http_request_duration_seconds', 'histogram', 'namespace pod container service method status scheme'],
  ['http_client_request_duration_seconds', 'histogram', 'namespace pod container service method status scheme'],
  ['http_stream_duration_seconds', 'histogram', 'namespace pod container service kind role'],
  ['grpc_server_handling_seconds', 'histogram', 'namespace pod container service grpc_service grpc_method grpc_code'],
  ['grpc_client_handling_seconds', 'histogram', 'namespace pod container service grpc_service grpc_method grpc_code'],
  ['http_requests_incomplete_total', 'counter', 'namespace pod service role reason'],
  ['plainsight_tls_plaintext_bytes_total', 'counter', 'namespace pod container'],
  ['plainsight_tls_ciphertext_bytes_total', 'counter', 'namespace pod container'],
  ['plainsight_build_info', 'gauge', 'version kernel arch'],
  ['plainsight_feature_enabled', 'gauge', 'feature reason'],
  ['plainsight_tls_processes', 'gauge', 'namespace pod container library state reason'],
  ['plainsight_events_total', 'counter', 'kind'],
  ['plainsight_events_lost_total', 'counter', 'stage'],
  ['plainsight_connections_tracked', 'gauge', 'kind'],
  ['plainsight_socket_binding_total', 'counter', 'method result'],
  ['plainsight_unplaced_total', 'counter', 'kind'],
  ['plainsight_captured_bytes_total', 'counter', ''],
  ['plainsight_series', 'gauge', 'metric'],
  ['plainsight_series_overflow_total', 'counter', 'metric'],
];
const DEFAULT_BOUNDS = '0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 +Inf';

const build = { version: '1.2.3', kernel: '6.1.0', arch: 'x86_64' };

interface ParsedFamily {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: { name: string; labels: Map<string, string>; value: string }[];
}

/** Reads an exposition and refuses what does not follow the format. */
function parse(body: string): ParsedFamily[] {
  const families: ParsedFamily[] = [];
  let help: RegExpExecArray | null = null;
  for (const line of body.split('\n')) {
    if (line === '' || line === '# EOF') continue;
    const nextHelp = /^# HELP ([a-z_][a-z0-9_]*) (\S.*)$/.exec(line);
    const type = /^# TYPE ([a-z_][a-z0-9_]*) (counter|gauge|histogram)$/.exec(line);
    if (nextHelp) help = nextHelp;
    else if (type) {
      assert.equal(help?.[1], type[1], 'HELP and TYPE come in pairs');
      assert.equal(
        families.some(({ name }) => name === type[1]),
        false,
        `${type[1]} twice`,
      );
      families.push({ name: type[1]!, type: type[2]!, help: help![2]!, samples: [] });
    } else {
      const sample = /^([a-z_][a-z0-9_]*)(?:\{(.*)\})? (\d+(?:\.\d+)?(?:e[+-]?\d+)?|Nan)$/.exec(line);
      assert.ok(sample, `not a sample: ${line}`);
      const pairs = [...(sample[2] ?? '').matchAll(/([a-z_]+)="((?:\\.|[^"\\])*)"(?:,|$)/g)];
      assert.equal(pairs.map(([text]) => text).join(''), sample[2] ?? '', 'labels');
      const labels = new Map(pairs.map(([, label, value]) => [label!, value!]));
      assert.equal(labels.size, pairs.length, `a label twice: ${line}`);
      families.at(-1)!.samples.push({ name: sample[1]!, labels, value: sample[3]! });
    }
  }
  return families;
}

function sampleMetrics(self: SelfSource = sampleSelf, report?: (metric: string, error: unknown) => void): Metrics {
  const metrics = new Metrics({ self, build, ...(report ? { report } : {}) });
  metrics.transaction(transaction());
  metrics.transaction(transaction({ role: 'client', grpc: { service: 'a.B', method: 'C', code: 'OK' } }));
  metrics.stream(finishedStream('grpc', { grpc: { service: 'a.B', method: 'D', code: 'OK' } }));
  metrics.incomplete(owner(), 'server', 'closed');
  metrics.tlsBytes(owner(), 100, 120);
  return metrics;
}

function isDefault({ name }: { name: string }): boolean {
  return /^(process|nodejs)_/.test(name);
}

describe('families', () => {
  test('are those of the interface, with its types and labels', async () => {
    const families = parse((await sampleMetrics().render(false)).body).filter((family) => !isDefault(family));
    const found = families.map(({ name, type, samples }) => {
      assert.notEqual(samples.length, 0, name);
      const labels = new Set(
        samples.map((sample) => [...sample.labels.keys()].filter((key) => key !== 'le').join(' ')),
      );
      assert.equal(labels.size, 1, name);
      return [name, type, ...labels];
    });
    assert.deepEqual(found, INTERFACE);
  });

  test('have the default buckets', async () => {
    const families = parse((await sampleMetrics().render(false)).body);
    for (const { name, samples } of families.filter((family) => family.type === 'histogram' && !isDefault(family))) {
      const buckets = samples.filter((sample) => sample.name === `${name}_bucket`);
      assert.equal(buckets.map(({ labels }) => labels.get('le')).join(' '), DEFAULT_BOUNDS, name);
    }
  });

  test('follow the naming rules', async () => {
    const families = parse((await sampleMetrics().render(false)).body).filter((family) => !isDefault(family));
    for (const { name, type, help, samples } of families) {
      assert.equal(name.endsWith('_total'), type === 'counter', name);
      assert.match(help, /^[A-Z].*\.$|; always 1\.$/, name);
      if (type === 'histogram') assert.match(name, /_(seconds|bytes)$/);
      assert.doesNotMatch(name, /milliseconds|_ms|_ns|kilobytes|_(count|sum|bucket|info_total)$/, name);
      for (const sample of samples) assert.ok(sample.name.startsWith(name), sample.name);
    }
  });

  test('give no series twice', async () => {
    for (const openMetrics of [false, true]) {
      const { body } = await sampleMetrics().render(openMetrics);
      const series = body
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
        .map((line) => line.slice(0, line.lastIndexOf(' ')));
      assert.equal(new Set(series).size, series.length);
    }
  });

  test('in OpenMetrics, counters have _total in their samples only and the end is marked', async () => {
    const { body } = await sampleMetrics().render(true);
    assert.ok(body.endsWith('\n# EOF\n'));
    assert.doesNotMatch(body, /\n\n/);
    const counters = parse(body).filter(({ type }) => type === 'counter');
    assert.ok(counters.some(({ name }) => name === 'process_cpu_seconds'));
    for (const { name, samples } of counters) {
      assert.doesNotMatch(name, /_total$/);
      for (const sample of samples) assert.equal(sample.name, `${name}_total`);
    }
  });

  test('in the text format, counters are called _total after OpenMetrics was asked for too', async () => {
    const metrics = sampleMetrics();
    const names = async () => parse((await metrics.render(false)).body).map(({ name, type }) => `${name} ${type}`);
    const before = await names();
    await metrics.render(true);
    assert.deepEqual(await names(), before);
    assert.ok(before.includes('process_cpu_seconds_total counter'));
  });

  test("hold all of prom-client's default metrics", async () => {
    const registry = new Registry();
    collectDefaultMetrics({ register: registry });
    const wanted = parse(await registry.metrics()).map(({ name, type }) => `${name} ${type}`);
    const found = parse((await sampleMetrics().render(false)).body).filter(isDefault);
    assert.deepEqual(
      found.map(({ name, type }) => `${name} ${type}`),
      wanted,
    );
  });

  test('keep no process alive', () => {
    const before = process.getActiveResourcesInfo();
    sampleMetrics();
    assert.deepEqual(process.getActiveResourcesInfo(), before);
  });
});

describe("the agent's own numbers", () => {
  test('are read at each scrape', async () => {
    let bytes = 1;
    const metrics = sampleMetrics({ ...sampleSelf, capturedBytes: () => bytes });
    assert.equal(sampleOf((await metrics.render(false)).body, 'plainsight_captured_bytes_total'), '1');
    bytes = 2 ** 33;
    assert.equal(sampleOf((await metrics.render(false)).body, 'plainsight_captured_bytes_total'), '8589934592');
  });

  test('say 0 for every stage that lost nothing', async () => {
    const { body } = await sampleMetrics({ ...sampleSelf, lost: () => ({}) }).render(false);
    for (const stage of ['missed', 'ring', 'map_full', 'truncated', 'queue']) {
      assert.equal(sampleOf(body, `plainsight_events_lost_total{stage="${stage}"}`), '0');
    }
  });

  test('count series and what overflowed', async () => {
    const metrics = new Metrics({ self: sampleSelf, build, maxSeries: 2 });
    for (const service of ['a', 'b', 'c', 'c']) metrics.transaction(transaction({ owner: owner({ service }) }));
    const { body } = await metrics.render(false);
    const of = (family: string, metric: string) => sampleOf(body, `${family}{metric="${metric}"}`);
    assert.equal(of('plainsight_series', 'http_request_duration_seconds'), '2');
    assert.equal(of('plainsight_series_overflow_total', 'http_request_duration_seconds'), '2');
    assert.equal(of('plainsight_series', 'http_requests_incomplete_total'), '0');
    assert.equal(of('plainsight_series_overflow_total', 'http_requests_incomplete_total'), '0');
  });

  test('of TLS processes are capped too', async () => {
    const tlsProcesses = () =>
      ['a', 'b', 'c', 'b', 'd'].map((library) => ({
        owner: { namespace: '', pod: '', container: '' },
        library,
        state: 'attached',
        reason: '',
      }));
    const metrics = new Metrics({ self: { ...sampleSelf, tlsProcesses }, build, maxSeries: 2 });
    const { body } = await metrics.render(false);
    assert.deepEqual(
      body.split('\n').filter((line) => line.startsWith('plainsight_tls_processes{')),
      [
        'plainsight_tls_processes{namespace="",pod="",container="",library="a",state="attached",reason=""} 1',
        'plainsight_tls_processes{namespace="",pod="",container="",library="b",state="attached",reason=""} 2',
        'plainsight_tls_processes{namespace="",pod="",container="_overflow",library="",state="",reason=""} 2',
      ],
    );
  });

  test('that cannot be read are reported and cost only their family', async () => {
    const reported: unknown[] = [];
    const failure = new Error('map is gone');
    const lost = () => {
      throw failure;
    };
    const metrics = sampleMetrics({ ...sampleSelf, lost }, (metric, error) => reported.push([metric, error]));
    const { body } = await metrics.render(false);
    assert.deepEqual(reported, [['plainsight_events_lost_total', failure]]);
    assert.equal(body.includes('plainsight_events_lost_total{'), false);
    assert.equal(sampleOf(body, 'plainsight_captured_bytes_total'), '123456');
    assert.equal(body.includes('http_request_duration_seconds_count{'), true);
  });
});
