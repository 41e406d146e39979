import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cluster } from '../../src/kubernetes/cluster.ts';
import { LateTransactions } from '../../src/kubernetes/late-transactions.ts';
import { parsePod } from '../../src/kubernetes/objects.ts';
import { ContainerOwners, LATE_MS } from '../../src/kubernetes/owners.ts';
import { Scope, type ScopeRules } from '../../src/kubernetes/scope.ts';
import type { Place } from '../../src/process/process-table.ts';
import type { ConnectionInfo, Owner, Transaction } from '../../src/stream/contract.ts';
import { type PodSample, podObject } from './samples.ts';

const A = 'a'.repeat(64);
const B = 'b'.repeat(64);
const HOST_NETWORK = 100;
const web: PodSample = { uid: 'u1', name: 'web-0', namespace: 'shop', containers: { nginx: A, side: '' } };

function world(options: { rules?: Partial<ScopeRules>; max?: number } = {}) {
  let nowMs = 1000;
  const cluster = new Cluster(() => nowMs);
  const places = new Map<Owner, Place>();
  const gate = { setDefaultScope() {}, setScope() {}, renewDecisions() {} };
  const scope = new Scope({
    cluster,
    gate,
    paths: { isRootOfPods: () => false, podOfCgroup: () => '' },
    rules: { includeNamespaces: [], excludeNamespaces: [], ...options.rules },
    report: () => assert.fail('nothing is written'),
  });
  const place = (owner: Owner) => places.get(owner)!;
  const now = () => nowMs;
  const owners = new ContainerOwners({ cluster, scope, place, hostNamespace: HOST_NETWORK, now });
  cluster.listener = { ...cluster.listener, podEnded: (pod) => owners.podEnded(pod) };
  const seen: string[] = [];
  const show = ({ namespace, pod, container, service }: Owner) => [namespace, pod, container, service].join('/');
  const late = new LateTransactions({
    label: (owner) => owners.label(owner),
    sink: {
      transaction: ({ owner }) => seen.push(show(owner)),
      incomplete: (owner, _, reason) => seen.push(`${reason} ${show(owner)}`),
      stream: ({ owner, kind }) => seen.push(`${kind} ${show(owner)}`),
    },
    ...(options.max === undefined ? {} : { max: options.max }),
  });
  let pid = 0;
  const process = (containerId: string, podUid = '', networkNamespace = 0) => {
    const owner = { pid: ++pid, comm: 'nginx', namespace: '', pod: '', container: '', service: 'nginx' };
    const container = containerId === '' && podUid === '' ? undefined : { containerId, podUid, outer: undefined };
    places.set(owner, { unit: '', container, networkNamespace });
    return owner;
  };
  const connection = (owner: Owner): ConnectionInfo => ({ id: pid, owner, scheme: 'http', local: '', remote: '' });
  const request = (on: ConnectionInfo): Transaction => ({
    ...{ connection: on, owner: on.owner, role: 'server', method: 'GET', status: 200 },
    ...{ version: '1.1', timeNs: 0, durationNs: 1 },
  });
  return {
    ...{ cluster, owners, late, seen, process, connection },
    send: (on: ConnectionInfo) => late.transaction(request(on)),
    pod: (sample: PodSample) => cluster.podStore.set(sample.uid, parsePod(podObject(sample))!),
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

test('a pod that is known has its labels at once; its connection keeps them', () => {
  const { pod, process, connection, send, seen, late } = world();
  pod(web);
  const on = connection(process(A, 'u1'));
  send(on);
  const { owner } = on;
  send(on);
  assert.deepEqual(seen, ['shop/web-0/nginx/web-0', 'shop/web-0/nginx/web-0']);
  // One object, on which the metrics' fast path rests.
  assert.equal(on.owner, owner);
  assert.equal(owner.pod, 'web-0');
  assert.equal(late.waiting, 0);
});

test('metadata that is late: what came before it waits, in order', () => {
  const { pod, process, connection, send, seen, late } = world();
  const on = connection(process(A, 'u1'));
  send(on);
  late.incomplete(on.owner, 'server', 'reset');
  late.stream({ connection: on, owner: on.owner, role: 'server', kind: 'sse', timeNs: 0, durationNs: 1 });
  late.release();
  assert.deepEqual([seen, late.waiting], [[], 3]);
  // The pod first, without the name of the container, then with it.
  pod({ ...web, containers: { nginx: '', side: '' } });
  late.release();
  assert.equal(late.waiting, 3);
  pod(web);
  late.release();
  assert.deepEqual(seen, ['shop/web-0/nginx/web-0', 'reset shop/web-0/nginx/web-0', 'sse shop/web-0/nginx/web-0']);
});

test('metadata that never comes: the labels of the node after a minute, with the reason', () => {
  const { process, connection, send, seen, late, pass, pod } = world();
  const on = connection(process(A, 'u1'));
  send(on);
  pass(LATE_MS - 1);
  late.release();
  assert.deepEqual(seen, []);
  pass(1);
  late.release();
  send(on);
  assert.deepEqual(seen, ['///nginx', '///nginx']);
  assert.deepEqual([...late.fallbacks], [['unknown_pod', 1]]);
  // Later still it is right again.
  pod(web);
  send(on);
  assert.equal(seen.at(-1), 'shop/web-0/nginx/web-0');
});

test('a full queue: nothing is lost', () => {
  const { process, connection, send, seen, late } = world({ max: 2 });
  const on = connection(process(A, 'u1'));
  for (let i = 0; i < 5; i++) send(on);
  assert.deepEqual([seen.length, late.waiting, late.fallbacks.get('queue_full')], [3, 2, 3]);
  late.flush();
  assert.deepEqual([seen.length, late.waiting, late.fallbacks.get('stopped')], [5, 0, 2]);
});

test('processes of the node, and containers of no pod, do not wait', () => {
  const { process, connection, send, seen } = world();
  send(connection(process('')));
  send(connection(process(B)));
  assert.deepEqual(seen, ['///nginx', '///nginx']);
});

test('labels that change are another owner; the same pid in another container is another, too', () => {
  const { cluster, pod, process, connection, send, seen } = world();
  pod(web);
  const on = connection(process(A, 'u1'));
  send(on);
  const before = on.owner;
  cluster.serviceStore.set('shop/front', {
    ...{ namespace: 'shop', name: 'front', addresses: [], headless: false },
    selector: [],
  });
  send(on);
  assert.equal(on.owner, before);
  pod({ ...web, labels: { app: 'front' } });
  send(on);
  assert.notEqual(on.owner, before);
  assert.equal(seen.at(-1), 'shop/web-0/nginx/front');
});

test('what is out of scope ends here, known or not', () => {
  const excluded = world({ rules: { excludeNamespaces: ['shop'] } });
  excluded.pod(web);
  excluded.send(excluded.connection(excluded.process(A, 'u1')));
  const unknown = excluded.connection(excluded.process(B, 'u2'));
  excluded.send(unknown);
  excluded.pass(LATE_MS);
  excluded.late.release();
  assert.deepEqual([excluded.seen, excluded.late.excluded], [[], 2]);
  const included = world({ rules: { includeNamespaces: ['pay'] } });
  included.send(included.connection(included.process('')));
  assert.deepEqual([included.seen, included.late.excluded], [[], 1]);
});

test('the network namespace stands in for a cgroup that says nothing, and never speaks against one', () => {
  const { pod, process, connection, send, seen, owners, cluster } = world();
  pod(web);
  pod({ ...web, uid: 'u2', name: 'web-1', containers: { nginx: B } });
  send(connection(process(A, 'u1', 500)));
  send(connection(process('', '', 500)));
  send(connection(process('', '', HOST_NETWORK)));
  assert.deepEqual(seen.splice(0), ['shop/web-0/nginx/web-0', 'shop/web-0//web-0', '///nginx']);
  send(connection(process(B, 'u2', 500)));
  assert.deepEqual(seen.splice(0), ['shop/web-1/nginx/web-1']);
  assert.equal(owners.conflicts, 1);
  // Inodes of namespaces are used again.
  cluster.podStore.delete('u1');
  send(connection(process('', '', 500)));
  assert.deepEqual(seen, ['///nginx']);
});
