/**
 * A histogram of durations: typed-array counts in slabs, one row of numbers per series. Counts are doubles, so they pass
 * 2^32. Sums are kept in nanoseconds, where they are exact (and the same in any order) up to 2^53 ns, 104 days of
 * request time in one series; beyond that they are rounded to 16 digits.
 */

import type { TraceContext } from '../stream/contract.ts';
import { Exemplars } from './exemplars.ts';
import type { Labels, Sample } from './family.ts';
import { type PodLabels, type SeriesLayout, SeriesTable, type Workload, type WorkloadFamily } from './series.ts';

/** 256 series of 13 buckets are 30 KB: little for a quiet node, and 40 slabs reach the default cap. */
const SLAB_BITS = 8;
const SLAB_MASK = (1 << SLAB_BITS) - 1;
const NO_LABELS: Labels = {};

export interface HistogramOptions extends SeriesLayout {
  readonly name: string;
  readonly help: string;
  /** Upper bounds in seconds, rising. */
  readonly buckets: readonly number[];
}

export class DurationHistogram implements WorkloadFamily {
  readonly name: string;
  readonly help: string;
  readonly type = 'histogram';
  readonly #table: SeriesTable;
  readonly #boundsNs: Float64Array;
  readonly #bucketLabels: readonly Labels[];
  /** A row is: observations in each bucket and above the last one, then the sum. */
  readonly #rowLength: number;
  readonly #slabs: Float64Array[] = [];
  readonly #exemplars = new Exemplars();

  constructor(options: HistogramOptions) {
    this.name = options.name;
    this.help = options.help;
    this.#table = new SeriesTable(options);
    this.#boundsNs = Float64Array.from(options.buckets, (seconds) => Math.round(seconds * 1e9));
    this.#bucketLabels = [...options.buckets.map(String), '+Inf'].map((le) => ({ le }));
    this.#rowLength = options.buckets.length + 2;
  }

  get labelNames(): readonly string[] {
    return this.#table.labelNames;
  }

  get seriesCount(): number {
    return this.#table.size;
  }

  get overflowed(): number {
    return this.#table.overflowed;
  }

  /** `trace`: kept as the exemplar of its bucket; `timestamp`: when, in seconds of Unix time. */
  observe(owner: Workload, variant: number, durationNs: number, trace?: TraceContext, timestamp = 0): void {
    const slot = this.#table.slot(owner, variant);
    const slab = this.#slabs[slot >> SLAB_BITS] ?? this.#grow(slot);
    const row = (slot & SLAB_MASK) * this.#rowLength;
    const bounds = this.#boundsNs;
    let bucket = 0;
    while (bucket < bounds.length && durationNs > bounds[bucket]!) bucket++;
    slab[row + bucket]!++;
    slab[row + bounds.length + 1]! += durationNs;
    if (trace !== undefined) this.#exemplars.keep(slot, bucket, trace, durationNs, timestamp);
  }

  /** Adds what was sorted into these buckets elsewhere: one count per bucket and above the last one, and their sum. */
  add(owner: Workload, variant: number, counts: Float64Array, sumNs: number): void {
    const row = this.#row(this.#table.slot(owner, variant));
    for (let bucket = 0; bucket < counts.length; bucket++) row[bucket]! += counts[bucket]!;
    row[this.#rowLength - 1]! += sumNs;
  }

  removeWorkload(workload: Workload): void {
    for (const slot of this.#table.remove(workload)) {
      this.#row(slot).fill(0);
      this.#exemplars.forget(slot);
    }
  }

  removePod(pod: PodLabels): void {
    for (const slot of this.#table.removePod(pod)) this.#row(slot).fill(0);
  }

  *samples(): Iterable<Sample> {
    for (const { slot, labels } of this.#table.sorted()) {
      const row = this.#row(slot);
      let count = 0;
      for (let bucket = 0; bucket < this.#bucketLabels.length; bucket++) {
        count += row[bucket]!;
        const exemplar = this.#exemplars.get(slot, bucket);
        yield { suffix: '_bucket', labels: this.#bucketLabels[bucket]!, sharedLabels: labels, value: count, exemplar };
      }
      const sumNs = row[this.#rowLength - 1]!;
      yield { suffix: '_sum', labels: NO_LABELS, sharedLabels: labels, value: sumNs / 1e9 };
      yield { suffix: '_count', labels: NO_LABELS, sharedLabels: labels, value: count };
    }
  }

  #row(slot: number): Float64Array {
    const slab = this.#slabs[slot >> SLAB_BITS] ?? this.#grow(slot);
    const start = (slot & SLAB_MASK) * this.#rowLength;
    return slab.subarray(start, start + this.#rowLength);
  }

  #grow(slot: number): Float64Array {
    const slab = new Float64Array(this.#rowLength << SLAB_BITS);
    this.#slabs[slot >> SLAB_BITS] = slab;
    return slab;
  }
}
