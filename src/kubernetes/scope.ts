/**
 * Whose traffic may be captured, decided by pod and written down where the kernel asks: at the cgroup of the pod, which
 * is there before its first process. With namespaces to include or exclude, nothing of a pod is captured before it is
 * known; without them, all is until a pod or namespace says no.
 *
 * Needs cgroup v2 (also beside v1). Keeps one entry for each pod cgroup that exists.
 */

import type { CgroupListener } from '../process/cgroup-table.ts';
import type { Cluster } from './cluster.ts';
import type { Pod } from './objects.ts';

export interface ScopeRules {
  /** Empty: all. */
  readonly includeNamespaces: readonly string[];
  readonly excludeNamespaces: readonly string[];
}

/** The kernel's side. */
export interface ScopeGate {
  /** What holds where nothing is decided. */
  setDefaultScope(scope: 'unlimited' | 'in' | 'out'): void;
  setScope(cgroupId: bigint, scope: 'in' | 'out' | undefined): void;
  /** Connections that are known already are judged anew. */
  renewDecisions(): void;
}

/** What a path says: src/process/container-path.ts. */
export interface PathReader {
  podOfCgroup(path: string): string;
  isRootOfPods(path: string): boolean;
}

export class Scope implements CgroupListener {
  readonly #cluster: Cluster;
  readonly #gate: ScopeGate;
  readonly #paths: PathReader;
  readonly #report: (error: unknown) => void;
  /** As the cgroup names it -> its cgroups. A pod has one, or one for each container (`slice:cri-containerd:id`). */
  readonly #cgroupsOfPod = new Map<string, Set<number>>();
  readonly #rootsOfPods = new Set<number>();
  /** What the kernel has been told. */
  readonly #written = new Map<number, 'in' | 'out'>();
  #include = new Set<string>();
  #exclude = new Set<string>();
  #outside = 0;
  #default: 'unlimited' | 'in' | 'out' = 'unlimited';

  constructor(options: {
    cluster: Cluster;
    gate: ScopeGate;
    paths: PathReader;
    rules: ScopeRules;
    /** A full map: then more may be captured than was asked for. */
    report: (error: unknown) => void;
  }) {
    this.#cluster = options.cluster;
    this.#gate = options.gate;
    this.#paths = options.paths;
    this.#report = options.report;
    this.setRules(options.rules);
  }

  /** Pod cgroups of which nothing is captured. */
  get outside(): number {
    return this.#outside;
  }

  setRules({ includeNamespaces, excludeNamespaces }: ScopeRules): void {
    this.#include = new Set(includeNamespaces);
    this.#exclude = new Set(excludeNamespaces);
    for (const uid of this.#cgroupsOfPod.keys()) this.#apply(uid);
    for (const id of this.#rootsOfPods) this.#write(id, this.#isStrict ? 'out' : undefined);
    this.#applyDefault();
    this.#gate.renewDecisions();
  }

  /** May traffic of this pod be counted? */
  allows(pod: Pod): boolean {
    const { namespace, enabled } = pod;
    if (!enabled || this.#exclude.has(namespace)) return false;
    if (this.#include.size > 0 && !this.#include.has(namespace)) return false;
    return this.#cluster.isNamespaceEnabled(namespace);
  }

  /** May that of processes outside of all pods? */
  get allowsNode(): boolean {
    return this.#include.size === 0;
  }

  /** Whether a pod that is not known yet may not be counted. */
  get #isStrict(): boolean {
    return this.#include.size > 0 || this.#exclude.size > 0;
  }

  get allowsUnknown(): boolean {
    return !this.#isStrict;
  }

  podChanged(pod: Pod): void {
    this.#apply(pod.uid);
    if (pod.staticUid !== '') this.#apply(pod.staticUid);
  }

  namespaceChanged(name: string): void {
    for (const pod of this.#cluster.pods()) if (pod.namespace === name) this.podChanged(pod);
  }

  cgroupFound(id: number, path: string): void {
    const uid = this.#paths.podOfCgroup(path);
    if (uid !== '') {
      const known = this.#cgroupsOfPod.get(uid);
      if (known) known.add(id);
      else this.#cgroupsOfPod.set(uid, new Set([id]));
      this.#apply(uid);
    } else if (this.#paths.isRootOfPods(path)) {
      this.#rootsOfPods.add(id);
      if (this.#isStrict) this.#write(id, 'out');
    }
  }

  cgroupGone(id: number, path: string): void {
    const uid = this.#paths.podOfCgroup(path);
    const known = this.#cgroupsOfPod.get(uid);
    known?.delete(id);
    if (known?.size === 0) this.#cgroupsOfPod.delete(uid);
    this.#rootsOfPods.delete(id);
    this.#write(id, undefined);
  }

  #apply(uid: string): void {
    const cgroups = this.#cgroupsOfPod.get(uid);
    if (cgroups === undefined) return;
    const pod = this.#cluster.pod(uid);
    // What was decided of a pod holds to its end, also when its object went first.
    if (pod === undefined && !this.#isStrict) return;
    const allowed = pod !== undefined && this.allows(pod);
    let changed = false;
    for (const id of cgroups) {
      changed = this.#write(id, allowed ? (this.#isStrict ? 'in' : undefined) : 'out') || changed;
    }
    if (changed) this.#gate.renewDecisions();
  }

  /** Returns whether that is news to the kernel. */
  #write(id: number, scope: 'in' | 'out' | undefined): boolean {
    const before = this.#written.get(id);
    if (before === scope) return false;
    try {
      this.#gate.setScope(BigInt(id), scope);
    } catch (error) {
      this.#report(error);
      return false;
    }
    if (before === 'out') this.#outside--;
    if (scope === 'out') this.#outside++;
    if (scope === undefined) this.#written.delete(id);
    else this.#written.set(id, scope);
    this.#applyDefault();
    return true;
  }

  #applyDefault(): void {
    const wanted = this.#include.size > 0 ? 'out' : this.#written.size > 0 ? 'in' : 'unlimited';
    if (wanted === this.#default) return;
    this.#default = wanted;
    this.#gate.setDefaultScope(wanted);
  }
}
