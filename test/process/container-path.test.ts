import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { containerOfCgroup, isRootOfPods, podOfCgroup } from '../../src/process/container-path.ts';

const ID = '3f2a'.repeat(16);
const INNER = 'b07c'.repeat(16);
const UID = '1f0e9d8c-7b6a-4958-8776-655443322110';
const SLICE = UID.replaceAll('-', '_');
const STATIC = '0123456789abcdef0123456789abcdef';

/** name, path, container, pod, container of the node where that is one */
const PATHS: readonly (readonly [string, string, string, string, string?])[] = [
  ['cgroupfs, containerd', `/kubepods/burstable/pod${UID}/${ID}`, ID, UID],
  ['cgroupfs, guaranteed', `/kubepods/pod${UID}/${ID}`, ID, UID],
  ['cgroupfs, besteffort', `/kubepods/besteffort/pod${UID}/${ID}`, ID, UID],
  ['cgroupfs, cri-o', `/kubepods/burstable/pod${UID}/crio-${ID}`, ID, UID],
  ['static pod', `/kubepods/burstable/pod${STATIC}/${ID}`, ID, STATIC],
  [
    'systemd, containerd',
    `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${SLICE}.slice/cri-containerd-${ID}.scope`,
    ID,
    UID,
  ],
  ['systemd, guaranteed', `/kubepods.slice/kubepods-pod${SLICE}.slice/cri-containerd-${ID}.scope`, ID, UID],
  [
    'systemd, docker',
    `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${SLICE}.slice/docker-${ID}.scope`,
    ID,
    UID,
  ],
  [
    'systemd, cri-o',
    `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${SLICE}.slice/crio-${ID}.scope`,
    ID,
    UID,
  ],
  [
    'systemd, cri-o, crun',
    `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${SLICE}.slice/crio-${ID}.scope/container`,
    ID,
    UID,
  ],
  [
    'systemd, static pod',
    `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${STATIC}.slice/cri-containerd-${ID}.scope`,
    ID,
    STATIC,
  ],
  [
    'systemd inside of the container',
    `/kubepods.slice/kubepods-pod${SLICE}.slice/cri-containerd-${ID}.scope/system.slice/nginx.service`,
    ID,
    UID,
  ],
  ['slice:cri-containerd:id', `/kubepods-burstable-pod${SLICE}.slice:cri-containerd:${ID}`, ID, UID],
  [
    'slice:cri-containerd:id in a service',
    `/system.slice/containerd.service/kubepods-burstable-pod${SLICE}.slice:cri-containerd:${ID}`,
    ID,
    UID,
  ],
  [
    'k3s without root',
    `/user.slice/user-1000.slice/user@1000.service/k3s-rootless.service/kubepods/burstable/pod${UID}/${ID}`,
    ID,
    UID,
  ],
  [
    'kind, systemd',
    `/docker/${INNER}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod${SLICE}.slice/cri-containerd-${ID}.scope`,
    ID,
    UID,
    INNER,
  ],
  ['kind, cgroupfs', `/docker/${INNER}/kubelet/kubepods/besteffort/pod${UID}/${ID}`, ID, UID, INNER],
  ['docker inside of a pod', `/kubepods/burstable/pod${UID}/${ID}/docker/${INNER}`, ID, UID],
  ['cgroup namespace', `/../../pod${UID}/${ID}`, ID, UID],
  ['cgroup namespace, the same pod', `/../cri-containerd-${ID}.scope`, ID, ''],
  ['docker alone', `/docker/${ID}`, ID, ''],
  ['docker alone, systemd', `/system.slice/docker-${ID}.scope`, ID, ''],
  ['podman', `/machine.slice/libpod-${ID}.scope/container`, ID, ''],
  ['the pod itself', `/kubepods/burstable/pod${UID}`, '', UID],
  ['the monitor of cri-o', `/kubepods.slice/kubepods-pod${SLICE}.slice/crio-conmon-${ID}.scope`, '', UID],
];

describe('paths of containers', () => {
  for (const [name, path, containerId, podUid, outer] of PATHS) {
    test(name, () => {
      const found = containerOfCgroup(path);
      assert.equal(found?.containerId, containerId);
      assert.equal(found?.podUid, podUid);
      assert.equal(found?.outer?.containerId, outer);
    });
  }

  test('a cluster in a pod of a cluster: the inner pod, then the outer', () => {
    const other = UID.replace('1f', '2f');
    const found = containerOfCgroup(`/kubepods/pod${other}/${INNER}/kubelet/kubepods/pod${UID}/${ID}`);
    assert.deepEqual(found, {
      containerId: ID,
      podUid: UID,
      outer: { containerId: INNER, podUid: other, outer: undefined },
    });
  });
});

test('what is no container', () => {
  const none = [
    ...['', '/', '/init.scope', '/system.slice/nginx.service', '/user.slice/user-1000.slice/session-3.scope'],
    ...['/kubepods', '/kubepods.slice/kubepods-burstable.slice', '/podman.slice', '/tripod', `/x${ID}`, `/${ID}0`],
    ...[`/machine.slice/libpod-conmon-${ID}.scope`, '/kubepods/podnot-a-uid', `/${ID.toUpperCase()}`],
  ];
  for (const path of none) assert.equal(containerOfCgroup(path), undefined, path);
});

test("the pod's own directory, and that of all pods", () => {
  assert.equal(podOfCgroup(`/kubepods/burstable/pod${UID}`), UID);
  assert.equal(podOfCgroup(`/kubepods.slice/kubepods-pod${SLICE}.slice`), UID);
  assert.equal(podOfCgroup(`/a/kubepods-pod${SLICE}.slice:cri-containerd:${ID}`), UID);
  assert.equal(podOfCgroup(`/kubepods/burstable/pod${UID}/${ID}`), '');
  for (const path of ['/kubepods', '/kubepods.slice', '/kubelet.slice/kubelet-kubepods.slice'])
    assert.ok(isRootOfPods(path));
  for (const path of ['/kubepods.slice/kubepods-burstable.slice', '/kubepods/burstable', '/system.slice', '/'])
    assert.ok(!isRootOfPods(path));
});
