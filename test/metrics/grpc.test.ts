/** gRPC calls and streams: which family they are counted in, and the bounds of their labels. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metrics } from '../../src/metrics/metrics.ts';
import { finishedStream, owner, sampleOf, transaction } from './traffic.ts';

const build = { version: '0.0.0', kernel: '6.1.0', arch: 'x86_64' };
const WEB = 'namespace="",pod="",container="",service="web"';

function metricsOf(maxSeries = 10_000): Metrics {
  return new Metrics({ build, maxSeries });
}

test('a unary call is a request and a call, of its role', async () => {
  const metrics = metricsOf();
  const grpc = { service: 'shop.Cart', method: 'Add', code: 'NotFound' };
  metrics.transaction(transaction({ method: 'POST', grpc }));
  metrics.transaction(transaction({ method: 'POST', role: 'client', grpc }));
  metrics.transaction(transaction({ method: 'POST', role: 'client', grpc }));
  const { body } = await metrics.renderTraffic();
  const labels = `${WEB},grpc_service="shop.Cart",grpc_method="Add",grpc_code="NotFound"`;
  assert.equal(sampleOf(body, `grpc_server_handling_seconds_count{${labels}}`), '1');
  assert.equal(sampleOf(body, `grpc_client_handling_seconds_count{${labels}}`), '2');
  const request = `${WEB},method="POST",status="200",scheme="http"`;
  assert.equal(sampleOf(body, `http_request_duration_seconds_count{${request}}`), '1');
  assert.equal(sampleOf(body, `http_client_request_duration_seconds_count{${request}}`), '2');
});

test('a stream is no request; one of gRPC is a call if it ended with a status', async () => {
  const metrics = metricsOf();
  metrics.stream(finishedStream('websocket'));
  metrics.stream(finishedStream('grpc', { grpc: { service: 'a.B', method: 'C', code: 'OK' } }));
  metrics.stream(finishedStream('grpc'));
  metrics.stream(finishedStream('connect', { role: 'client' }));
  const { body } = await metrics.renderTraffic();
  const stream = (kind: string, role: string) =>
    sampleOf(body, `http_stream_duration_seconds_count{${WEB},kind="${kind}",role="${role}"}`);
  assert.equal(stream('websocket', 'server'), '1');
  assert.equal(stream('grpc', 'server'), '2');
  assert.equal(stream('connect', 'client'), '1');
  const labels = `${WEB},grpc_service="a.B",grpc_method="C",grpc_code="OK"`;
  assert.equal(sampleOf(body, `grpc_server_handling_seconds_count{${labels}}`), '1');
  assert.doesNotMatch(body, /http_request_duration_seconds_count/);
});

test('a status that is not known has that name', async () => {
  const metrics = metricsOf();
  metrics.transaction(transaction({ method: 'unknown', status: 0 }));
  const { body } = await metrics.renderTraffic();
  const labels = `${WEB},method="unknown",status="unknown",scheme="http"`;
  assert.equal(sampleOf(body, `http_request_duration_seconds_count{${labels}}`), '1');
});

test('a client that makes up methods gets a closed number of them', async () => {
  const metrics = metricsOf();
  for (let i = 0; i < 5000; i++) {
    const grpc = { service: `s${i % 50}`, method: `m${i}`, code: 'OK' };
    metrics.transaction(transaction({ owner: owner(), grpc }));
  }
  const { body } = await metrics.renderTraffic();
  const counts = body.split('\n').filter((line) => line.startsWith('grpc_server_handling_seconds_count'));
  assert.equal(counts.length, 1025);
  const other = `${WEB},grpc_service="other",grpc_method="other",grpc_code="OK"`;
  assert.equal(sampleOf(body, `grpc_server_handling_seconds_count{${other}}`), String(5000 - 1024));
});
