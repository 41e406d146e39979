/** Objects as a real cluster has them (1.34: kubectl get -o json), with the fields that the agent does not need too. */

import type { ApiObject } from './api-server.ts';

export interface PodSample {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly node?: string;
  readonly ip?: string;
  readonly hostNetwork?: boolean;
  /** Name -> container id; '' of one that is still to start. */
  readonly containers?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly owner?: { readonly kind: string; readonly name: string };
  readonly phase?: string;
}

export const NODE = 'node-1';

export function podObject(sample: PodSample): ApiObject {
  const { uid, name, namespace, node = NODE, ip = '10.244.1.7', hostNetwork = false, containers = {} } = sample;
  const { labels = {}, annotations = {}, owner, phase = 'Running' } = sample;
  const hostIP = '192.168.10.11';
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      generateName: `${name.replace(/-[^-]*$/, '')}-`,
      namespace,
      uid,
      creationTimestamp: '2026-03-01T09:00:00Z',
      labels,
      annotations,
      ...(owner ? { ownerReferences: [{ apiVersion: 'apps/v1', ...owner, uid: `of-${uid}`, controller: true }] } : {}),
      managedFields: [{ manager: 'kubelet', operation: 'Update', apiVersion: 'v1', fieldsType: 'FieldsV1' }],
    },
    spec: {
      nodeName: node,
      ...(hostNetwork ? { hostNetwork: true } : {}),
      containers: Object.keys(containers).map((container) => ({ name: container, image: `registry/${container}:1` })),
      restartPolicy: 'Always',
      serviceAccountName: 'default',
    },
    status: {
      phase,
      hostIP,
      podIP: hostNetwork ? hostIP : ip,
      podIPs: [{ ip: hostNetwork ? hostIP : ip }],
      qosClass: 'BestEffort',
      containerStatuses: Object.entries(containers).map(([container, id]) => ({
        name: container,
        ...(id === '' ? {} : { containerID: `containerd://${id}` }),
        ready: id !== '',
        restartCount: 0,
        state: id === '' ? { waiting: { reason: 'ContainerCreating' } } : { running: {} },
        lastState: {},
      })),
    },
  };
}

export function serviceObject(
  namespace: string,
  name: string,
  clusterIP: string,
  selector: Readonly<Record<string, string>> = {},
): ApiObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace, uid: `service-${namespace}-${name}` },
    spec: { clusterIP, clusterIPs: [clusterIP], type: 'ClusterIP', selector, ports: [{ port: 80, targetPort: 8080 }] },
    status: { loadBalancer: {} },
  };
}

export function sliceObject(
  namespace: string,
  service: string,
  suffix: string,
  endpoints: readonly { readonly ip: string; readonly pod: string; readonly node?: string }[],
  port = 8080,
): ApiObject {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    addressType: 'IPv4',
    metadata: { name: `${service}-${suffix}`, namespace, labels: { 'kubernetes.io/service-name': service } },
    endpoints: endpoints.map(({ ip, pod, node = NODE }) => ({
      addresses: [ip],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: node,
      targetRef: { kind: 'Pod', name: pod, namespace, uid: `of-${pod}` },
    })),
    ports: [{ name: 'http', port, protocol: 'TCP' }],
  };
}

export function nodeObject(name: string, ...addresses: readonly string[]): ApiObject {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name },
    status: {
      addresses: [
        ...addresses.map((address) => ({ type: 'InternalIP', address })),
        { type: 'Hostname', address: name },
      ],
    },
  };
}

export function namespaceObject(name: string, labels: Readonly<Record<string, string>> = {}): ApiObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}
