import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Cluster } from '../../src/kubernetes/cluster.ts';
import { canonicalAddress } from '../../src/kubernetes/ip-address.ts';
import { parseEndpointSlice, parseNode, parsePod, parseService } from '../../src/kubernetes/objects.ts';
import type { Store } from '../../src/kubernetes/reflector.ts';
import type { ApiObject } from './api-server.ts';
import { nodeObject, type PodSample, podObject, serviceObject, sliceObject } from './samples.ts';

const A = 'a'.repeat(64);
const B = 'b'.repeat(64);
const ref = (containerId: string, podUid = '') => ({ containerId, podUid, outer: undefined });

function put<T>(store: Store<T>, parse: (object: unknown) => T | undefined, object: ApiObject): void {
  const value = parse(object);
  assert.ok(value);
  store.set(store.key(object)!, value);
}

function world(...pods: PodSample[]): Cluster {
  const cluster = new Cluster();
  for (const pod of pods) put(cluster.podStore, parsePod, podObject(pod));
  return cluster;
}

const web: PodSample = { uid: 'u1', name: 'web-6d4cf56db6-x2x9z', namespace: 'shop', containers: { nginx: A } };

describe('the label service', () => {
  const cases: readonly (readonly [string, Partial<PodSample>, string])[] = [
    ['the name of the pod, where nothing else is', {}, 'web-6d4cf56db6-x2x9z'],
    ['the ReplicaSet of nobody', { owner: { kind: 'ReplicaSet', name: 'plain' } }, 'plain'],
    [
      'the Deployment of the ReplicaSet',
      { owner: { kind: 'ReplicaSet', name: 'web-6d4cf56db6' }, labels: { 'pod-template-hash': '6d4cf56db6' } },
      'web',
    ],
    ['a StatefulSet', { owner: { kind: 'StatefulSet', name: 'db' } }, 'db'],
    ['not the node of a static pod', { owner: { kind: 'Node', name: 'node-1' } }, 'web-6d4cf56db6-x2x9z'],
    ['the label app', { owner: { kind: 'DaemonSet', name: 'x' }, labels: { app: 'front' } }, 'front'],
    ['the recommended label', { labels: { app: 'front', 'app.kubernetes.io/name': 'storefront' } }, 'storefront'],
  ];
  for (const [name, part, expected] of cases) {
    test(name, () => {
      const cluster = world({ ...web, ...part });
      assert.equal(cluster.serviceOf(cluster.pod('u1')!), expected);
    });
  }

  test('the Service that selects it, at once and by the slices; with an address before without', () => {
    const cluster = world({ ...web, labels: { app: 'front' }, ip: '10.244.1.7' });
    const service = () => cluster.serviceOf(cluster.pod('u1')!);
    put(cluster.serviceStore, parseService, serviceObject('shop', 'other', '10.96.0.9', { app: 'front', tier: 'x' }));
    put(cluster.serviceStore, parseService, serviceObject('other', 'front', '10.96.0.8', { app: 'front' }));
    put(cluster.serviceStore, parseService, serviceObject('shop', 'all', '10.96.0.7', {}));
    assert.equal(service(), 'front');
    put(cluster.serviceStore, parseService, serviceObject('shop', 'a-headless', 'None', { app: 'front' }));
    assert.equal(service(), 'a-headless');
    put(cluster.serviceStore, parseService, serviceObject('shop', 'web', '10.96.0.1', { app: 'front' }));
    assert.equal(service(), 'web');
    cluster.serviceStore.delete('shop/web');
    cluster.serviceStore.delete('shop/a-headless');
    assert.equal(service(), 'front');
    // Without a selector: endpoints that somebody keeps by hand.
    const slice = sliceObject('shop', 'manual', 'x1', [{ ip: '10.244.1.7', pod: web.name }]);
    put(cluster.sliceStore, parseEndpointSlice, slice);
    assert.equal(service(), 'manual');
    cluster.sliceStore.delete('shop/manual-x1');
    assert.equal(service(), 'front');
  });
});

describe('pods', () => {
  test('by container, by uid before the container is told of, and by the hash of a static pod', () => {
    const cluster = world(
      web,
      { ...web, uid: 'u2', name: 'two', containers: { x: '', y: '' } },
      {
        ...web,
        uid: 'u3',
        name: 'static',
        annotations: { 'kubernetes.io/config.hash': 'h3' },
        containers: { etcd: '' },
      },
    );
    assert.equal(cluster.find(ref(A))?.container, 'nginx');
    assert.equal(cluster.find(ref(A))?.pod.name, web.name);
    assert.deepEqual([cluster.find(ref(B, 'u2'))?.pod.name, cluster.find(ref(B, 'u2'))?.container], ['two', '']);
    // Its only container needs no status.
    assert.equal(cluster.find(ref(B, 'h3'))?.container, 'etcd');
    assert.equal(cluster.find(ref(B, 'u9')), undefined);
    assert.equal(cluster.find({ containerId: B, podUid: 'inner', outer: ref(A) })?.container, 'nginx');
  });

  test('one that is gone stays for a minute; of one with its name nothing is mixed up', () => {
    let now = 1_000;
    const cluster = new Cluster(() => now);
    const ended: string[] = [];
    cluster.listener = { ...cluster.listener, podEnded: ({ uid }) => ended.push(uid) };
    put(cluster.podStore, parsePod, podObject(web));
    put(cluster.podStore, parsePod, podObject({ ...web, uid: 'u2', containers: { nginx: B } }));
    cluster.podStore.delete('u1');
    assert.deepEqual(ended, ['u1']);
    assert.equal(cluster.find(ref(A))?.pod.uid, 'u1');
    assert.equal(cluster.find(ref(B))?.pod.uid, 'u2');
    now = 62_000;
    assert.equal(cluster.find(ref(A, 'u1')), undefined);
    assert.equal(cluster.find(ref(B))?.pod.uid, 'u2');
    assert.equal(cluster.resolvePeer('10.244.1.7', 80).kind, 'workload');
  });

  test('the container before a restart is still its own', () => {
    const cluster = world(web);
    put(cluster.podStore, parsePod, podObject({ ...web, containers: { nginx: B } }));
    assert.equal(cluster.find(ref(A))?.container, 'nginx');
    assert.equal(cluster.find(ref(B))?.container, 'nginx');
  });

  test('a pod that has ended is told of once, and its address may be another’s', () => {
    const cluster = new Cluster();
    const calls: string[] = [];
    cluster.listener = {
      ...cluster.listener,
      podFound: ({ uid }) => calls.push(`+${uid}`),
      podEnded: ({ uid }) => calls.push(`-${uid}`),
    };
    put(cluster.podStore, parsePod, podObject(web));
    put(cluster.podStore, parsePod, podObject({ ...web, phase: 'Succeeded' }));
    put(cluster.podStore, parsePod, podObject({ ...web, phase: 'Succeeded' }));
    cluster.podStore.delete('u1');
    assert.deepEqual(calls, ['+u1', '-u1']);
  });
});

describe('peers', () => {
  test('pods, services, nodes, host ports, and everybody else', () => {
    const cluster = world(
      { ...web, labels: { app: 'front' } },
      { ...web, uid: 'u2', name: 'proxy', hostNetwork: true },
    );
    put(cluster.serviceStore, parseService, serviceObject('shop', 'web', '10.96.0.1', { app: 'front' }));
    put(cluster.serviceStore, parseService, serviceObject('shop', 'web6', 'FD00::1', {}));
    put(cluster.nodeStore, parseNode, nodeObject('node-1', '192.168.10.11', 'fe80::1%eth0'));
    const remote = sliceObject('pay', 'api', 'k2', [{ ip: '10.244.2.3', pod: 'api-0', node: 'node-2' }], 9000);
    put(cluster.sliceStore, parseEndpointSlice, remote);
    const host = sliceObject('net', 'proxy', 'h1', [{ ip: '192.168.10.11', pod: 'proxy' }], 8443);
    put(cluster.sliceStore, parseEndpointSlice, host);
    const peer = (address: string, port = 80) => {
      const found = cluster.resolvePeer(address, port);
      return found.kind === 'workload' ? `${found.namespace}/${found.service}/${found.pod}` : found.kind;
    };
    assert.equal(peer('10.244.1.7'), `shop/web/${web.name}`);
    assert.equal(peer('::ffff:10.244.1.7'), `shop/web/${web.name}`);
    assert.equal(peer('10.96.0.1'), 'shop/web/');
    assert.equal(peer('fd00:0::1'), 'shop/web6/');
    assert.equal(peer('10.244.2.3', 9000), 'pay/api/api-0');
    assert.equal(peer('10.244.2.3', 41234), 'pay/api/api-0');
    assert.equal(peer('192.168.10.11', 8443), 'net/proxy/proxy');
    assert.equal(peer('192.168.10.11', 22), 'node');
    assert.equal(peer('198.51.100.7'), 'external');
    assert.equal(peer('not an address'), 'external');
    cluster.sliceStore.delete('pay/api-k2');
    cluster.nodeStore.delete('node-1');
    assert.equal(peer('10.244.2.3', 9000), 'external');
    assert.equal(peer('192.168.10.11', 22), 'net/proxy/proxy');
  });

  test('one pod of several services is that of the port', () => {
    const cluster = new Cluster();
    const endpoints = [{ ip: '10.244.2.3', pod: 'api-0', node: 'node-2' }];
    put(cluster.sliceStore, parseEndpointSlice, sliceObject('pay', 'api', '1', endpoints, 9000));
    put(cluster.sliceStore, parseEndpointSlice, sliceObject('pay', 'admin', '1', endpoints, 9001));
    const service = (port: number) => {
      const peer = cluster.resolvePeer('10.244.2.3', port);
      return peer.kind === 'workload' ? peer.service : '';
    };
    assert.deepEqual([9000, 9001, 50000].map(service), ['api', 'admin', 'admin']);
  });
});

test('objects that are not what they should be', () => {
  const wrong: unknown[] = [
    null,
    1,
    'x',
    [],
    {},
    { metadata: null },
    { metadata: { name: 1, namespace: [], uid: {} } },
  ];
  for (const object of wrong) {
    for (const parse of [parsePod, parseService, parseEndpointSlice, parseNode]) assert.equal(parse(object), undefined);
  }
  const metadata = { uid: 'u', name: 'n', namespace: 'ns', labels: [1], annotations: 'x', ownerReferences: {} };
  const spec = { containers: 'x', hostNetwork: 'yes' };
  const status = {
    podIPs: [null, { ip: 'x' }, { ip: 7 }],
    containerStatuses: [null, { name: 'c', containerID: 'bad' }],
  };
  const pod = parsePod({ metadata, spec, status });
  assert.deepEqual([pod?.addresses, pod?.containers.size, pod?.workload, pod?.enabled], [[], 0, 'n', true]);
  assert.equal(
    parseEndpointSlice({ metadata, endpoints: [null, { addresses: ['x', 1] }], ports: [{ port: '80' }] })?.endpoints
      .length,
    0,
  );
  assert.equal(canonicalAddress('fe80::1%eth0'), '');
});
