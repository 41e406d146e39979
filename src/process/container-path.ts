/**
 * Reads the path of a cgroup: which container and which pod lie there. Pure. Knows the paths that kubelet makes with the
 * systemd and the cgroupfs driver (pkg/kubelet/cm/cgroup_manager_linux.go at v1.34) for containerd, cri-o and
 * Docker, below any prefix: k3s, kind, a cgroup namespace. What looks like none of them is no container; nothing is guessed.
 */

/** A container, as its cgroup names it. */
export interface ContainerRef {
  /** 64 hexadecimal digits; '' of a process that is in the pod's cgroup but in no container's. */
  readonly containerId: string;
  /** As the API server writes it, or the hash of a static pod; '' where the path names no pod. */
  readonly podUid: string;
  /** Of a node that is a container itself: that container. */
  readonly outer: ContainerRef | undefined;
}

/** `pod1f2e...`, `kubepods-burstable-pod1f2e_....slice`, and the same with `:cri-containerd:ID` behind it. */
const POD = /(?:^|-)pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?(?=$|:)/;
/** `ID`, `cri-containerd-ID.scope`, `crio-ID`, `...:cri-containerd:ID`. */
const CONTAINER = /(?:^|[-:])([0-9a-f]{64})(?:\.scope)?$/;
/** The monitor beside a container of cri-o or podman: it is no part of it. */
const MONITOR = /(?:^|-)conmon-[0-9a-f]+(?:\.scope)?$/;
const PODS = /(?:^|-)kubepods(?:\.slice)?$/;

/** The innermost container that Kubernetes or a container engine made; undefined where there is none. */
export function containerOfCgroup(path: string): ContainerRef | undefined {
  let found: ContainerRef | undefined;
  for (const segment of path.split('/')) {
    const podUid = podOfSegment(segment);
    if (podUid !== undefined) found = { containerId: '', podUid, outer: found };
    const containerId = MONITOR.test(segment) ? undefined : CONTAINER.exec(segment)?.[1];
    if (containerId === undefined) continue;
    if (found === undefined || found.podUid === '') found = { containerId, podUid: '', outer: found };
    // What a container of a pod makes inside of itself is still that container.
    else if (found.containerId === '') found = { ...found, containerId };
  }
  return found;
}

/** The pod whose own cgroup this is; '' when it is none's. */
export function podOfCgroup(path: string): string {
  return podOfSegment(path.slice(path.lastIndexOf('/') + 1)) ?? '';
}

/** Whether this is the directory that all pods lie in. */
export function isRootOfPods(path: string): boolean {
  return PODS.test(path.slice(path.lastIndexOf('/') + 1));
}

function podOfSegment(segment: string): string | undefined {
  return POD.exec(segment)?.[1]?.replaceAll('_', '-');
}
