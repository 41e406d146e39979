/**
 * What is known of the cluster: this node's pods with their containers, and by what names services and peers go. It is told
 * by the stores' setters, which the reflectors call, and knows no network. A pod that is gone stays resolvable for a
 * minute, for traffic that was on its way.
 *
 * Limits: 4096 pods of this node, 2048 that are gone, and those of peers.ts.
 */

import { LRUCache } from 'lru-cache';
import type { ContainerRef } from '../process/container-path.ts';
import { canonicalAddress } from './ip-address.ts';
import { field, text } from './json-fields.ts';
import type { EndpointSlice, Pod, Service } from './objects.ts';
import { type Peer, Peers } from './peers.ts';
import type { Store } from './reflector.ts';

const MAX_PODS = 4096;
const MAX_DEAD = 2048;
const DEAD_MS = 60_000;

/** A pod, and the container that was asked for; '' where its name has not been told yet. */
export interface FoundPod {
  readonly pod: Pod;
  readonly container: string;
}

export interface ClusterListener {
  /** One that has not ended, the first time it is told of. */
  podFound(pod: Pod): void;
  /** New, or its labels, annotations or containers have changed. */
  podChanged(pod: Pod): void;
  /** Deleted, or all its containers have ended for good. Once per pod. */
  podEnded(pod: Pod): void;
  namespaceChanged(name: string): void;
}

const NOBODY: ClusterListener = { podFound() {}, podChanged() {}, podEnded() {}, namespaceChanged() {} };

export class Cluster {
  readonly #pods = new Map<string, Pod>();
  readonly #byContainer = new Map<string, FoundPod>();
  readonly #byStaticUid = new Map<string, Pod>();
  readonly #byAddress = new Map<string, Pod>();
  /** `namespace/name` of this node's pods. */
  readonly #names = new Set<string>();
  readonly #deadPods: LRUCache<string, Pod>;
  readonly #deadContainers: LRUCache<string, FoundPod>;
  readonly #services = new Map<string, Map<string, Service>>();
  readonly #disabledNamespaces = new Set<string>();
  readonly #namespaces = new Set<string>();
  readonly #nodes = new Set<string>();
  /** Slices with pods of this node. */
  readonly #ownSlices = new Set<string>();
  readonly #peers = new Peers((namespace, name) => this.#services.get(namespace)?.get(name)?.headless === true);
  readonly #labels = new WeakMap<Pod, { version: number; service: string }>();
  listener: ClusterListener = NOBODY;
  #version = 1;

  /** `now` in milliseconds, for tests. */
  constructor(now: () => number = () => performance.now()) {
    const dead = { max: MAX_DEAD, ttl: DEAD_MS, ttlResolution: 0, perf: { now } };
    this.#deadPods = new LRUCache(dead);
    this.#deadContainers = new LRUCache({ ...dead, max: MAX_DEAD * 4 });
  }

  /** Rises whenever an answer about one of this node's pods may have changed. */
  get version(): number {
    return this.#version;
  }

  /** Objects held, by resource. */
  sizes(): Readonly<Record<string, number>> {
    let services = 0;
    for (const all of this.#services.values()) services += all.size;
    return {
      pods: this.#pods.size,
      services,
      endpointslices: this.#peers.sliceCount,
      endpoints: this.#peers.size,
      nodes: this.#nodes.size,
      namespaces: this.#namespaces.size,
    };
  }

  /** Whose container that is. The container's name may come later than the pod. */
  find({ containerId, podUid, outer }: ContainerRef): FoundPod | undefined {
    const known = this.#byContainer.get(containerId) ?? this.#deadContainers.get(containerId);
    if (known !== undefined) return known;
    const pod = this.pod(podUid);
    if (pod !== undefined) return { pod, container: containerId === '' ? '' : pod.onlyContainer };
    return outer === undefined ? undefined : this.find(outer);
  }

  /** By uid, or by the hash of a static pod. */
  pod(uid: string): Pod | undefined {
    if (uid === '') return undefined;
    return this.#pods.get(uid) ?? this.#byStaticUid.get(uid) ?? this.#deadPods.get(uid);
  }

  pods(): Iterable<Pod> {
    return this.#pods.values();
  }

  isNamespaceEnabled(name: string): boolean {
    return !this.#disabledNamespaces.has(name);
  }

  /** The label `service` of a pod: the Service that selects it, else its app label, else its workload. */
  serviceOf(pod: Pod): string {
    const known = this.#labels.get(pod);
    if (known !== undefined && known.version === this.#version) return known.service;
    const { labels } = pod;
    const service =
      this.#selectingService(pod) ?? (labels.get('app.kubernetes.io/name') || labels.get('app') || pod.workload);
    this.#labels.set(pod, { version: this.#version, service });
    return service;
  }

  /** Who is at an address, at the port of the serving side. */
  resolvePeer(address: string, port: number): Peer {
    const canonical = canonicalAddress(address);
    const pod = this.#byAddress.get(canonical);
    if (pod !== undefined) {
      return { kind: 'workload', namespace: pod.namespace, service: this.serviceOf(pod), pod: pod.name };
    }
    return this.#peers.resolve(canonical, port);
  }

  readonly podStore: Store<Pod> = {
    key: (object) => text(field(object, 'metadata', 'uid')),
    keys: () => this.#pods.keys(),
    set: (uid, pod) => this.#setPod(uid, pod),
    delete: (uid) => this.#deletePod(uid),
  };

  readonly serviceStore: Store<Service> = {
    key: namespacedName,
    keys: () =>
      [...this.#services].flatMap(([namespace, all]) => [...all.keys()].map((name) => `${namespace}/${name}`)),
    set: (key, service) => {
      const all = this.#services.get(service.namespace) ?? new Map<string, Service>();
      this.#services.set(service.namespace, all.set(service.name, service));
      this.#peers.setService(key, service);
      this.#version++;
    },
    delete: (key) => {
      const [namespace = '', name = ''] = key.split('/');
      const all = this.#services.get(namespace);
      all?.delete(name);
      if (all?.size === 0) this.#services.delete(namespace);
      this.#peers.deleteService(key);
      this.#version++;
    },
  };

  readonly sliceStore: Store<EndpointSlice> = {
    key: namespacedName,
    keys: () => this.#peers.slices(),
    set: (key, slice) => {
      const isOwn = slice.endpoints.some(({ pod }) => this.#names.has(`${slice.namespace}/${pod}`));
      // Most slices are about pods of other nodes: they change no label here.
      if (this.#ownSlices.delete(key) || isOwn) this.#version++;
      if (isOwn) this.#ownSlices.add(key);
      this.#peers.setSlice(key, slice);
    },
    delete: (key) => {
      if (this.#ownSlices.delete(key)) this.#version++;
      this.#peers.deleteSlice(key);
    },
  };

  readonly nodeStore: Store<readonly string[]> = {
    key: (object) => text(field(object, 'metadata', 'name')),
    keys: () => this.#nodes,
    set: (name, addresses) => {
      this.#nodes.add(name);
      this.#peers.setNode(name, addresses);
    },
    delete: (name) => {
      this.#nodes.delete(name);
      this.#peers.deleteNode(name);
    },
  };

  readonly namespaceStore: Store<{ readonly enabled: boolean }> = {
    key: (object) => text(field(object, 'metadata', 'name')),
    keys: () => this.#namespaces,
    set: (name, { enabled }) => {
      const before = this.isNamespaceEnabled(name);
      this.#namespaces.add(name);
      if (enabled) this.#disabledNamespaces.delete(name);
      else this.#disabledNamespaces.add(name);
      if (before !== enabled) this.#namespaceChanged(name);
    },
    delete: (name) => {
      this.#namespaces.delete(name);
      if (this.#disabledNamespaces.delete(name)) this.#namespaceChanged(name);
    },
  };

  #namespaceChanged(name: string): void {
    this.#version++;
    this.listener.namespaceChanged(name);
  }

  #setPod(uid: string, pod: Pod): void {
    const before = this.#pods.get(uid);
    if (before === undefined && this.#pods.size >= MAX_PODS) return;
    if (before !== undefined) this.#forget(before);
    this.#pods.set(uid, pod);
    this.#names.add(`${pod.namespace}/${pod.name}`);
    if (pod.staticUid !== '') this.#byStaticUid.set(pod.staticUid, pod);
    // A pod that has ended keeps its object, but its address may be another's already.
    if (!pod.hostNetwork && !pod.ended) for (const address of pod.addresses) this.#byAddress.set(address, pod);
    for (const [id, container] of pod.containers) this.#byContainer.set(id, { pod, container });
    this.#version++;
    if (before === undefined && !pod.ended) this.listener.podFound(pod);
    this.listener.podChanged(pod);
    if (pod.ended && !before?.ended) this.listener.podEnded(pod);
  }

  #deletePod(uid: string): void {
    const pod = this.#pods.get(uid);
    if (pod === undefined) return;
    this.#pods.delete(uid);
    this.#forget(pod);
    this.#deadPods.set(uid, pod);
    if (pod.staticUid !== '') this.#deadPods.set(pod.staticUid, pod);
    this.#version++;
    if (!pod.ended) this.listener.podEnded(pod);
  }

  /** Takes a pod out of the indices; what belonged to it alone stays resolvable for a while. */
  #forget(pod: Pod): void {
    this.#names.delete(`${pod.namespace}/${pod.name}`);
    if (this.#byStaticUid.get(pod.staticUid) === pod) this.#byStaticUid.delete(pod.staticUid);
    for (const address of pod.addresses) {
      if (this.#byAddress.get(address) === pod) this.#byAddress.delete(address);
    }
    for (const id of pod.containers.keys()) {
      const found = this.#byContainer.get(id);
      if (found?.pod !== pod) continue;
      this.#byContainer.delete(id);
      this.#deadContainers.set(id, found);
    }
  }

  /**
   * Selectors say it before the slices do: a pod serves from its first second. Of several services the first by name counts, one
   * with an address before one without.
   */
  #selectingService(pod: Pod): string | undefined {
    const { namespace, name, labels, addresses } = pod;
    const found = new Set(addresses.flatMap((address) => this.#peers.servicesOf(address, namespace, name)));
    const services = this.#services.get(namespace) ?? new Map<string, Service>();
    for (const service of services.values()) {
      const { selector } = service;
      if (selector.length > 0 && selector.every(([key, value]) => labels.get(key) === value)) found.add(service.name);
    }
    const rank = (service: string) => (services.get(service)?.headless === true ? `1${service}` : `0${service}`);
    return [...found].sort((a, b) => (rank(a) < rank(b) ? -1 : 1))[0];
  }
}

function namespacedName(object: unknown): string | undefined {
  const namespace = text(field(object, 'metadata', 'namespace'));
  const name = text(field(object, 'metadata', 'name'));
  return namespace === undefined || name === undefined ? undefined : `${namespace}/${name}`;
}
