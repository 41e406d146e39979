import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readSelection, SummaryBoard, type SummarySource } from '../../src/summary/summary.ts';
import { owner, transaction } from '../metrics/traffic.ts';

interface Fake {
  now: number;
  cpu: number;
  captured: number;
}

function board(fake: Fake, source: Partial<SummarySource> = {}): SummaryBoard {
  return new SummaryBoard({
    identity: { version: '1.2.3', kernel: '6.1', arch: 'x64', node: 'node-1' },
    buckets: [0.01, 0.1],
    graph: false,
    now: () => fake.now,
    source: {
      features: () => [{ feature: 'tls', enabled: true, reason: '' }],
      lost: () => ({ ring: 3, missed: 0 }),
      connections: () => ({ connection: 7 }),
      tlsProcesses: () => [],
      series: () => [
        { metric: 'a', held: 10, overflowed: 0 },
        { metric: 'b', held: 5, overflowed: 2 },
      ],
      cpuMicroseconds: () => fake.cpu,
      residentBytes: () => 50_000_000,
      capturedBytes: () => fake.captured,
      ...source,
    },
  });
}

const ALL = { role: 'server', of: null } as const;
const fake = () => ({ now: 0, cpu: 400_000, captured: 1_000 });

describe('the summary', () => {
  test('is JSON without loss', () => {
    const summary = board(fake()).render(ALL);
    assert.deepEqual(JSON.parse(JSON.stringify(summary)), summary);
  });

  test('the cost counts from the start of the agent, not of the process', () => {
    const time = fake();
    const summary = board(time);
    time.now = 2_000;
    time.cpu += 100_000;
    time.captured += 4_000;
    const { cost } = summary.render(ALL);
    assert.equal(cost.cpu, 0.05);
    assert.equal(cost.capturedBytesPerSecond, 2_000);
    assert.deepEqual([cost.series, cost.connections, cost.residentBytes], [15, 7, 50_000_000]);
  });

  test('rates and costs count from the moment at which the probes are there', () => {
    const time = fake();
    const summary = board(time);
    time.now = 3_000;
    time.cpu += 900_000;
    summary.begin();
    time.now = 5_000;
    time.cpu += 100_000;
    summary.sink.transaction(transaction());
    const { cost, all, windowSeconds } = summary.render(ALL);
    assert.deepEqual([windowSeconds, cost.cpu, all.server.requestsPerSecond], [2, 0.05, 0.5]);
  });

  test('bytes of TLS are passed on, and added up beyond the limit', () => {
    const workload = { namespace: 'shop', pod: 'web-1', container: 'web', plaintext: 3, ciphertext: 5 };
    assert.equal(board(fake()).render(ALL).tls.bytes, null);
    assert.deepEqual(board(fake(), { tlsBytes: () => [workload] }).render(ALL).tls.bytes, [workload]);
    const many = board(fake(), { tlsBytes: () => Array.from({ length: 510 }, () => workload) }).render(ALL).tls.bytes!;
    assert.equal(many.length, 501);
    assert.deepEqual(many.at(-1), { namespace: '', pod: '', container: '', plaintext: 30, ciphertext: 50 });
  });

  test('steps, histories and their times are of one length', () => {
    const time = fake();
    const summary = board(time);
    for (let i = 0; i < 3; i++) {
      time.now += 5_000;
      time.cpu += 250_000;
      summary.advance();
    }
    summary.sink.transaction(transaction());
    const { steps, cost, detail, all, windowSeconds, uptimeSeconds } = summary.render(ALL);
    assert.equal(steps.length, 3);
    assert.deepEqual([steps[1]! - steps[0]!, steps[2]! - steps[1]!], [5, 5]);
    assert.deepEqual(cost.cpuHistory, [0.05, 0.05, 0.05]);
    assert.equal(detail?.requestsPerSecond.length, 3);
    assert.equal(all.server.sparkline.length, 3);
    assert.deepEqual([windowSeconds, uptimeSeconds], [15, 15]);
  });

  test('losses of all kinds are there', () => {
    const summary = board(fake());
    summary.sink.incomplete(owner(), 'server', 'reset');
    summary.sink.incomplete(owner(), 'client', 'reset');
    const { losses } = summary.render(ALL);
    assert.deepEqual(losses.events, [
      { stage: 'ring', count: 3 },
      { stage: 'missed', count: 0 },
    ]);
    assert.deepEqual(losses.incomplete, [{ reason: 'reset', count: 2 }]);
    assert.deepEqual(losses.overflow, [{ metric: 'b', count: 2 }]);
  });

  test('TLS processes of one service in one state are one line, and there is a limit', () => {
    const state = { namespace: '', service: 'web', library: 'openssl', version: '3', state: 'attached', reason: '' };
    const blind = { ...state, library: '', state: 'unsupported', reason: 'no known TLS library' };
    const many = Array.from({ length: 1_000 }, (_, index) => ({ ...state, service: `s${index}` }));
    const { tls } = board(fake(), { tlsProcesses: () => [state, state, blind, ...many] }).render(ALL);
    assert.deepEqual(tls.processes[0], { ...state, processes: 2 });
    assert.deepEqual(tls.processes[1], { ...blind, processes: 1 });
    assert.equal(tls.processes.length, 500);
    assert.equal(tls.bytes, null);
  });
});

describe('what a query selects', () => {
  const select = (query: string) => readSelection(new URLSearchParams(query));

  test('all that the node received, unless it says otherwise', () => {
    assert.deepEqual(select(''), { role: 'server', of: null });
    assert.deepEqual(select('role=x&namespace=shop'), { role: 'server', of: null });
    assert.deepEqual(select('role=client'), { role: 'client', of: null });
    assert.deepEqual(select('service=web'), { role: 'server', of: { namespace: '', service: 'web' } });
    assert.deepEqual(select('service=&namespace=a'), { role: 'server', of: { namespace: 'a', service: '' } });
  });

  test('nothing of the query comes back', () => {
    const { detail } = board(fake()).render(select('service=canary-4711'));
    assert.equal(detail, null);
  });
});
