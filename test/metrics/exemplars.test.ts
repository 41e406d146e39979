import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MAX_SERIES } from '../../src/metrics/exemplars.ts';
import { Metrics } from '../../src/metrics/metrics.ts';
import { owner, transaction } from './traffic.ts';

const build = { version: '0.0.0', kernel: '6.1.0', arch: 'x86_64' };
const TRACE = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' };

async function exemplarsOf(metrics: Metrics, openMetrics = true): Promise<string[]> {
  const { body } = await metrics.renderTraffic(openMetrics);
  return body.split('\n').filter((line) => line.includes(' # {'));
}

describe('exemplars', () => {
  test('the newest trace of each bucket, with its duration and its end', async () => {
    const metrics = new Metrics({ build, buckets: [0.1, 1], wallOffsetSeconds: 1_700_000_000 });
    const old = { ...TRACE, traceId: '1'.repeat(32) };
    metrics.transaction({ ...transaction({ durationNs: 4e8 }), trace: old });
    metrics.transaction({ ...transaction({ durationNs: 5e8 }), timeNs: 2e9, trace: TRACE });
    metrics.transaction(transaction({ durationNs: 6e8 }));
    metrics.transaction({ ...transaction({ role: 'client', durationNs: 2e9 }), trace: TRACE });
    const labels = 'namespace="",pod="",container="",service="web",method="GET",status="200",scheme="http"';
    const trace = `{trace_id="${TRACE.traceId}",span_id="${TRACE.spanId}"}`;
    assert.deepEqual(await exemplarsOf(metrics), [
      `http_request_duration_seconds_bucket{le="1",${labels}} 3 # ${trace} 0.5 1700000002.5`,
      `http_client_request_duration_seconds_bucket{le="+Inf",${labels}} 1 # ${trace} 2 1700000002`,
    ]);
  });

  test('the text format has none', async () => {
    const metrics = new Metrics({ build });
    metrics.transaction({ ...transaction(), trace: TRACE });
    assert.deepEqual(await exemplarsOf(metrics, false), []);
    assert.equal((await exemplarsOf(metrics)).length, 1);
  });

  test('those of a workload that is removed go with it', async () => {
    const metrics = new Metrics({ build });
    metrics.transaction({ ...transaction(), trace: TRACE });
    metrics.removeWorkload(owner());
    metrics.transaction(transaction());
    assert.deepEqual(await exemplarsOf(metrics), []);
  });

  test('only so many series have any', async () => {
    const metrics = new Metrics({ build });
    for (let i = 0; i < MAX_SERIES + 50; i++) {
      metrics.transaction({ ...transaction({ owner: owner({ service: `s${i}` }) }), trace: TRACE });
    }
    assert.equal((await exemplarsOf(metrics)).length, MAX_SERIES);
  });
});
