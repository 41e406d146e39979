/**
 * Asks the agent again and again, one question at a time, while somebody looks: not in a hidden tab, not when paused.
 */

import type { Summary } from '../../summary/contract.ts';
import type { Graph } from './graph.ts';

const EVERY_MS = 2_000;
const LIMIT_MS = 5_000;

export interface News {
  readonly summary: Summary;
  /** undefined: the agent makes none. */
  readonly graph: Graph | undefined;
}

export type Connection = 'waiting' | 'live' | 'paused' | 'lost';

export class Poll {
  readonly #question: () => string;
  readonly #news: (news: News) => void;
  readonly #connection: (connection: Connection) => void;
  #paused = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asking = false;
  #askAgain = false;

  /** `question`: the query of /api/summary at this moment. */
  constructor(question: () => string, news: (news: News) => void, connection: (connection: Connection) => void) {
    this.#question = question;
    this.#news = news;
    this.#connection = connection;
    document.addEventListener('visibilitychange', () => this.now());
  }

  get paused(): boolean {
    return this.#paused;
  }

  set paused(paused: boolean) {
    this.#paused = paused;
    if (paused) this.#connection('paused');
    this.now();
  }

  /** Asks at once, also when paused if `always`: the reader wants to see something else. */
  now(always = false): void {
    clearTimeout(this.#timer);
    if (document.hidden || (this.#paused && !always)) return;
    if (this.#asking) this.#askAgain = true;
    else void this.#ask();
  }

  async #ask(): Promise<void> {
    this.#asking = true;
    this.#askAgain = false;
    try {
      const summary = (await get(`api/summary?${this.#question()}`)) as Summary;
      // Without a map the rest of the page is as good as before.
      const graph = summary.graph ? ((await get('api/graph').catch(() => undefined)) as Graph | undefined) : undefined;
      if (!this.#askAgain) this.#news({ summary, graph });
      this.#connection(this.#paused ? 'paused' : 'live');
    } catch {
      this.#connection('lost');
    }
    this.#asking = false;
    if (this.#askAgain) void this.#ask();
    else this.#timer = setTimeout(() => this.now(), EVERY_MS);
  }
}

async function get(path: string): Promise<unknown> {
  const response = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(LIMIT_MS) });
  if (!response.ok) throw new Error(`${response.status}`);
  return response.json();
}
