/**
 * Who is it? A part of the composition root: processes, their cgroups and, where there is one, the cluster become the
 * labels under which traffic is counted, and decide about what is captured at all.
 */

import { hostname } from 'node:os';
import type { Config } from './config.ts';
import { PlainsightError } from './errors.ts';
import type { Kubernetes, Tracking } from './kubernetes/kubernetes.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics/metrics.ts';
import { SeriesLife } from './metrics/series-life.ts';
import { CgroupTable } from './process/cgroup-table.ts';
import { isRootOfPods, podOfCgroup } from './process/container-path.ts';
import { ProcessTable } from './process/process-table.ts';
import type { ProcFs } from './process/procfs.ts';
import type { Feature, Programs } from './programs.ts';
import type { Owner, Peer, PeerResolver, TransactionSink } from './stream/contract.ts';

/** What the first lists may take before capturing begins without them. */
const SYNC_MS = 5_000;

/** Addresses as the cluster knows them: pods, services and nodes. The address of a service stands for its pods'. */
export function clusterPeers({ cluster }: Kubernetes): PeerResolver {
  return {
    resolvePeer(address: string, port: number): Peer | undefined {
      const peer = cluster.resolvePeer(address, port);
      if (peer.kind === 'external') return undefined;
      if (peer.kind === 'node') return { namespace: '', service: 'node', kind: 'node' };
      const { namespace, service, pod } = peer;
      return { namespace, service: service || pod, kind: 'workload', ...(pod === '' ? { virtual: true } : {}) };
    },
  };
}

/**
 * The cluster that this node belongs to; undefined: none. Its code is loaded only where there may be one.
 * @throws PlainsightError USAGE when it is wanted and cannot be, or when namespaces are given without it.
 */
export async function findCluster(config: Config, log: Log): Promise<Kubernetes | undefined> {
  const { kubernetes: mode, nodeName, includeNamespaces, excludeNamespaces } = config;
  let found: Kubernetes | undefined;
  if (mode !== 'off' && (mode === 'on' || process.env.KUBERNETES_SERVICE_HOST)) {
    const { connectKubernetes } = await import('./kubernetes/kubernetes.ts');
    found = await connectKubernetes({ mode, nodeName: nodeName || hostname().toLowerCase(), env: process.env, log });
  }
  if (found === undefined && includeNamespaces.length + excludeNamespaces.length > 0) {
    const reason = 'there are no namespaces without Kubernetes; give --kubernetes=on and a kubeconfig, or leave it out';
    throw new PlainsightError('USAGE', `--include-namespace, --exclude-namespace: ${reason}`);
  }
  return found;
}

export class Workloads {
  readonly processes: ProcessTable;
  /** Where transactions go in. */
  readonly sink: TransactionSink;
  readonly #cgroups = new CgroupTable();
  readonly #proc: ProcFs;
  readonly #programs: Programs;
  readonly #kubernetes: Kubernetes | undefined;
  readonly #tracking: Tracking | undefined;
  readonly #life: SeriesLife;
  /** Lists of the cluster after which the garbage was collected. */
  #lists = 0;

  constructor(options: {
    config: Config;
    proc: ProcFs;
    programs: Programs;
    kubernetes: Kubernetes | undefined;
    metrics: Metrics;
    /** Gets what is labelled. */
    sink: TransactionSink;
    log: Log;
  }) {
    const { proc, kubernetes, log, programs, config } = options;
    this.#proc = proc;
    this.#programs = programs;
    this.processes = new ProcessTable({ proc, cgroups: this.#cgroups });
    this.#kubernetes = kubernetes;
    this.#life = new SeriesLife((pod) => options.metrics.removePod(pod));
    this.#tracking = kubernetes?.track({
      sink: options.sink,
      place: (owner) => this.processes.place(owner),
      paths: { podOfCgroup, isRootOfPods },
      gate: programs,
      rules: config,
      hostNamespace: proc.networkNamespace(1),
      report: (error) => log.once('scope', 'error', `kubernetes: a pod is not excluded: ${(error as Error).message}`),
      podFound: (pod) => this.#life.podFound(pod),
      podEnded: (pod) => this.#life.podEnded(pod, performance.now()),
    });
    this.sink = this.#tracking?.late ?? options.sink;
    if (kubernetes !== undefined) kubernetes.changed = () => this.#tracking?.late.release();
  }

  /**
   * Before anything is captured, and after the events of cgroups are attached.
   * @throws PlainsightError UNSUPPORTED when namespaces are chosen and this kernel does not tell cgroups apart.
   */
  async start({ includeNamespaces, excludeNamespaces }: Config): Promise<void> {
    const found = this.#cgroups.readTree(this.#proc.root);
    if (this.#tracking === undefined) return;
    if (!found && includeNamespaces.length + excludeNamespaces.length > 0) {
      const reason =
        'they are told apart by cgroup v2, which is not mounted here, or not as the whole tree that the node sees';
      throw new PlainsightError('UNSUPPORTED', `--include-namespace, --exclude-namespace: ${reason}`);
    }
    this.#kubernetes?.start();
    await this.#kubernetes?.synced(SYNC_MS);
    this.#cgroups.listen(this.#tracking.scope);
  }

  async stop(): Promise<void> {
    await this.#kubernetes?.stop();
    this.#tracking?.late.flush();
  }

  reload(config: Config): void {
    this.#tracking?.scope.setRules(config);
  }

  cgroupMade(id: number, path: string): void {
    this.#cgroups.made(id, path);
  }

  cgroupGone(id: number): void {
    this.#cgroups.gone(id);
  }

  /** As label(); undefined: it is out of scope, and nothing about it may be counted. */
  counted(owner: Owner): Owner | undefined {
    if (this.#tracking === undefined) return owner;
    const { standing, owner: now } = this.#tracking.owners.label(owner);
    const isOut = standing === 'excluded' || (standing === 'pending' && !this.#tracking.scope.allowsUnknown);
    return isOut ? undefined : now;
  }

  /** With the labels that hold now. */
  label(owner: Owner): Owner {
    return this.#tracking?.owners.label(owner).owner ?? owner;
  }

  /** After everything was rendered for a scraper. */
  scraped(): void {
    this.#life.scraped();
  }

  /** Every second. */
  tick(): void {
    this.#tracking?.late.release();
    const lists = this.#kubernetes?.states().reduce((sum, state) => sum + state.lists, 0) ?? 0;
    if (lists === this.#lists) return;
    // A list leaves tens of MB of garbage, which V8 alone would let lie.
    this.#lists = lists;
    globalThis.gc?.();
  }

  /** Every few seconds. */
  sweep(): void {
    this.processes.sweep();
    this.#life.sweep(performance.now());
    // Without the events, looking is what is left.
    if (this.#tracking !== undefined && !this.#programs.isEnabled('cgroup')) this.#cgroups.readTree(this.#proc.root);
  }

  /** Directories of the v2 hierarchy that are known. */
  get cgroups(): number {
    return this.#cgroups.size;
  }

  /** undefined without a cluster. */
  numbers() {
    if (this.#kubernetes === undefined || this.#tracking === undefined) return undefined;
    const { late, owners } = this.#tracking;
    return {
      watches: this.#kubernetes.states(),
      objects: this.#kubernetes.cluster.sizes(),
      fallbacks: late.fallbacks,
      waiting: late.waiting,
      excluded: late.excluded,
      conflicts: owners.conflicts,
    };
  }

  feature(mode: Config['kubernetes']): Feature {
    const states = this.#kubernetes?.states();
    const problem = states?.find(({ problem }) => problem !== '')?.problem;
    if (states === undefined) {
      return { feature: 'kubernetes', enabled: false, reason: mode === 'off' ? 'disabled' : 'not_needed' };
    }
    return { feature: 'kubernetes', enabled: problem === undefined, reason: problem ? `error_${problem}` : 'ok' };
  }

  /** For /api/status. */
  status() {
    const states = this.#kubernetes?.states();
    if (states === undefined) return undefined;
    const { outside } = this.#tracking!.scope;
    const watches = states.map(({ failures, ...state }) => ({ ...state, failures: Object.fromEntries(failures) }));
    const { fallbacks, watches: _, ...numbers } = this.numbers()!;
    return { watches, ...numbers, fallbacks: Object.fromEntries(fallbacks), excludedCgroups: outside };
  }
}
