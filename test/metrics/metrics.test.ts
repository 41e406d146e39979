import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Metrics } from '../../src/metrics/metrics.ts';
import { owner, sampleOf, transaction } from './traffic.ts';

const build = { version: '0.0.0', kernel: '6.1.0', arch: 'x86_64' };

function metricsOf(options: { buckets?: readonly number[]; maxSeries?: number } = {}): Metrics {
  return new Metrics({ build, ...options });
}

async function textOf(metrics: Metrics): Promise<string> {
  return (await metrics.renderTraffic()).body;
}

const WEB = 'namespace="",pod="",container="",service="web"';
const GET_200 = `${WEB},method="GET",status="200",scheme="http"`;

function countOf(labels: string, name = 'http_request_duration_seconds'): string {
  return `${name}_count{${labels}}`;
}

describe('durations', () => {
  test('a bucket holds what is not above its bound', async () => {
    const metrics = metricsOf({ buckets: [0.1, 1] });
    for (const durationNs of [0, 100_000_000, 100_000_001, 1_000_000_000, 1_000_000_001]) {
      metrics.transaction(transaction({ durationNs }));
    }
    const body = await textOf(metrics);
    const bucket = (le: string) => sampleOf(body, `http_request_duration_seconds_bucket{le="${le}",${GET_200}}`);
    assert.deepEqual([bucket('0.1'), bucket('1'), bucket('+Inf')], ['2', '4', '5']);
    assert.equal(sampleOf(body, countOf(GET_200)), '5');
    assert.equal(sampleOf(body, `http_request_duration_seconds_sum{${GET_200}}`), '2.200000002');
  });

  test('the sum does not depend on the order', async () => {
    const durations = [1, 100_000_000, 200_000_000, 300_000_000, 9_000_000_000_001];
    const forth = metricsOf();
    const back = metricsOf();
    for (const durationNs of durations) forth.transaction(transaction({ durationNs }));
    for (const durationNs of durations.toReversed()) back.transaction(transaction({ durationNs }));
    assert.equal(await textOf(forth), await textOf(back));
    assert.equal(sampleOf(await textOf(forth), `http_request_duration_seconds_sum{${GET_200}}`), '9000.600000002');
  });

  test('role, method, status and scheme make series of their own', async () => {
    const metrics = metricsOf();
    for (const role of ['server', 'client'] as const) {
      for (const method of ['GET', 'PATCH', 'OTHER', 'unknown']) {
        for (const status of [100, 599]) {
          for (const scheme of ['http', 'https'] as const) {
            metrics.transaction(transaction({ role, method, status, scheme }));
          }
        }
      }
    }
    const body = await textOf(metrics);
    const counts = body.split('\n').filter((line) => line.includes('_seconds_count{'));
    assert.equal(counts.length, 32);
    assert.equal(new Set(counts).size, 32);
    const labels = `${WEB},method="unknown",status="599",scheme="https"`;
    assert.equal(sampleOf(body, countOf(labels)), '1');
    assert.equal(sampleOf(body, countOf(labels, 'http_client_request_duration_seconds')), '1');
  });

  test('bytes of TLS are told by workload, as they are exposed', () => {
    const metrics = metricsOf();
    metrics.tlsBytes(owner({ pod: 'b', container: 'c' }), 0, 7);
    metrics.tlsBytes(owner({ pod: 'a', container: 'c' }), 100, 120);
    metrics.tlsBytes(owner({ pod: 'b', container: 'c' }), 5, 1);
    const lines = [...metrics.tlsWorkloads()].map(({ pod, container, plaintext, ciphertext }) => {
      return [pod, container, plaintext, ciphertext];
    });
    assert.deepEqual(lines, [
      ['a', 'c', 100, 120],
      ['b', 'c', 5, 8],
    ]);
  });

  test('owners with equal labels share a series', async () => {
    const metrics = metricsOf();
    metrics.transaction(transaction({ owner: owner({ pid: 1 }) }));
    metrics.transaction(transaction({ owner: owner({ pid: 2, comm: 'other' }) }));
    assert.equal(sampleOf(await textOf(metrics), countOf(GET_200)), '2');
  });

  test('two owners taking turns are told apart', async () => {
    const metrics = metricsOf();
    const [a, b] = [owner({ service: 'a' }), owner({ service: 'b' })];
    for (const of of [a, b, a, b, a]) metrics.transaction(transaction({ owner: of }));
    const body = await textOf(metrics);
    assert.equal(sampleOf(body, countOf(GET_200.replace('web', 'a'))), '3');
    assert.equal(sampleOf(body, countOf(GET_200.replace('web', 'b'))), '2');
  });

  test('label values do not run into each other', async () => {
    const metrics = metricsOf();
    metrics.transaction(transaction({ owner: owner({ namespace: 'a', pod: 'bc' }) }));
    metrics.transaction(transaction({ owner: owner({ namespace: 'ab', pod: 'c' }) }));
    const body = await textOf(metrics);
    assert.equal(sampleOf(body, countOf(GET_200.replace('namespace="",pod=""', 'namespace="a",pod="bc"'))), '1');
    assert.equal(sampleOf(body, countOf(GET_200.replace('namespace="",pod=""', 'namespace="ab",pod="c"'))), '1');
  });

  test('more series than one slab holds keep their counts', async () => {
    const metrics = metricsOf();
    for (let i = 0; i < 600; i++) {
      const of = owner({ service: `s${i}` });
      for (let n = 0; n <= i % 3; n++) metrics.transaction(transaction({ owner: of }));
    }
    const body = await textOf(metrics);
    for (const i of [0, 254, 255, 256, 257, 511, 512, 599]) {
      assert.equal(sampleOf(body, countOf(GET_200.replace('web', `s${i}`))), String((i % 3) + 1), `series ${i}`);
    }
  });
});

describe('requests that were not measured', () => {
  test('are counted by role and reason, not by container', async () => {
    const metrics = metricsOf();
    metrics.incomplete(owner({ container: 'a' }), 'server', 'reset');
    metrics.incomplete(owner({ container: 'b' }), 'server', 'reset');
    metrics.incomplete(owner(), 'client', 'evicted');
    metrics.incomplete(owner(), 'unknown', 'orphan');
    const body = await textOf(metrics);
    const count = (role: string, reason: string) =>
      sampleOf(
        body,
        `http_requests_incomplete_total{namespace="",pod="",service="web",role="${role}",reason="${reason}"}`,
      );
    assert.equal(count('server', 'reset'), '2');
    assert.equal(count('client', 'evicted'), '1');
    assert.equal(count('unknown', 'orphan'), '1');
    assert.equal(count('server', 'closed'), undefined);
  });
});

describe('the series cap', () => {
  const overflow = 'namespace="",pod="",container="",service="_overflow",method="",status="",scheme=""';

  test('what comes beyond it goes to one overflow series', async () => {
    const metrics = metricsOf({ maxSeries: 2 });
    for (const service of ['a', 'b', 'c', 'd', 'a', 'c']) {
      metrics.transaction(transaction({ owner: owner({ service }) }));
    }
    const body = await textOf(metrics);
    assert.equal(sampleOf(body, countOf(GET_200.replace('web', 'a'))), '2');
    assert.equal(sampleOf(body, countOf(GET_200.replace('web', 'b'))), '1');
    assert.equal(sampleOf(body, countOf(overflow)), '3');
    assert.equal(body.split('\n').filter((line) => line.includes('_count{')).length, 3);
  });

  test('there is no overflow series before it is reached', async () => {
    const metrics = metricsOf({ maxSeries: 2 });
    metrics.transaction(transaction({ owner: owner({ service: 'a' }) }));
    metrics.transaction(transaction({ owner: owner({ service: 'b' }) }));
    assert.equal((await textOf(metrics)).includes('_overflow'), false);
  });

  test('each metric has its own', async () => {
    const metrics = metricsOf({ maxSeries: 1 });
    metrics.transaction(transaction());
    metrics.transaction(transaction({ role: 'client' }));
    metrics.incomplete(owner(), 'server', 'closed');
    metrics.incomplete(owner(), 'server', 'lost');
    const body = await textOf(metrics);
    assert.equal(sampleOf(body, countOf(GET_200)), '1');
    assert.equal(sampleOf(body, countOf(GET_200, 'http_client_request_duration_seconds')), '1');
    const labels = 'namespace="",pod="",service="_overflow",role="",reason=""';
    assert.equal(sampleOf(body, `http_requests_incomplete_total{${labels}}`), '1');
  });

  test('a hundred thousand owners leave no more series than it allows', async () => {
    const metrics = metricsOf({ maxSeries: 50 });
    for (let i = 0; i < 100_000; i++) metrics.transaction(transaction({ owner: owner({ service: `s${i}` }) }));
    const body = await textOf(metrics);
    assert.equal(body.split('\n').filter((line) => line.includes('_count{')).length, 51);
    assert.equal(sampleOf(body, countOf(overflow)), '99950');
  });
});

describe('methods', () => {
  test('a source that invents methods gets no more than a closed set of them', async () => {
    const metrics = metricsOf();
    for (let i = 0; i < 1000; i++) metrics.transaction(transaction({ method: `METHOD${i}` }));
    const body = await textOf(metrics);
    assert.ok(body.split('\n').filter((line) => line.includes('_count{')).length <= 64);
    assert.match(sampleOf(body, countOf(GET_200.replace('GET', 'OTHER'))) ?? '', /^9\d\d$/);
  });
});

describe('removing a workload', () => {
  const gone = owner({ namespace: 'shop', pod: 'web-0', container: 'web', service: 'web' });
  const stays = owner({ namespace: 'shop', pod: 'web-1', container: 'web', service: 'web' });

  test('takes all its series and no other', async () => {
    const metrics = metricsOf();
    for (const of of [gone, stays]) {
      metrics.transaction(transaction({ owner: of, status: 404 }));
      metrics.transaction(transaction({ owner: of, role: 'client' }));
      metrics.incomplete(of, 'server', 'closed');
    }
    metrics.removeWorkload({ namespace: 'shop', pod: 'web-0', container: 'web', service: 'web' });
    const body = await textOf(metrics);
    assert.equal(body.includes('web-0'), false);
    const only = metricsOf();
    only.transaction(transaction({ owner: stays, status: 404 }));
    only.transaction(transaction({ owner: stays, role: 'client' }));
    only.incomplete(stays, 'server', 'closed');
    assert.equal(body, await textOf(only));
  });

  test('a workload that goes on starts at zero, and nobody inherits', async () => {
    const metrics = metricsOf();
    const labels = 'namespace="shop",pod="web-0",container="web",service="web",method="GET",status="200",scheme="http"';
    metrics.transaction(transaction({ owner: gone, durationNs: 5e9 }));
    metrics.transaction(transaction({ owner: gone, durationNs: 5e9 }));
    metrics.incomplete(gone, 'server', 'closed');
    metrics.removeWorkload(gone);
    // Takes the slot that became free.
    metrics.transaction(transaction({ owner: stays }));
    metrics.incomplete(stays, 'server', 'lost');
    metrics.transaction(transaction({ owner: gone }));
    metrics.incomplete(gone, 'server', 'closed');
    const body = await textOf(metrics);
    assert.equal(sampleOf(body, countOf(labels)), '1');
    assert.equal(sampleOf(body, `http_request_duration_seconds_sum{${labels}}`), '0.001');
    assert.equal(sampleOf(body, countOf(labels.replace('web-0', 'web-1'))), '1');
    assert.equal(sampleOf(body, `http_request_duration_seconds_sum{${labels.replace('web-0', 'web-1')}}`), '0.001');
    const incomplete = 'namespace="shop",pod="web-0",service="web",role="server"';
    assert.equal(sampleOf(body, `http_requests_incomplete_total{${incomplete},reason="closed"}`), '1');
    assert.equal(
      sampleOf(body, `http_requests_incomplete_total{${incomplete.replace('web-0', 'web-1')},reason="lost"}`),
      '1',
    );
  });

  test('makes room below the cap', async () => {
    const metrics = metricsOf({ maxSeries: 1 });
    metrics.transaction(transaction({ owner: gone }));
    metrics.transaction(transaction({ owner: stays }));
    metrics.removeWorkload(gone);
    metrics.transaction(transaction({ owner: stays }));
    const body = await textOf(metrics);
    assert.match(body, /_count\{namespace="shop",pod="web-1",.*\} 1\n/);
    assert.match(body, /_count\{.*service="_overflow".*\} 1\n/);
  });

  test('one that was never seen changes nothing', async () => {
    const metrics = metricsOf();
    metrics.transaction(transaction());
    const before = await textOf(metrics);
    metrics.removeWorkload(gone);
    assert.equal(await textOf(metrics), before);
  });
});

describe('options', () => {
  test('buckets must rise and be positive and finite', () => {
    for (const buckets of [[], [0], [-1, 1], [1, 1], [2, 1], [Number.NaN], [1, Number.POSITIVE_INFINITY]]) {
      assert.throws(() => metricsOf({ buckets }), { code: 'USAGE' }, buckets.join());
    }
    assert.throws(() => metricsOf({ buckets: Array.from({ length: 65 }, (_, i) => i + 1) }), { code: 'USAGE' });
  });

  test('the cap must be a positive integer', () => {
    for (const maxSeries of [0, -1, 1.5, Number.NaN]) {
      assert.throws(() => metricsOf({ maxSeries }), { code: 'USAGE' }, String(maxSeries));
    }
  });
});
