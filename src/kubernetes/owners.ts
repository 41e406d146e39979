/**
 * From the owner of a connection, as its process shows it, to the pod's labels. An owner object is looked up once and again
 * when the cluster has changed; labels that stay the same stay the same object, on which the metrics' fast path rests.
 *
 * The cgroup says whose a process is. The network namespace is held against it: it stands in where the cgroup names no
 * container, and what contradicts is counted. A process in a pod that the API server has not told of waits up to a minute.
 */

import type { Place } from '../process/process-table.ts';
import type { Owner } from '../stream/contract.ts';
import type { Cluster, FoundPod } from './cluster.ts';
import type { Pod } from './objects.ts';
import type { Scope } from './scope.ts';

/** How long the API server may take to tell of a pod that runs. */
export const LATE_MS = 60_000;
/** A node runs some hundred pods. */
const MAX_NAMESPACES = 4096;

/**
 * `ready`: the labels hold. `pending`: the pod, or the name of its container, is not known yet. `excluded`: not to be
 * counted.
 */
export type Standing = 'ready' | 'pending' | 'excluded';

/** Why something is counted under the labels of the node. A closed set: it is a metric label. */
export type FallbackReason = 'unknown_pod' | 'queue_full' | 'stopped';

export interface Labelled {
  readonly standing: Standing;
  /** With the labels that hold now: those of the node as long as it is pending. */
  readonly owner: Owner;
}

interface Entry {
  readonly base: Owner;
  readonly place: Place;
  readonly sinceMs: number;
  version: number;
  labelled: Labelled;
}

export class ContainerOwners {
  readonly #cluster: Cluster;
  readonly #scope: Scope;
  readonly #place: (owner: Owner) => Place;
  readonly #hostNamespace: number;
  readonly #now: () => number;
  readonly #entries = new WeakMap<Owner, Entry>();
  /** Inode of a network namespace -> uid of the pod that has it. */
  readonly #pods = new Map<number, string>();
  #conflicts = 0;

  constructor(options: {
    cluster: Cluster;
    scope: Scope;
    place: (owner: Owner) => Place;
    /** Inode of the node's network namespace; 0: not known. */
    hostNamespace: number;
    now?: () => number;
  }) {
    this.#cluster = options.cluster;
    this.#scope = options.scope;
    this.#place = options.place;
    this.#hostNamespace = options.hostNamespace;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Processes whose cgroup and network namespace belong to different pods. */
  get conflicts(): number {
    return this.#conflicts;
  }

  /** The owner may be one that this class has given out: it is looked at anew. */
  label(owner: Owner): Labelled {
    let entry = this.#entries.get(owner);
    if (entry === undefined) {
      const place = this.#place(owner);
      const nobody: Labelled = { standing: 'pending', owner };
      entry = { base: owner, place, sinceMs: this.#now(), version: 0, labelled: nobody };
      this.#entries.set(owner, entry);
    }
    const { version } = this.#cluster;
    const waits = entry.labelled.standing === 'pending';
    if (entry.version === version && !waits) return entry.labelled;
    if (entry.version !== version) {
      entry.version = version;
      entry.labelled = this.#resolve(entry);
      this.#entries.set(entry.labelled.owner, entry);
    }
    if (entry.labelled.standing === 'pending' && this.#now() - entry.sinceMs >= LATE_MS) {
      return { standing: this.#scope.allowsUnknown ? 'ready' : 'excluded', owner: entry.labelled.owner };
    }
    return entry.labelled;
  }

  /** Its network namespace is gone, and the inode may serve another. */
  podEnded(pod: Pod): void {
    for (const [namespace, uid] of this.#pods) if (uid === pod.uid) this.#pods.delete(namespace);
  }

  #resolve({ base, place, labelled }: Entry): Labelled {
    const found = this.#find(place);
    if (found === undefined) {
      // Containers that no pod owns are the node's: Docker's, podman's.
      const waits = place.container !== undefined && place.container.podUid !== '';
      if (waits) return { standing: 'pending', owner: base };
      return { standing: this.#scope.allowsNode ? 'ready' : 'excluded', owner: base };
    }
    const { pod, container } = found;
    if (!this.#scope.allows(pod)) return { standing: 'excluded', owner: base };
    const service = this.#cluster.serviceOf(pod);
    const before = labelled.owner;
    const same =
      before.namespace === pod.namespace &&
      before.pod === pod.name &&
      before.container === container &&
      before.service === service;
    const { pid, comm } = base;
    const owner = same ? before : { pid, comm, namespace: pod.namespace, pod: pod.name, container, service };
    // A name that is still to come would give the same traffic two series.
    const waits = container === '' && place.container !== undefined && place.container.containerId !== '';
    return { standing: waits ? 'pending' : 'ready', owner };
  }

  #find({ container, networkNamespace }: Place): FoundPod | undefined {
    // Where the node's own is not known, none can be told from it.
    const shared = networkNamespace !== 0 && this.#hostNamespace !== 0 && networkNamespace !== this.#hostNamespace;
    const uid = shared ? this.#pods.get(networkNamespace) : undefined;
    const found = container === undefined ? undefined : this.#cluster.find(container);
    if (found === undefined) {
      const pod = container === undefined && uid !== undefined ? this.#cluster.pod(uid) : undefined;
      return pod === undefined ? undefined : { pod, container: '' };
    }
    if (shared && !found.pod.hostNetwork) {
      if (uid === undefined && this.#pods.size < MAX_NAMESPACES) this.#pods.set(networkNamespace, found.pod.uid);
      else if (uid !== undefined && uid !== found.pod.uid) this.#conflicts++;
    }
    return found;
  }
}
