/**
 * The newest trace in each bucket of a histogram's series, for the exemplars of OpenMetrics. At most MAX_SERIES series of a
 * family have any: what a client puts into a header must not cost memory without a limit.
 */

import type { TraceContext } from '../stream/contract.ts';
import type { Exemplar } from './family.ts';

/** With 14 buckets about 2 MB, when each bucket of each has one. */
export const MAX_SERIES = 1000;

export class Exemplars {
  /** By slot, then by bucket. */
  readonly #bySlot = new Map<number, (Exemplar | undefined)[]>();

  /** `timestamp`: seconds of Unix time. */
  keep(slot: number, bucket: number, trace: TraceContext, durationNs: number, timestamp: number): void {
    let buckets = this.#bySlot.get(slot);
    if (buckets === undefined) {
      if (this.#bySlot.size >= MAX_SERIES) return;
      buckets = [];
      this.#bySlot.set(slot, buckets);
    }
    const labelSet = { trace_id: trace.traceId, span_id: trace.spanId };
    buckets[bucket] = { labelSet, value: durationNs / 1e9, timestamp };
  }

  get(slot: number, bucket: number): Exemplar | undefined {
    return this.#bySlot.get(slot)?.[bucket];
  }

  forget(slot: number): void {
    this.#bySlot.delete(slot);
  }
}
