import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConnectionInfo, Transaction } from '../../src/stream/contract.ts';
import { LatePeers } from '../../src/stream/late-peers.ts';

const owner = { pid: 1, comm: 'x', namespace: '', pod: '', container: '', service: 'x' };

function connection(id: number, scheme: 'http' | 'https' = 'https', remote?: string): ConnectionInfo {
  return { id, owner, scheme, local: undefined, remote };
}

function transaction(of: ConnectionInfo, status = 200): Transaction {
  return {
    connection: of,
    owner,
    role: 'server',
    method: 'GET',
    status,
    version: '1.1',
    timeNs: 0,
    durationNs: 1,
  };
}

class Fixture {
  readonly seen: string[] = [];
  readonly late = new LatePeers({
    transaction: ({ connection: { id, remote }, status }) => this.seen.push(`${id} ${status} ${remote}`),
    incomplete: (_, role, reason) => this.seen.push(`${role} ${reason}`),
    stream: ({ kind }) => this.seen.push(kind),
  });

  constructor() {
    this.late.tick(1000);
  }
}

test('a transaction whose peer is not known waits for it, at least 50 ms', () => {
  const { late, seen } = new Fixture();
  const info = connection(1);
  late.transaction(transaction(info));
  for (const nowMs of [1049, 1050, 1099]) late.tick(nowMs);
  assert.deepEqual(seen, []);
  info.remote = '10.0.0.2:5000';
  late.tick(1100);
  assert.deepEqual(seen, ['1 200 10.0.0.2:5000']);
});

test('what is known, or cannot become known, passes at once', () => {
  const { late, seen } = new Fixture();
  late.transaction(transaction(connection(1, 'http')));
  late.transaction(transaction(connection(2, 'https', '10.0.0.2:1')));
  late.incomplete(owner, 'client', 'reset');
  late.stream({ ...transaction(connection(3)), kind: 'sse' });
  assert.deepEqual(seen, ['1 200 undefined', '2 200 10.0.0.2:1', 'client reset', 'sse']);
});

test('a connection waits once', () => {
  const { late, seen } = new Fixture();
  const info = connection(1);
  late.transaction(transaction(info, 201));
  late.transaction(transaction(info, 202));
  late.release();
  late.transaction(transaction(info, 203));
  assert.deepEqual(seen, ['1 202 undefined', '1 201 undefined', '1 203 undefined']);
});

test('at the end everything is handed on, in order, once', () => {
  const { late, seen } = new Fixture();
  late.transaction(transaction(connection(1)));
  late.tick(1060);
  late.transaction(transaction(connection(2)));
  late.release();
  late.tick(2000);
  late.tick(3000);
  assert.deepEqual(seen, ['1 200 undefined', '2 200 undefined']);
});

test('no more than 4096 wait', () => {
  const { late, seen } = new Fixture();
  for (let id = 0; id < 5000; id++) late.transaction(transaction(connection(id)));
  assert.equal(seen.length, 5000 - 4096);
});
