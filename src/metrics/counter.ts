/** A counter, or a gauge, with a workload's labels, for what is rarer than a request. */

import type { Sample } from './family.ts';
import { type PodLabels, type SeriesLayout, SeriesTable, type Workload, type WorkloadFamily } from './series.ts';

export interface CounterOptions extends SeriesLayout {
  /** Ends in `_total` unless it is a gauge's. */
  readonly name: string;
  readonly help: string;
  readonly type?: 'counter' | 'gauge';
}

export class WorkloadCounter implements WorkloadFamily {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly #table: SeriesTable;
  /** By slot. */
  readonly #values: number[] = [];

  constructor(options: CounterOptions) {
    this.name = options.name;
    this.help = options.help;
    this.type = options.type ?? 'counter';
    this.#table = new SeriesTable(options);
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

  add(owner: Workload, variant: number, amount: number): void {
    const slot = this.#table.slot(owner, variant);
    this.#values[slot] = (this.#values[slot] ?? 0) + amount;
  }

  /** A gauge begins anew: series that nothing is added to from here on are 0. */
  clear(): void {
    this.#values.fill(0);
  }

  removeWorkload(workload: Workload): void {
    for (const slot of this.#table.remove(workload)) this.#values[slot] = 0;
  }

  removePod(pod: PodLabels): void {
    for (const slot of this.#table.removePod(pod)) this.#values[slot] = 0;
  }

  *samples(): Iterable<Sample> {
    for (const { slot, labels } of this.#table.sorted()) yield { labels, value: this.#values[slot] ?? 0 };
  }
}
