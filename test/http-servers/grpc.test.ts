/**
 * gRPC's C++ core on both sides, by its Python binding: unary calls of all kinds of codes, 100 at a time on one connection, and
 * streams of requests, of responses, and of both.
 */

import assert from 'node:assert/strict';
import { fromRoot } from '../../src/root.ts';
import {
  type Exposition,
  freePort,
  makeCertificate,
  PYTHON,
  sleep,
  startAgent,
  temporaryFolder,
} from '../kernel/harness.ts';
import { makeUnit, runInUnit, type Unit } from '../kernel/unit.ts';
import { startReady } from './programs.ts';
import { serve } from './rows.ts';
import { seen } from './seen.ts';

const CALLS = 2000;
/** Of each kind. */
const STREAMS = 10;
const KINDS = 3;
const SETTLE_ROUNDS = 50;
const SCRIPT = fromRoot('fixtures/servers/grpc-calls.py');

/** `NOT_FOUND` -> `NotFound`, as the metrics spell it. */
const codeName = (name: string) =>
  name === 'OK'
    ? name
    : name
        .split('_')
        .map((word) => word[0] + word.slice(1).toLowerCase())
        .join('');

/** `METHOD CODE` -> calls of the service that the script serves. */
function calls(exposition: Exposition, role: 'server' | 'client', service: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { name, labels, value } of exposition.samples) {
    if (name !== `grpc_${role}_handling_seconds_count` || labels.service !== service) continue;
    assert.equal(labels.grpc_service, 'plainsight.Test');
    counts.set(`${labels.grpc_method} ${labels.grpc_code}`, value);
  }
  return counts;
}

const sum = (counts: ReadonlyMap<string, number>) => [...counts.values()].reduce((a, b) => a + b, 0);

for (const isTls of [false, true]) {
  const each = { server: 'gRPC (Python, C++ core)', protocol: 'gRPC', isTls, client: 'gRPC (Python, C++ core)' };
  serve({ ...each, packages: ['python3-grpcio'], what: 'unary calls and streams' }, async (t, row) => {
    const tls = isTls ? await makeCertificate(temporaryFolder(t)) : undefined;
    const port = await freePort();
    const secure = tls ? [tls.certificate, tls.key] : [];
    const server = await startReady(t, 'grpc', port, PYTHON, SCRIPT, 'server', String(port), ...secure);
    const agent = await startAgent(t);
    const ask = (unit: Unit, unary: number, streams: number) =>
      runInUnit(unit, [PYTHON, SCRIPT, 'client', String(port), String(unary), String(streams), ...secure.slice(0, 1)]);
    await seen(t, agent, server.service, async (unit) => void (await ask(unit, 1, 0)));
    const warm = calls(await agent.scrape(), 'server', server.service);

    const client = makeUnit(t, 'client');
    const expected = new Map(
      (await ask(client, CALLS, STREAMS))
        .trim()
        .split('\n')
        .map((line) => line.split(' '))
        .map(([method, code, count]) => [`${method} ${codeName(code!)}`, Number(count)]),
    );
    const sent = sum(expected);
    row.sent = sent;
    assert.equal(sent, CALLS + (1 + KINDS) * STREAMS);
    const served = new Map(expected);
    for (const [key, count] of warm) served.set(key, (served.get(key) ?? 0) + count);
    let exposition = await agent.scrape();
    for (let i = 0; i < SETTLE_ROUNDS; i++) {
      exposition = await agent.scrape();
      row.served = sum(calls(exposition, 'server', server.service)) - sum(warm);
      row.asked = sum(calls(exposition, 'client', client.name));
      if (row.served >= sent && row.asked >= sent) break;
      await sleep(100);
    }
    const sorted = (counts: ReadonlyMap<string, number>) => new Map([...counts].sort());
    assert.deepEqual(sorted(calls(exposition, 'client', client.name)), sorted(expected));
    assert.deepEqual(sorted(calls(exposition, 'server', server.service)), sorted(served));
    for (const [role, service] of [
      ['server', server.service],
      ['client', client.name],
    ] as const) {
      const labels = { service, role, kind: 'grpc' };
      assert.equal(exposition.sum('http_stream_duration_seconds_count', labels), KINDS * STREAMS, service);
    }
    assert.equal(exposition.sum('http_requests_incomplete_total', { service: client.name }), 0);
    assert.equal(exposition.lost(), 0);
  });
}
