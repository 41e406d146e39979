import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cluster } from '../../src/kubernetes/cluster.ts';
import { parseNamespace, parsePod } from '../../src/kubernetes/objects.ts';
import { Scope, type ScopeRules } from '../../src/kubernetes/scope.ts';
import { isRootOfPods, podOfCgroup } from '../../src/process/container-path.ts';
import { namespaceObject, type PodSample, podObject } from './samples.ts';

const uid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const path = (n: number) => `/kubepods/burstable/pod${uid(n)}`;
const NO_RULES: ScopeRules = { includeNamespaces: [], excludeNamespaces: [] };

function world(rules: Partial<ScopeRules> = {}) {
  const cluster = new Cluster();
  const entries = new Map<bigint, string>();
  const kernel = { entries, otherwise: 'unlimited', renewed: 0, full: false };
  const errors: unknown[] = [];
  const scope = new Scope({
    cluster,
    paths: { isRootOfPods, podOfCgroup },
    rules: { ...NO_RULES, ...rules },
    report: (error) => errors.push(error),
    gate: {
      setDefaultScope: (value) => {
        kernel.otherwise = value;
      },
      setScope: (id, value) => {
        if (kernel.full) throw new Error('no room');
        if (value === undefined) entries.delete(id);
        else entries.set(id, value);
      },
      renewDecisions: () => {
        kernel.renewed++;
      },
    },
  });
  cluster.listener = {
    podFound() {},
    podEnded() {},
    podChanged: (pod) => scope.podChanged(pod),
    namespaceChanged: (name) => scope.namespaceChanged(name),
  };
  const pod = (n: number, sample: Partial<PodSample> = {}) =>
    cluster.podStore.set(uid(n), parsePod(podObject({ uid: uid(n), name: `p${n}`, namespace: 'shop', ...sample }))!);
  return { cluster, scope, kernel, errors, pod };
}

const optedOut = { annotations: { 'plainsight.dev/enabled': 'false' } };

test('without rules the kernel is asked nothing, until a pod says no', () => {
  const { scope, kernel, pod } = world();
  scope.cgroupFound(1, '/kubepods');
  pod(1);
  scope.cgroupFound(11, path(1));
  assert.deepEqual([kernel.entries.size, kernel.otherwise], [0, 'unlimited']);
  // Known before its cgroup is there: no process of it is ever seen.
  pod(2, optedOut);
  scope.cgroupFound(12, path(2));
  assert.deepEqual([...kernel.entries], [[12n, 'out']]);
  assert.equal(kernel.otherwise, 'in');
  assert.equal(scope.outside, 1);
  // Known after it.
  scope.cgroupFound(13, path(3));
  const { renewed } = kernel;
  pod(3, optedOut);
  assert.equal(kernel.entries.get(13n), 'out');
  assert.equal(kernel.renewed, renewed + 1);
  scope.cgroupGone(12, path(2));
  scope.cgroupGone(13, path(3));
  assert.deepEqual([kernel.entries.size, kernel.otherwise, scope.outside], [0, 'unlimited', 0]);
});

test('a pod that changes its mind', () => {
  const { scope, kernel, pod } = world();
  pod(1);
  scope.cgroupFound(11, path(1));
  pod(1, optedOut);
  assert.equal(kernel.entries.get(11n), 'out');
  pod(1);
  assert.equal(kernel.entries.size, 0);
});

test('a namespace that opts out by its label, with all its pods', () => {
  const { cluster, scope, kernel, pod } = world();
  pod(1);
  pod(2, { namespace: 'pay' });
  scope.cgroupFound(11, path(1));
  scope.cgroupFound(12, path(2));
  const label = (value: string) =>
    cluster.namespaceStore.set('pay', parseNamespace(namespaceObject('pay', { 'plainsight.dev/enabled': value }))!);
  label('false');
  assert.deepEqual([...kernel.entries], [[12n, 'out']]);
  label('true');
  assert.equal(kernel.entries.size, 0);
  label('false');
  cluster.namespaceStore.delete('pay');
  assert.equal(kernel.entries.size, 0);
});

test('excluded namespaces: nothing of a pod before it is known', () => {
  const { scope, kernel, pod } = world({ excludeNamespaces: ['pay'] });
  scope.cgroupFound(1, '/kubepods.slice');
  scope.cgroupFound(11, path(1));
  scope.cgroupFound(12, path(2));
  assert.deepEqual(
    [...kernel.entries],
    [
      [1n, 'out'],
      [11n, 'out'],
      [12n, 'out'],
    ],
  );
  assert.equal(kernel.otherwise, 'in');
  pod(1);
  pod(2, { namespace: 'pay' });
  assert.deepEqual([kernel.entries.get(11n), kernel.entries.get(12n)], ['in', 'out']);
  assert.deepEqual([scope.allowsNode, scope.allowsUnknown], [true, false]);
});

test('included namespaces: nothing else, not even of the node', () => {
  const { cluster, scope, kernel, pod } = world({ includeNamespaces: ['shop'] });
  assert.equal(kernel.otherwise, 'out');
  pod(1);
  pod(2, { namespace: 'pay' });
  pod(3, optedOut);
  for (const n of [1, 2, 3, 4]) scope.cgroupFound(10 + n, path(n));
  assert.deepEqual(
    [11n, 12n, 13n, 14n].map((id) => kernel.entries.get(id)),
    ['in', 'out', 'out', 'out'],
  );
  assert.deepEqual([scope.allowsNode, scope.allowsUnknown], [false, false]);
  // Its object goes before its processes do.
  cluster.podStore.delete(uid(2));
  assert.equal(kernel.entries.get(12n), 'out');
  scope.setRules(NO_RULES);
  assert.deepEqual(
    [...kernel.entries],
    [
      [13n, 'out'],
      [14n, 'out'],
    ],
  );
  assert.equal(kernel.otherwise, 'in');
});

test('a map without room is reported', () => {
  const { scope, kernel, errors, pod } = world();
  kernel.full = true;
  pod(1, optedOut);
  scope.cgroupFound(11, path(1));
  assert.equal(errors.length, 1);
  assert.equal(scope.outside, 0);
});
