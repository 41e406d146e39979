import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Edges, quantile } from '../../src/graph/edges.ts';
import { RequestEdges } from '../../src/graph/requests.ts';
import type { ConnectionInfo, Owner, Peer, Role, Transaction } from '../../src/stream/contract.ts';

const owner = (service: string): Owner => ({ pid: 1, comm: service, namespace: '', pod: '', container: '', service });
const EXTERNAL: Peer = { namespace: '', service: 'external', kind: 'external' };

function world(serverPeer: Peer = EXTERNAL) {
  let nowMs = 1000;
  const edges = new Edges([0.1, 1], () => nowMs);
  const peers = { netnsFor: () => 0, serverOf: () => serverPeer, clientOf: () => EXTERNAL };
  const requests = new RequestEdges(edges, peers, () => nowMs);
  const later = (ms: number) => {
    nowMs += ms;
    requests.tick();
  };
  const told = () =>
    [...edges.all()].map(({ client, server, requests: count, failed, clientTimes, serverTimes, connectionType }) => ({
      edge: `${client.service} > ${server.service}`,
      count,
      failed,
      times: [clientTimes, serverTimes].map(({ counts }) => counts.reduce((a, b) => a + b, 0)),
      connectionType,
    }));
  return { requests, later, told };
}

let ids = 0;
function connection(service: string, local?: string, remote?: string): ConnectionInfo {
  return { id: ids++, owner: owner(service), scheme: 'http', local, remote };
}

function ask(info: ConnectionInfo, role: Role, status = 200): Transaction {
  return {
    connection: info,
    owner: info.owner,
    role,
    method: 'GET',
    status,
    version: '1.1',
    timeNs: 0,
    durationNs: 50_000_000,
  };
}

const CLIENT = '10.0.0.1:50000';
const SERVER = '10.0.0.2:80';

for (const first of ['server', 'client'] as const) {
  test(`both ends are traced, the ${first} tells first: each request counts once, with both durations`, () => {
    const { requests, later, told } = world();
    const client = connection('shop', CLIENT, SERVER);
    const server = connection('stock', SERVER, CLIENT);
    for (let i = 0; i < 5; i++) {
      const status = i === 0 ? 503 : 200;
      const pair = [ask(server, 'server', status), ask(client, 'client', status)];
      for (const transaction of first === 'server' ? pair : pair.reverse()) requests.transaction(transaction);
    }
    later(3000);
    assert.deepEqual(told(), [{ edge: 'shop > stock', count: 5, failed: 1, times: [5, 5], connectionType: '' }]);
  });
}

test('one end alone: counted after a while, the other end by its address', () => {
  const { requests, later, told } = world();
  const client = connection('shop', CLIENT, SERVER);
  requests.transaction(ask(client, 'client'));
  assert.deepEqual(told(), []);
  later(3000);
  requests.transaction(ask(client, 'client'));
  later(3000);
  requests.transaction(ask(connection('stock', SERVER, '192.0.2.1:1'), 'server'));
  later(3000);
  assert.deepEqual(told(), [
    { edge: 'shop > external', count: 2, failed: 0, times: [2, 0], connectionType: 'virtual_node' },
    { edge: 'external > stock', count: 1, failed: 0, times: [0, 1], connectionType: 'virtual_node' },
  ]);
});

test('a virtual address: the accepting end is found by the client, and is the truth', () => {
  const { requests, later, told } = world({ namespace: '', service: 'vip', kind: 'workload', virtual: true });
  const client = connection('shop', CLIENT, '10.96.0.1:80');
  const server = connection('stock', SERVER, CLIENT);
  requests.transaction(ask(client, 'client'));
  requests.transaction(ask(server, 'server'));
  later(3000);
  assert.deepEqual(told(), [{ edge: 'shop > stock', count: 1, failed: 0, times: [1, 1], connectionType: '' }]);
});

test('a port that is used again is another connection', () => {
  const { requests, later, told } = world();
  for (const service of ['shop', 'cart']) {
    requests.transaction(ask(connection(service, CLIENT, SERVER), 'client'));
    requests.transaction(ask(connection('stock', SERVER, CLIENT), 'server'));
    later(3000);
  }
  assert.deepEqual(
    told().map(({ edge, count }) => [edge, count]),
    [
      ['shop > stock', 1],
      ['cart > stock', 1],
    ],
  );
});

test('no address, no edge: counted as unresolved; the agent is in no edge', () => {
  const { requests, later, told } = world({ namespace: '', service: 'plainsight', kind: 'agent' });
  requests.transaction(ask(connection('shop'), 'client'));
  requests.transaction(ask(connection('curl', CLIENT, '127.0.0.1:9090'), 'client'));
  later(3000);
  assert.deepEqual(told(), []);
  assert.equal(requests.unresolved, 1);
});

test('beyond the limit there is one edge more', () => {
  const edges = new Edges([1], () => 0, 2);
  for (let i = 0; i < 100; i++) edges.edge(owner(`a${i}`), owner('b'), '').requests++;
  assert.deepEqual([edges.size, edges.overflowed], [3, 98]);
  assert.deepEqual(
    [...edges.all()].map(({ client, requests }) => [client.service, requests]),
    [
      ['a0', 1],
      ['a1', 1],
      ['_overflow', 98],
    ],
  );
});

test('rates are of the last while, quantiles straight within a bucket', () => {
  let nowMs = 0;
  const edges = new Edges([0.1, 1], () => nowMs);
  const edge = edges.edge(owner('a'), owner('b'), '');
  for (let s = 0; s < 120; s += 5) {
    nowMs = s * 1000;
    edges.mark();
    edge.requests += 50;
    edges.observe(edge.serverTimes, 5e7);
  }
  nowMs = 120_000;
  const [rates] = [...edges.rates()];
  assert.equal(rates?.requestsPerSecond, 10);
  assert.ok(Math.abs((rates?.p50 ?? 0) - 0.05) < 1e-9);
  assert.equal(quantile([0.1, 1], [1, 1, 2], 0.25), 0.1);
  assert.equal(quantile([0.1, 1], [1, 1, 2], 0.99), 1);
  assert.equal(quantile([0.1, 1], [0, 0, 0], 0.5), undefined);
});
