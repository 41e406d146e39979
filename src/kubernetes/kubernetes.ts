/**
 * Kubernetes as the agent uses it: watches the API server for what concerns this node's pods and their peers, and keeps it
 * for those who ask. Metrics do not depend on it: while the server is away, what is known stays, and what is new waits.
 *
 * The account needs list and watch on pods, services, nodes and namespaces, and on endpointslices of discovery.k8s.io;
 * where one is refused, only what it is for is missing. Loaded only where it is wanted.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { PlainsightError } from '../errors.ts';
import type { Place } from '../process/process-table.ts';
import type { Owner, TransactionSink } from '../stream/contract.ts';
import { type Access, inClusterAccess, isInCluster, kubeconfigAccess } from './access.ts';
import { ApiClient } from './api-client.ts';
import { Cluster } from './cluster.ts';
import { LateTransactions } from './late-transactions.ts';
import { type Pod, parseEndpointSlice, parseNamespace, parseNode, parsePod, parseService } from './objects.ts';
import { ContainerOwners } from './owners.ts';
import {
  Reflector,
  type ReflectorLog,
  type ReflectorState,
  type ReflectorTiming,
  type Resource,
  type Store,
} from './reflector.ts';
import { type PathReader, Scope, type ScopeGate, type ScopeRules } from './scope.ts';

const SYNC_STEP_MS = 20;

export interface KubernetesOptions {
  /** `on`: also by a kubeconfig file. */
  readonly mode: 'auto' | 'on';
  /** As the API server calls this node. */
  readonly nodeName: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: ReflectorLog;
  readonly timing?: Partial<ReflectorTiming>;
}

export interface TrackingOptions {
  /** Gets what is labelled. */
  readonly sink: TransactionSink;
  readonly place: (owner: Owner) => Place;
  readonly paths: PathReader;
  readonly gate: ScopeGate;
  readonly rules: ScopeRules;
  /** Inode of the node's network namespace; 0: not known. */
  readonly hostNamespace: number;
  readonly report: (error: unknown) => void;
  readonly podFound: (labels: Pick<Owner, 'namespace' | 'pod'>) => void;
  readonly podEnded: (labels: Pick<Owner, 'namespace' | 'pod'>) => void;
}

/** What stands between processes and metrics. */
export interface Tracking {
  readonly scope: Scope;
  readonly owners: ContainerOwners;
  readonly late: LateTransactions;
}

/** @throws PlainsightError USAGE when it is wanted and there is no way to reach an API server. */
async function findAccess({ mode, env }: KubernetesOptions): Promise<Access | undefined> {
  if (isInCluster(env)) return inClusterAccess(env);
  return mode === 'on' ? kubeconfigAccess(env) : undefined;
}

/** undefined: this is no pod of a cluster. */
export async function connectKubernetes(options: KubernetesOptions): Promise<Kubernetes | undefined> {
  const access = await findAccess(options);
  return access === undefined ? undefined : new Kubernetes(access, options);
}

export class Kubernetes {
  readonly cluster = new Cluster();
  readonly #reflectors: readonly Reflector<never>[];
  /** Called when something has changed, once for all changes of one turn. */
  changed: () => void = () => {};
  #told = false;
  #running: Promise<unknown> | undefined;

  /** @throws PlainsightError USAGE when the name is none that a node can have. */
  constructor(access: Access, { nodeName, log, timing = {} }: Omit<KubernetesOptions, 'mode' | 'env'>) {
    // RFC 1123: what is none would be a field selector of its own.
    if (!/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(nodeName)) {
      throw new PlainsightError('USAGE', `--node-name: not the name of a Kubernetes node; give it as kubectl shows it`);
    }
    const { cluster } = this;
    const client = new ApiClient(access);
    const watched = <T>(
      resource: Pick<Resource<T>, 'name' | 'path' | 'parse'> & Partial<Resource<T>>,
      store: Store<T>,
    ) => {
      const whole = { query: {}, metadataOnly: false, ...resource };
      return new Reflector<T>({ client, resource: whole, store, log, timing, changed: () => this.#tell() });
    };
    this.#reflectors = [
      watched(
        {
          name: 'pods',
          path: '/api/v1/pods',
          query: { fieldSelector: `spec.nodeName=${nodeName}` },
          parse: parsePod,
        },
        cluster.podStore,
      ),
      watched(
        { name: 'namespaces', path: '/api/v1/namespaces', metadataOnly: true, parse: parseNamespace },
        cluster.namespaceStore,
      ),
      watched({ name: 'services', path: '/api/v1/services', parse: parseService }, cluster.serviceStore),
      watched(
        { name: 'endpointslices', path: '/apis/discovery.k8s.io/v1/endpointslices', parse: parseEndpointSlice },
        cluster.sliceStore,
      ),
      watched({ name: 'nodes', path: '/api/v1/nodes', parse: parseNode }, cluster.nodeStore),
    ] as unknown as readonly Reflector<never>[];
  }

  start(): void {
    this.#running = Promise.all(this.#reflectors.map((reflector) => reflector.run()));
  }

  async stop(): Promise<void> {
    for (const reflector of this.#reflectors) reflector.stop();
    await this.#running;
  }

  /** Waits for what says who may not be looked at, or for the time to pass. */
  async synced(limitMs: number): Promise<void> {
    const deadline = performance.now() + limitMs;
    const waits = () => this.states().some(({ resource, synced }) => !synced && /^(pods|namespaces)$/.test(resource));
    while (waits() && performance.now() < deadline) await sleep(SYNC_STEP_MS);
  }

  /** To be called once. */
  track(options: TrackingOptions): Tracking {
    const { cluster } = this;
    const scope = new Scope({ cluster, ...options });
    const owners = new ContainerOwners({ cluster, scope, ...options });
    const late = new LateTransactions({ sink: options.sink, label: (owner) => owners.label(owner) });
    const labels = ({ namespace, name }: Pod) => ({ namespace, pod: name });
    cluster.listener = {
      podFound: (pod) => options.podFound(labels(pod)),
      podChanged: (pod) => scope.podChanged(pod),
      podEnded: (pod) => {
        owners.podEnded(pod);
        options.podEnded(labels(pod));
      },
      namespaceChanged: (name) => scope.namespaceChanged(name),
    };
    return { scope, owners, late };
  }

  states(): readonly ReflectorState[] {
    return this.#reflectors.map((reflector) => reflector.state);
  }

  #tell(): void {
    if (this.#told) return;
    this.#told = true;
    setImmediate(() => {
      this.#told = false;
      this.changed();
    });
  }
}
