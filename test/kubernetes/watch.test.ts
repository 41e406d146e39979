/** The whole way from the API server to labels, over HTTPS. */

import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { inClusterAccess } from '../../src/kubernetes/access.ts';
import { Kubernetes } from '../../src/kubernetes/kubernetes.ts';
import { temporaryFolder, until } from '../kernel/harness.ts';
import { ApiServer } from './api-server.ts';
import { namespaceObject, nodeObject, podObject, serviceObject, sliceObject } from './samples.ts';

const A = 'a'.repeat(64);
const web = { uid: 'u1', name: 'web-0', namespace: 'shop', containers: { nginx: A }, labels: { app: 'web' } };
const TIMING = { minDelayMs: 10, maxDelayMs: 80, healthyMs: 150, random: () => 0.5 };

interface World {
  readonly kubernetes: Kubernetes;
  readonly log: string[];
  /** Of the service account. */
  readonly folder: string;
  problem(resource: string): string;
}

function connect(t: TestContext, server: ApiServer): World {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'token'), `${server.token}\n`);
  copyFileSync(server.authority, join(folder, 'ca.crt'));
  const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(server.port) };
  const log: string[] = [];
  const kubernetes = new Kubernetes(inClusterAccess(env, folder), {
    nodeName: 'node-1',
    log: { info: (line) => log.push(line), warn: (line) => log.push(line) },
    timing: TIMING,
  });
  kubernetes.start();
  t.after(() => kubernetes.stop());
  const problem = (name: string) => kubernetes.states().find(({ resource }) => resource === name)?.problem ?? '?';
  return { kubernetes, log, folder, problem };
}

const synced = (kubernetes: Kubernetes) =>
  until('the lists have arrived', () => kubernetes.states().every(({ synced }) => synced) || undefined);
const podName = (kubernetes: Kubernetes, uid = 'u1') => kubernetes.cluster.pod(uid)?.name;
const becomes = (what: string, check: () => boolean) => until(what, () => check() || undefined);

describe('what the server holds', () => {
  test('is listed, then watched; only pods of this node are asked for', async (t) => {
    const server = await ApiServer.start(t);
    server.put('pods', podObject(web));
    server.put('pods', podObject({ ...web, uid: 'u9', name: 'far', node: 'node-2' }));
    server.put('namespaces', namespaceObject('shop'));
    const { kubernetes, log } = connect(t, server);
    await synced(kubernetes);
    assert.equal(podName(kubernetes), 'web-0');
    assert.equal(podName(kubernetes, 'u9'), undefined);
    await becomes('all watches', () => server.watchers === 5);
    server.put('services', serviceObject('shop', 'front', '10.96.0.1', { app: 'web' }));
    await becomes('the service', () => kubernetes.cluster.serviceOf(kubernetes.cluster.pod('u1')!) === 'front');
    server.remove('pods', podObject(web));
    await becomes('the pod is gone', () => kubernetes.cluster.sizes().pods === 0);
    assert.deepEqual(log, []);
    assert.ok(server.requests.every((line) => !line.startsWith('pods') || line.includes('spec.nodeName%3Dnode-1')));
  });

  test('10,000 endpoints come in pages', async (t) => {
    const server = await ApiServer.start(t);
    for (let i = 0; i < 1000; i++) {
      const endpoints = Array.from({ length: 10 }, (_, j) => ({
        ip: `10.${(i >> 8) + 1}.${i & 255}.${j}`,
        pod: `p-${i}-${j}`,
      }));
      server.put('endpointslices', sliceObject('shop', `s${i}`, 'x', endpoints));
    }
    const { kubernetes } = connect(t, server);
    await synced(kubernetes);
    assert.equal(kubernetes.cluster.sizes().endpoints, 10_000);
    assert.equal(server.requests.filter((line) => /^endpointslices .*continue=/.test(line)).length, 1);
    assert.deepEqual(kubernetes.cluster.resolvePeer('10.4.7.3', 8080), {
      kind: 'workload',
      namespace: 'shop',
      service: 's775',
      pod: 'p-775-3',
    });
  });
});

describe('what goes wrong on the way', () => {
  test('connections that drop, and watches that end: nothing is missed and nothing is listed again', async (t) => {
    const server = await ApiServer.start(t);
    const { kubernetes, log } = connect(t, server);
    await synced(kubernetes);
    for (let i = 0; i < 4; i++) {
      await becomes('the watch', () => server.watchers === 5);
      if (i % 2) server.dropConnections();
      else server.endWatches();
      server.put('pods', podObject({ ...web, uid: `d${i}`, name: `web-${i}` }));
      await becomes('the pod', () => podName(kubernetes, `d${i}`) !== undefined);
    }
    assert.equal(server.requests.filter((line) => /^pods(?!.*watch=1)/.test(line)).length, 1);
    await becomes('all is well', () => kubernetes.states().every(({ problem }) => problem === ''));
    assert.ok(log.length <= 20, log.join('\n'));
  });

  test('410: a new list, in which what is gone is gone', async (t) => {
    const server = await ApiServer.start(t);
    server.put('pods', podObject(web));
    const { kubernetes } = connect(t, server);
    await synced(kubernetes);
    await becomes('the watch', () => server.watchers === 5);
    await server.close();
    server.remove('pods', podObject(web));
    server.put('pods', podObject({ ...web, uid: 'u2', name: 'web-1' }));
    server.compact();
    await server.listen();
    await becomes('the new pod', () => podName(kubernetes, 'u2') === 'web-1');
    assert.equal(kubernetes.cluster.sizes().pods, 1);
    // In the middle of a watch, too.
    server.sendStatus(410);
    server.put('pods', podObject({ ...web, uid: 'u3', name: 'web-2' }));
    await becomes('the next pod', () => podName(kubernetes, 'u3') === 'web-2');
  });

  test('a bookmark is where a watch goes on', async (t) => {
    const server = await ApiServer.start(t);
    const { kubernetes } = connect(t, server);
    await synced(kubernetes);
    await becomes('the watch', () => server.watchers === 5);
    server.compact();
    server.bookmark();
    await new Promise((resolve) => setTimeout(resolve, 50));
    server.endWatches();
    await becomes('the watch again', () => server.watchers === 5);
    assert.equal(
      kubernetes.states().reduce((sum, { failures }) => sum + (failures.get('expired') ?? 0), 0),
      0,
    );
  });

  test('the token is read anew', async (t) => {
    const server = await ApiServer.start(t);
    const { kubernetes, folder, log, problem } = connect(t, server);
    await synced(kubernetes);
    server.token = 'second-token';
    server.dropConnections();
    await becomes('the refusal', () => problem('pods') === 'unauthorized');
    writeFileSync(join(folder, 'token'), 'second-token');
    server.put('pods', podObject(web));
    await becomes('the pod', () => podName(kubernetes) === 'web-0');
    await becomes('all is well', () => kubernetes.states().every(({ problem }) => problem === ''));
    assert.ok(log.every((line) => !line.includes('token"') && !line.includes('-token')));
  });

  const problems = [
    ['unauthorized', 'unauthorized', /refuses the token/],
    ['forbidden', 'forbidden', /grant it list and watch/],
    ['no json', 'malformed', /not what the API promises/],
    ['half', 'malformed', /not what the API promises/],
    ['garbage', 'malformed', /not what the API promises/],
    ['endless', 'too_large', /larger than any/],
  ] as const;
  for (const [how, expected, message] of problems) {
    test(`${how}: one line, a count, back-off, and the rest goes on`, async (t) => {
      const server = await ApiServer.start(t);
      server.put('pods', podObject(web));
      server.broken.set('services', how);
      const { kubernetes, log, problem } = connect(t, server);
      await becomes('the problem', () => problem('services') === expected);
      await becomes('several tries', () => {
        const state = kubernetes.states().find(({ resource }) => resource === 'services');
        return (state?.failures.get(expected) ?? 0) >= 4;
      });
      await becomes('the pod', () => podName(kubernetes) === 'web-0');
      const lines = log.filter((line) => line.includes(' services: '));
      assert.equal(lines.length, 1, log.join('\n'));
      assert.match(lines[0]!, message);
      assert.equal(log.length, 1);
      server.broken.clear();
      server.put('services', serviceObject('shop', 'front', '10.96.0.1', { app: 'web' }));
      await becomes('the service', () => kubernetes.cluster.serviceOf(kubernetes.cluster.pod('u1')!) === 'front');
      await becomes('the end of it is said', () => log.length === 2);
      assert.match(log[1]!, /services again/);
    });
  }

  test('an expired certificate', async (t) => {
    const server = await ApiServer.start(t, { expired: true });
    const { log, problem } = connect(t, server);
    await becomes('the problem', () => problem('pods') === 'certificate');
    assert.equal(log.filter((line) => / pods: its certificate/.test(line)).length, 1);
    assert.deepEqual(server.requests, []);
  });

  test('objects that are malformed cost themselves only', async (t) => {
    const server = await ApiServer.start(t);
    server.put('pods', { metadata: { name: 'no-uid', namespace: 'shop' }, spec: { nodeName: 'node-1' } });
    server.put('pods', podObject(web));
    server.put('nodes', nodeObject('node-1', '192.168.10.11'));
    const { kubernetes, problem } = connect(t, server);
    await synced(kubernetes);
    assert.equal(podName(kubernetes), 'web-0');
    assert.equal(problem('pods'), '');
    const pods = kubernetes.states().find(({ resource }) => resource === 'pods');
    assert.equal(pods?.failures.get('malformed'), 1);
  });
});
