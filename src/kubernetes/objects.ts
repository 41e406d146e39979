/**
 * What is kept of the objects of the API server: each is cut down to the few fields that are needed when it arrives, and the
 * rest is garbage at once. Values that are not of the promised kind make an object `undefined`, or are left out of it.
 *
 * Limits of one object: 64 labels, 256 containers, 1024 endpoints, 32 ports and addresses.
 */

import type {
  V1ContainerStatus,
  V1Endpoint,
  V1EndpointSlice,
  V1Namespace,
  V1Node,
  V1OwnerReference,
  V1Pod,
  V1Service,
} from '@kubernetes/client-node';
import { canonicalAddress } from './ip-address.ts';
import { field, fieldOf, items, pairs, text } from './json-fields.ts';

const MAX_LABELS = 64;
const MAX_CONTAINERS = 256;
const MAX_ENDPOINTS = 1024;
const MAX_SMALL = 32;

/** On a pod or a namespace: `"false"` keeps the agent's hands off it. */
export const ENABLED = 'plainsight.dev/enabled';

const podField = fieldOf<V1Pod>();
const containerField = fieldOf<V1ContainerStatus>();
const ownerField = fieldOf<V1OwnerReference>();
const serviceField = fieldOf<V1Service>();
const sliceField = fieldOf<V1EndpointSlice>();
const endpointField = fieldOf<V1Endpoint>();
const nodeField = fieldOf<V1Node>();
const namespaceField = fieldOf<V1Namespace>();

export interface Pod {
  readonly uid: string;
  /** By which its cgroup names a static pod: the hash of its file. */
  readonly staticUid: string;
  readonly namespace: string;
  readonly name: string;
  /** Those of the node, where it uses its network. */
  readonly addresses: readonly string[];
  readonly hostNetwork: boolean;
  /** Container id -> name, of those that run or ran. */
  readonly containers: ReadonlyMap<string, string>;
  /** The name of its only container; '' where there are several. */
  readonly onlyContainer: string;
  readonly labels: ReadonlyMap<string, string>;
  /** The workload that owns it, else its own name. */
  readonly workload: string;
  /** False when it opted out. */
  readonly enabled: boolean;
  /** All its containers have ended, for good. */
  readonly ended: boolean;
}

export function parsePod(object: unknown): Pod | undefined {
  const uid = text(podField(object, 'metadata', 'uid'));
  const namespace = text(podField(object, 'metadata', 'namespace'));
  const name = text(podField(object, 'metadata', 'name'));
  if (uid === undefined || namespace === undefined || name === undefined) return undefined;
  const annotations = podField(object, 'metadata', 'annotations');
  const hostNetwork = podField(object, 'spec', 'hostNetwork') === true;
  const all = (['containers', 'initContainers', 'ephemeralContainers'] as const).flatMap((kind) =>
    items(podField(object, 'spec', kind)),
  );
  const labels = new Map(pairs(podField(object, 'metadata', 'labels')).slice(0, MAX_LABELS));
  const phase = podField(object, 'status', 'phase');
  return {
    uid,
    staticUid: text(field(annotations, 'kubernetes.io/config.hash')) ?? '',
    namespace,
    name,
    addresses: podAddresses(object),
    hostNetwork,
    containers: containerIds(object),
    onlyContainer: all.length === 1 ? (text(field(all[0], 'name')) ?? '') : '',
    labels,
    workload: workloadOf(podField(object, 'metadata', 'ownerReferences'), labels) ?? name,
    enabled: field(annotations, ENABLED) !== 'false',
    ended: phase === 'Succeeded' || phase === 'Failed',
  };
}

function podAddresses(pod: unknown): readonly string[] {
  const listed = items(podField(pod, 'status', 'podIPs')).map((item) => field(item, 'ip'));
  return addressesOf(listed.length > 0 ? listed : [podField(pod, 'status', 'podIP')]);
}

function containerIds(pod: unknown): ReadonlyMap<string, string> {
  const ids = new Map<string, string>();
  for (const kind of ['containerStatuses', 'initContainerStatuses', 'ephemeralContainerStatuses'] as const) {
    for (const container of items(podField(pod, 'status', kind)).slice(0, MAX_CONTAINERS)) {
      const name = text(containerField(container, 'name'));
      if (name === undefined) continue;
      // The one before a restart too: its traffic may still be on its way.
      for (const id of [
        containerField(container, 'containerID'),
        containerField(container, 'lastState', 'terminated', 'containerID'),
      ]) {
        // `containerd://ID`
        const found = /^[a-z0-9.+-]+:\/\/([0-9a-f]{1,128})$/.exec(text(id) ?? '')?.[1];
        if (found !== undefined) ids.set(found, name);
      }
    }
  }
  return ids;
}

/**
 * The controller's name. The name of a ReplicaSet that a Deployment made is the Deployment's and the hash that stands in the
 * label pod-template-hash (pkg/controller/deployment/sync.go at v1.34), so no ReplicaSet need be asked for.
 */
function workloadOf(references: unknown, labels: ReadonlyMap<string, string>): string | undefined {
  const owners = items(references);
  const owner = owners.find((reference) => ownerField(reference, 'controller') === true) ?? owners[0];
  const name = text(ownerField(owner, 'name'));
  const kind = ownerField(owner, 'kind');
  const hash = labels.get('pod-template-hash');
  if (name !== undefined && kind === 'ReplicaSet' && hash !== undefined && name.endsWith(`-${hash}`)) {
    return name.slice(0, -hash.length - 1);
  }
  // A static pod is owned by its node, which says nothing.
  return kind === 'Node' ? undefined : name;
}

export interface Service {
  readonly namespace: string;
  readonly name: string;
  /** Cluster, external and load balancer addresses. */
  readonly addresses: readonly string[];
  readonly headless: boolean;
  /** Empty: it selects no pods. */
  readonly selector: readonly (readonly [string, string])[];
}

export function parseService(object: unknown): Service | undefined {
  const namespace = text(serviceField(object, 'metadata', 'namespace'));
  const name = text(serviceField(object, 'metadata', 'name'));
  if (namespace === undefined || name === undefined) return undefined;
  const cluster = [...items(serviceField(object, 'spec', 'clusterIPs')), serviceField(object, 'spec', 'clusterIP')];
  const ingress = items(serviceField(object, 'status', 'loadBalancer', 'ingress')).map((item) => field(item, 'ip'));
  return {
    namespace,
    name,
    addresses: addressesOf([...cluster, ...items(serviceField(object, 'spec', 'externalIPs')), ...ingress]),
    headless: cluster.includes('None'),
    selector: pairs(serviceField(object, 'spec', 'selector')).slice(0, MAX_LABELS),
  };
}

export interface Endpoint {
  readonly address: string;
  /** Name of the pod, in the namespace of the slice; '' where it is none. */
  readonly pod: string;
}

export interface EndpointSlice {
  readonly namespace: string;
  /** '' of a slice that belongs to no service. */
  readonly service: string;
  /** None: all. */
  readonly ports: readonly number[];
  readonly endpoints: readonly Endpoint[];
}

export function parseEndpointSlice(object: unknown): EndpointSlice | undefined {
  const namespace = text(sliceField(object, 'metadata', 'namespace'));
  if (namespace === undefined) return undefined;
  const labels = sliceField(object, 'metadata', 'labels');
  const endpoints: Endpoint[] = [];
  for (const endpoint of items(sliceField(object, 'endpoints')).slice(0, MAX_ENDPOINTS)) {
    const target = endpointField(endpoint, 'targetRef');
    const pod = field(target, 'kind') === 'Pod' ? (text(field(target, 'name')) ?? '') : '';
    for (const address of addressesOf(items(endpointField(endpoint, 'addresses')))) endpoints.push({ address, pod });
  }
  const ports = items(sliceField(object, 'ports'))
    .map((item) => field(item, 'port'))
    .filter((port): port is number => typeof port === 'number')
    .slice(0, MAX_SMALL);
  return { namespace, service: text(field(labels, 'kubernetes.io/service-name')) ?? '', ports, endpoints };
}

/** The addresses of a node; undefined when it is none. */
export function parseNode(object: unknown): readonly string[] | undefined {
  if (text(nodeField(object, 'metadata', 'name')) === undefined) return undefined;
  return addressesOf(items(nodeField(object, 'status', 'addresses')).map((item) => field(item, 'address')));
}

/** Whether the pods of a namespace may be looked at; undefined when it is none. */
export function parseNamespace(object: unknown): { readonly enabled: boolean } | undefined {
  if (text(namespaceField(object, 'metadata', 'name')) === undefined) return undefined;
  return { enabled: namespaceField(object, 'metadata', 'labels', ENABLED) !== 'false' };
}

function addressesOf(values: readonly unknown[]): readonly string[] {
  const found = values.slice(0, MAX_SMALL).map((value) => canonicalAddress(text(value) ?? ''));
  return [...new Set(found)].filter((address) => address !== '');
}
