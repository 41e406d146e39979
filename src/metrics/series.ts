/**
 * Which series does an observation belong to? A series is a workload's labels plus a variant (method, status, ... packed
 * into one small integer by the family). The answer is a slot number, found without building a string: each Owner object
 * carries a map from variant to slot. Owners with equal labels share series, through the full label tuple.
 *
 * Limits: `maxSeries` slots, and slot 0 for whatever comes beyond; a tenth of them for one pod, and one series of its own for
 * what comes beyond that: a pod that makes up methods or statuses takes no room from others. An Owner's map holds no more than there are series
 * and goes with the Owner. The labels of an Owner object must not change: new labels are a new Owner.
 */

import type { Owner } from '../stream/contract.ts';
import { compareKeys, type Family, type Labels, labelValue, OVERFLOW, tupleKey } from './family.ts';

export type WorkloadLabel = 'namespace' | 'pod' | 'container' | 'service';
/** Whom traffic is counted under. */
export type Workload = Pick<Owner, WorkloadLabel>;
export type PodLabels = Pick<Owner, 'namespace' | 'pod'>;

/** A family with a workload's labels and a cap on its series; what comes beyond it goes to one overflow series. */
export interface WorkloadFamily extends Family {
  /** Series held now, without the overflow series. */
  readonly seriesCount: number;
  /** Observations that went to the overflow series. */
  readonly overflowed: number;
  /** Removes the series that have these values in the labels that the family has of a workload. */
  removeWorkload(workload: Workload): void;
  /** Removes all series of a pod. */
  removePod(pod: PodLabels): void;
}

export interface SeriesLayout {
  readonly workloadLabels: readonly WorkloadLabel[];
  readonly variantLabels: readonly string[];
  /** The values of `variantLabels`, from a closed set. Called once per new series. */
  readonly decode: (variant: number) => readonly string[];
  readonly maxSeries: number;
}

export interface Series {
  readonly slot: number;
  readonly key: string;
  readonly workloadKey: string;
  readonly labels: Labels;
}

interface PodSeries {
  series: Series[];
  /** Counts what comes beyond the pod's share. */
  overflow: Series | undefined;
}

interface OwnerCache {
  readonly podKey: string;
  readonly values: readonly string[];
  readonly slots: Map<number, number>;
  generation: number;
}

export const OVERFLOW_SLOT = 0;
/** Of all series, to one pod; but for the few methods and statuses of a service there is always room. */
const POD_SHARE = 0.1;
const POD_LEAST = 100;

export class SeriesTable {
  readonly #layout: SeriesLayout;
  readonly #labelNames: readonly string[];
  readonly #caches = new WeakMap<Workload, OwnerCache>();
  readonly #byKey = new Map<string, Series>();
  /** So that removing a pod does not visit all series. What belongs to no pod is under the key of two empty labels. */
  readonly #byPod = new Map<string, PodSeries>();
  readonly #maxOfPod: number;
  readonly #free: number[] = [];
  #nextSlot = OVERFLOW_SLOT + 1;
  /** Counts removals: caches of an older generation may name slots that belong to others now. */
  #generation = 0;
  #lastOwner: Workload | undefined;
  #lastCache: OwnerCache | undefined;
  #sorted: readonly Series[] | undefined;
  #overflowed = 0;
  #overflowUsed = false;

  constructor(layout: SeriesLayout) {
    this.#layout = layout;
    this.#labelNames = [...layout.workloadLabels, ...layout.variantLabels];
    this.#maxOfPod = Math.max(POD_LEAST, Math.floor(layout.maxSeries * POD_SHARE));
  }

  get size(): number {
    return this.#byKey.size;
  }

  get overflowed(): number {
    return this.#overflowed;
  }

  get labelNames(): readonly string[] {
    return this.#labelNames;
  }

  /** The slot to count in; `OVERFLOW_SLOT` when there is room for no more series. */
  slot(owner: Workload, variant: number): number {
    let cache = this.#lastCache;
    if (cache === undefined || owner !== this.#lastOwner) {
      cache = this.#cacheOf(owner);
      this.#lastOwner = owner;
      this.#lastCache = cache;
    }
    if (cache.generation !== this.#generation) {
      cache.slots.clear();
      cache.generation = this.#generation;
    }
    return cache.slots.get(variant) ?? this.#find(cache, variant);
  }

  /** Forgets the series of this label set. Returns their slots, whose values must be set to zero before the next use. */
  remove(workload: Workload): readonly number[] {
    const podKey = podKeyOf(workload);
    const pod = this.#byPod.get(podKey);
    if (pod === undefined) return [];
    const key = tupleKey(this.#workloadValues(workload));
    const gone = pod.series.filter((series) => series.workloadKey === key);
    pod.series = pod.series.filter((series) => series.workloadKey !== key);
    if (pod.series.length === 0 && pod.overflow === undefined) this.#byPod.delete(podKey);
    return this.#forget(gone);
  }

  /** As remove(), for all series of a pod. */
  removePod(labels: PodLabels): readonly number[] {
    const podKey = podKeyOf(labels);
    const pod = this.#byPod.get(podKey);
    if (pod === undefined) return [];
    this.#byPod.delete(podKey);
    return this.#forget(pod.series);
  }

  /** All series, by label values; the overflow series only once it was needed. */
  sorted(): readonly Series[] {
    if (this.#sorted === undefined) {
      const all = [...this.#byKey.values()];
      if (this.#overflowUsed) all.push(this.#overflowSeries());
      this.#sorted = all.sort((a, b) => compareKeys(a.key, b.key));
    }
    return this.#sorted;
  }

  #cacheOf(owner: Workload): OwnerCache {
    let cache = this.#caches.get(owner);
    if (cache === undefined) {
      cache = {
        podKey: podKeyOf(owner),
        values: this.#workloadValues(owner),
        slots: new Map(),
        generation: this.#generation,
      };
      this.#caches.set(owner, cache);
    }
    return cache;
  }

  #find(cache: OwnerCache, variant: number): number {
    const values = [...cache.values, ...this.#layout.decode(variant)];
    let series = this.#byKey.get(tupleKey(values));
    if (series === undefined) {
      const pod = this.#byPod.get(cache.podKey) ?? { series: [], overflow: undefined };
      const isPod = cache.podKey !== NO_POD;
      const isFull = isPod && pod.series.length - (pod.overflow === undefined ? 0 : 1) >= this.#maxOfPod;
      if (this.#byKey.size >= this.#layout.maxSeries || isFull) {
        this.#overflowed++;
        // Not cached: there is room again once a workload is removed.
        return isFull ? this.#overflowOfPod(cache, pod) : this.#overflow();
      }
      series = this.#add(cache, pod, values);
    }
    cache.slots.set(variant, series.slot);
    return series.slot;
  }

  #overflowOfPod(cache: OwnerCache, pod: PodSeries): number {
    if (pod.overflow !== undefined) return pod.overflow.slot;
    if (this.#byKey.size >= this.#layout.maxSeries) return this.#overflow();
    const names = this.#layout.workloadLabels;
    const values = this.#labelNames.map((name, index) =>
      name === 'service'
        ? OVERFLOW
        : names[index] === 'namespace' || names[index] === 'pod'
          ? cache.values[index]!
          : '',
    );
    pod.overflow = this.#add(cache, pod, values);
    return pod.overflow.slot;
  }

  #overflow(): number {
    if (!this.#overflowUsed) this.#sorted = undefined;
    this.#overflowUsed = true;
    return OVERFLOW_SLOT;
  }

  #add(cache: OwnerCache, pod: PodSeries, values: readonly string[]): Series {
    const key = tupleKey(values);
    const workloadKey = tupleKey(values.slice(0, cache.values.length));
    const series = { slot: this.#free.pop() ?? this.#nextSlot++, key, workloadKey, labels: this.#labels(values) };
    this.#byKey.set(key, series);
    pod.series.push(series);
    this.#byPod.set(cache.podKey, pod);
    this.#sorted = undefined;
    return series;
  }

  #forget(gone: readonly Series[]): readonly number[] {
    if (gone.length === 0) return [];
    for (const { key, slot } of gone) {
      this.#byKey.delete(key);
      this.#free.push(slot);
    }
    this.#generation++;
    this.#sorted = undefined;
    return gone.map(({ slot }) => slot);
  }

  #overflowSeries(): Series {
    const values = this.#labelNames.map((name) => (name === 'service' ? OVERFLOW : ''));
    return { slot: OVERFLOW_SLOT, key: tupleKey(values), workloadKey: '', labels: this.#labels(values) };
  }

  #workloadValues(workload: Workload): readonly string[] {
    return this.#layout.workloadLabels.map((name) => labelValue(name, workload[name]));
  }

  #labels(values: readonly string[]): Labels {
    return Object.fromEntries(this.#labelNames.map((name, index) => [name, values[index] ?? '']));
  }
}

function podKeyOf({ namespace, pod }: PodLabels): string {
  return tupleKey([labelValue('namespace', namespace), labelValue('pod', pod)]);
}

const NO_POD = podKeyOf({ namespace: '', pod: '' });
