import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Destination, type TcpChange, TcpMetrics } from '../../src/metrics/tcp.ts';

const OWNER = { namespace: 'shop', pod: 'cart-0', container: 'cart', service: 'cart' };
const TO: Destination = { role: 'client', namespace: 'shop', service: 'stock', port: 80 };
const CHANGE: TcpChange = {
  opened: 3,
  failed: Float64Array.of(2, 0, 1),
  retransmits: 7,
  sentBytes: 1000,
  receivedBytes: 2000,
  connect: Float64Array.of(2, 1, 0),
  connectUs: 1500,
  rtt: Float64Array.of(0, 0, 1),
  rttUs: 20_000_000,
  active: 4,
};

function lines(metrics: TcpMetrics): string[] {
  return metrics.families.flatMap((family) =>
    [...family.samples()].map(({ labels, sharedLabels, suffix = '', value }) => {
      const all = Object.entries({ ...sharedLabels, ...labels }).map(([name, text]) => `${name}=${text}`);
      return `${family.name}${suffix} ${all.join(' ')} ${value}`;
    }),
  );
}

test('each number has its family, with the labels of both ends', () => {
  const metrics = new TcpMetrics({ maxSeries: 100, buckets: [0.001, 1], reasons: ['refused', 'timeout', 'reset'] });
  for (let i = 0; i < 2; i++) {
    metrics.begin();
    metrics.flow(OWNER, TO, CHANGE);
  }
  const cart = 'namespace=shop pod=cart-0 service=cart';
  const to = `${cart} role=client dest_namespace=shop dest_service=stock dest_port=80`;
  const found = lines(metrics);
  for (const line of [
    `node_tcp_retransmits_total ${cart} dest_port=80 14`,
    `tcp_connections_opened_total ${to} 6`,
    `tcp_connections_failed_total ${to} reason=refused 4`,
    `tcp_connections_failed_total ${to} reason=reset 2`,
    // A gauge is what it is now.
    `tcp_connections_active ${cart} role=client 4`,
    `tcp_sent_bytes_total ${to} 2000`,
    `tcp_received_bytes_total ${to} 4000`,
    `tcp_connect_duration_seconds_bucket ${cart} dest_namespace=shop dest_service=stock dest_port=80 le=0.001 4`,
    `tcp_connect_duration_seconds_sum ${cart} dest_namespace=shop dest_service=stock dest_port=80 0.003`,
    `tcp_rtt_seconds_bucket ${cart} dest_namespace=shop dest_service=stock dest_port=80 le=1 0`,
    `tcp_rtt_seconds_count ${cart} dest_namespace=shop dest_service=stock dest_port=80 2`,
  ]) {
    assert.ok(found.includes(line), `${line}\nis not in\n${found.join('\n')}`);
  }
  metrics.begin();
  assert.ok(lines(metrics).includes(`tcp_connections_active ${cart} role=client 0`));
});

test('peers beyond the cap share a series', () => {
  const metrics = new TcpMetrics({ maxSeries: 10, buckets: [1], reasons: ['refused'] });
  const change = { ...CHANGE, failed: Float64Array.of(1) };
  for (let i = 0; i < 1000; i++) metrics.flow(OWNER, { ...TO, service: `s${i}` }, change);
  const opened = lines(metrics).filter((line) => line.startsWith('tcp_connections_opened_total'));
  assert.equal(opened.length, 11);
  assert.ok(opened.some((line) => line.includes('service=_overflow') && line.endsWith(' 2970')));
});
