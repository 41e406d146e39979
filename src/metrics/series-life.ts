/**
 * When the series of a pod that is gone may go: two minutes after its end at the latest, but not before they were scraped once.
 * A new pod of the same name starts afresh with the next scrape, so nothing is taken for the first one's. Pure: the clock
 * comes with each call.
 *
 * Limit: 4096 pods wait; beyond that the one that ended first goes unscraped.
 */

import type { PodLabels } from './series.ts';

/** Before two minutes are over whatever the caller's rhythm is, up to 5 s. */
const LIFE_MS = 115_000;
const MAX_ENDED = 4096;

interface Ended {
  readonly labels: PodLabels;
  readonly atMs: number;
  scraped: boolean;
  /** Another pod has the name now. */
  replaced: boolean;
}

export class SeriesLife {
  readonly #ended = new Map<string, Ended>();
  readonly #remove: (pod: PodLabels) => void;

  constructor(remove: (pod: PodLabels) => void) {
    this.#remove = remove;
  }

  /** Pods whose series wait for their end. */
  get size(): number {
    return this.#ended.size;
  }

  podEnded({ namespace, pod }: PodLabels, nowMs: number): void {
    const key = `${namespace}/${pod}`;
    const oldest = this.#ended.keys().next().value;
    if (this.#ended.size >= MAX_ENDED && oldest !== undefined) this.#end(oldest);
    this.#ended.delete(key);
    this.#ended.set(key, { labels: { namespace, pod }, atMs: nowMs, scraped: false, replaced: false });
  }

  /** A pod has begun: its name may be that of one that ended. */
  podFound({ namespace, pod }: PodLabels): void {
    const key = `${namespace}/${pod}`;
    const ended = this.#ended.get(key);
    if (ended === undefined) return;
    ended.replaced = true;
    if (ended.scraped) this.#end(key);
  }

  /** Everything was rendered for a scraper. */
  scraped(): void {
    for (const [key, ended] of this.#ended) {
      ended.scraped = true;
      if (ended.replaced) this.#end(key);
    }
  }

  /** To be called every few seconds. */
  sweep(nowMs: number): void {
    for (const [key, { atMs, scraped }] of this.#ended) if (scraped && nowMs - atMs >= LIFE_MS) this.#end(key);
  }

  #end(key: string): void {
    const ended = this.#ended.get(key);
    this.#ended.delete(key);
    if (ended !== undefined) this.#remove(ended.labels);
  }
}
