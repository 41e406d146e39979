/**
 * Which series does an observation belong to? A series is a workload's labels plus a variant (method, status, ... packed
 * into one small integer by the family). The answer is a slot number, found without building a string: each Owner object
 * carries a map from variant to slot. Owners with equal labels share series, through the full label tuple.
 *
 * Limits: `maxSeries` slots, and slot 0 for whatever comes beyond. An Owner's map holds no more than there are series
 * and goes with the Owner. The labels of an Owner object must not change: new labels are a new Owner.
 */

import type { Owner } from '../stream/contract.ts';
import { compareKeys, type Family, type Labels, labelValue, OVERFLOW, tupleKey } from './family.ts';

export type WorkloadLabel = 'namespace' | 'pod' | 'container' | 'service';
/** Whom traffic is counted under. */
export type Workload = Pick<Owner, WorkloadLabel>;

/** A family with a workload's labels and a cap on its series; what comes beyond it goes to one overflow series. */
export interface WorkloadFamily extends Family {
  /** Series held now, without the overflow series. */
  readonly seriesCount: number;
  /** Observations that went to the overflow series. */
  readonly overflowed: number;
  /** Removes the series that have these values in the labels that the family has of a workload. */
  removeWorkload(workload: Workload): void;
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
  readonly labels: Labels;
}

interface OwnerCache {
  readonly values: readonly string[];
  readonly slots: Map<number, number>;
  generation: number;
}

export const OVERFLOW_SLOT = 0;

export class SeriesTable {
  readonly #layout: SeriesLayout;
  readonly #labelNames: readonly string[];
  readonly #caches = new WeakMap<Workload, OwnerCache>();
  readonly #byKey = new Map<string, Series>();
  /** Slots by workload, so that removing one does not visit all series. */
  readonly #byWorkload = new Map<string, Series[]>();
  readonly #free: number[] = [];
  #nextSlot = OVERFLOW_SLOT + 1;
  /** Counts removals: caches of an older generation may name slots that belong to others now. */
  #generation = 0;
  #lastOwner: Workload | undefined;
  #lastCache: OwnerCache | undefined;
  #sorted: readonly Series[] | undefined;
  #overflowed = 0;

  constructor(layout: SeriesLayout) {
    this.#layout = layout;
    this.#labelNames = [...layout.workloadLabels, ...layout.variantLabels];
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
    const key = tupleKey(this.#workloadValues(workload));
    const series = this.#byWorkload.get(key);
    if (series === undefined) return [];
    this.#byWorkload.delete(key);
    for (const { key } of series) this.#byKey.delete(key);
    const slots = series.map(({ slot }) => slot);
    for (const slot of slots) this.#free.push(slot);
    this.#generation++;
    this.#sorted = undefined;
    return slots;
  }

  /** All series, by label values; the overflow series only once it was needed. */
  sorted(): readonly Series[] {
    if (this.#sorted === undefined) {
      const all = [...this.#byKey.values()];
      if (this.#overflowed > 0) all.push(this.#overflowSeries());
      this.#sorted = all.sort((a, b) => compareKeys(a.key, b.key));
    }
    return this.#sorted;
  }

  #cacheOf(owner: Workload): OwnerCache {
    let cache = this.#caches.get(owner);
    if (cache === undefined) {
      cache = { values: this.#workloadValues(owner), slots: new Map(), generation: this.#generation };
      this.#caches.set(owner, cache);
    }
    return cache;
  }

  #find(cache: OwnerCache, variant: number): number {
    const values = [...cache.values, ...this.#layout.decode(variant)];
    const key = tupleKey(values);
    let series = this.#byKey.get(key);
    if (series === undefined) {
      if (this.#byKey.size >= this.#layout.maxSeries) {
        if (this.#overflowed++ === 0) this.#sorted = undefined;
        // Not cached: there is room again once a workload is removed.
        return OVERFLOW_SLOT;
      }
      series = { slot: this.#free.pop() ?? this.#nextSlot++, key, labels: this.#labels(values) };
      this.#byKey.set(key, series);
      const workloadKey = tupleKey(cache.values);
      const siblings = this.#byWorkload.get(workloadKey);
      if (siblings === undefined) this.#byWorkload.set(workloadKey, [series]);
      else siblings.push(series);
      this.#sorted = undefined;
    }
    cache.slots.set(variant, series.slot);
    return series.slot;
  }

  #overflowSeries(): Series {
    const values = this.#labelNames.map((name) => (name === 'service' ? OVERFLOW : ''));
    return { slot: OVERFLOW_SLOT, key: tupleKey(values), labels: this.#labels(values) };
  }

  #workloadValues(workload: Workload): readonly string[] {
    return this.#layout.workloadLabels.map((name) => labelValue(name, workload[name]));
  }

  #labels(values: readonly string[]): Labels {
    return Object.fromEntries(this.#labelNames.map((name, index) => [name, values[index] ?? '']));
  }
}
