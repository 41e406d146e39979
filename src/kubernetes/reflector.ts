/**
 * Keeps a store equal to one resource of the API server: a list, then a watch from the version of the list on, as the API
 * concepts describe it ("Efficient detection of changes"). Whatever breaks, the store keeps what it has, and it is tried
 * again with back-off and jitter. A problem is logged once, until it has been well for a while.
 */

import type { ApiClient } from './api-client.ts';
import { ApiError, type ApiProblem, problemOfStatus } from './api-error.ts';
import { field, text } from './json-fields.ts';
import { parseJson } from './list-splitter.ts';

export interface Resource<T> {
  /** As in URLs, messages and labels. */
  readonly name: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly metadataOnly: boolean;
  /** Keeps what is needed of an object; undefined when it is not what it should be. */
  readonly parse: (object: unknown) => T | undefined;
}

export interface Store<T> {
  /** What an object is known by; undefined when it is not what it should be. */
  key(object: unknown): string | undefined;
  set(key: string, value: T): void;
  delete(key: string): void;
  keys(): Iterable<string>;
}

export interface ReflectorTiming {
  readonly minDelayMs: number;
  readonly maxDelayMs: number;
  /** A watch that lasts so long shows that all is well. */
  readonly healthyMs: number;
  /** Servers send a bookmark about every minute; whoever is silent for longer is asked anew. */
  readonly idleMs: number;
  readonly random: () => number;
}

export const DEFAULT_TIMING: ReflectorTiming = {
  minDelayMs: 500,
  maxDelayMs: 30_000,
  healthyMs: 10_000,
  idleMs: 180_000,
  random: Math.random,
};

export interface ReflectorLog {
  info(message: string): void;
  warn(message: string): void;
}

export interface ReflectorState {
  readonly resource: string;
  /** A whole list has arrived at least once. */
  readonly synced: boolean;
  /** Whole lists that have arrived. */
  readonly lists: number;
  /** What is wrong now; '' when nothing is. */
  readonly problem: ApiProblem | '';
  /** Since the start. */
  readonly failures: ReadonlyMap<ApiProblem, number>;
}

/** Where a watch goes on from. */
const FROM_CACHE = '0';
const NEWEST = '';
const PAGE_LIMIT = '500';
const WATCH_SECONDS = 300;
const FAILURES_BEFORE_NEWEST = 4;

export class Reflector<T> {
  readonly #client: ApiClient;
  readonly #resource: Resource<T>;
  readonly #store: Store<T>;
  readonly #timing: ReflectorTiming;
  readonly #log: ReflectorLog;
  readonly #changed: () => void;
  readonly #abort = new AbortController();
  readonly #failures = new Map<ApiProblem, number>();
  #failuresInARow = 0;
  #problem: ApiProblem | '' = '';
  #lists = 0;
  /** undefined: the next step is a list. */
  #version: string | undefined;
  /** What the next list asks for. */
  #listVersion = FROM_CACHE;

  constructor(options: {
    client: ApiClient;
    resource: Resource<T>;
    store: Store<T>;
    log: ReflectorLog;
    timing?: Partial<ReflectorTiming>;
    /** Called after the store has changed, or a list has arrived. */
    changed: () => void;
  }) {
    this.#client = options.client;
    this.#resource = options.resource;
    this.#store = options.store;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    this.#log = options.log;
    this.#changed = options.changed;
  }

  get state(): ReflectorState {
    const { name } = this.#resource;
    const [synced, lists] = [this.#lists > 0, this.#lists];
    return { resource: name, synced, lists, problem: this.#problem, failures: this.#failures };
  }

  /** Runs until stop(). Never rejects. */
  async run(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      const began = performance.now();
      let delayMs = 0;
      try {
        if (this.#version === undefined) await this.#list();
        await this.#watch();
        // A server that ends each watch at once is not asked again at once.
        if (performance.now() - began < this.#timing.healthyMs) delayMs = this.#delay(++this.#failuresInARow);
      } catch (error) {
        if (signal.aborted) return;
        delayMs = this.#failed(error, performance.now() - began);
      }
      await wait(delayMs, signal);
    }
  }

  stop(): void {
    this.#abort.abort();
  }

  async #list(): Promise<void> {
    const gone = new Set(this.#store.keys());
    let next: string | undefined;
    let version: string | undefined;
    do {
      const head = await this.#client.list(this.#request(this.#listQuery(next)), (item) => {
        const object = parseJson(item);
        const key = this.#set(object);
        if (key !== undefined) gone.delete(key);
      });
      version = text(field(head, 'metadata', 'resourceVersion'));
      next = text(field(head, 'metadata', 'continue'));
    } while (next !== undefined);
    if (version === undefined) throw new ApiError('malformed');
    for (const key of gone) this.#store.delete(key);
    this.#version = version;
    this.#listVersion = version;
    this.#lists++;
    this.#changed();
  }

  /** The server's cache, the first time: hundreds of agents that start at once must not all read etcd. */
  #listQuery(next: string | undefined): Record<string, string> {
    if (next !== undefined) return { limit: PAGE_LIMIT, continue: next };
    return this.#listVersion === NEWEST ? { limit: PAGE_LIMIT } : { resourceVersion: this.#listVersion };
  }

  async #watch(): Promise<void> {
    const { healthyMs, random } = this.#timing;
    const timeoutSeconds = String(Math.round(WATCH_SECONDS * (1 + random())));
    const query = { resourceVersion: this.#version!, allowWatchBookmarks: 'true', timeoutSeconds };
    const healthy = setTimeout(() => this.#recovered(), healthyMs);
    try {
      await this.#client.watch(this.#request(query), (line) => this.#event(parseJson(line)));
    } finally {
      clearTimeout(healthy);
    }
  }

  #event(event: unknown): void {
    const object = field(event, 'object');
    const type = field(event, 'type');
    if (type === 'ERROR') {
      const code = field(object, 'code');
      throw new ApiError(typeof code === 'number' ? problemOfStatus(code) : 'malformed');
    }
    if (type === 'ADDED' || type === 'MODIFIED') this.#set(object);
    else if (type === 'DELETED') this.#delete(object);
    else if (type !== 'BOOKMARK') throw new ApiError('malformed');
    const version = text(field(object, 'metadata', 'resourceVersion'));
    if (version === undefined) throw new ApiError('malformed');
    this.#version = version;
    this.#listVersion = version;
    if (type !== 'BOOKMARK') this.#changed();
  }

  /** One object that is not as it should be costs itself, not the others. */
  #set(object: unknown): string | undefined {
    const key = this.#store.key(object);
    const value = key === undefined ? undefined : this.#resource.parse(object);
    if (key === undefined || value === undefined) this.#count('malformed');
    else this.#store.set(key, value);
    return key;
  }

  #delete(object: unknown): void {
    const key = this.#store.key(object);
    if (key === undefined) this.#count('malformed');
    else this.#store.delete(key);
  }

  #request(query: Readonly<Record<string, string>>) {
    const { path, query: fixed, metadataOnly } = this.#resource;
    const { idleMs } = this.#timing;
    return { path, query: { ...fixed, ...query }, metadataOnly, idleMs, signal: this.#abort.signal };
  }

  /** Returns how long to wait. */
  #failed(error: unknown, lastedMs: number): number {
    const problem = error instanceof ApiError ? error.problem : 'malformed';
    const wellBefore = lastedMs >= this.#timing.healthyMs;
    if (wellBefore) this.#failuresInARow = 0;
    if (problem === 'expired') {
      // A version that the server has forgotten: what is newest is asked for, lest an old cache answers.
      this.#version = undefined;
      this.#listVersion = NEWEST;
    } else if (problem === 'malformed' || problem === 'too_large') {
      this.#version = undefined;
    }
    this.#count(problem);
    // To end in the middle is how servers restart, and how they tell that a version is too old.
    const ordinary = problem === 'expired' || ((problem === 'timeout' || problem === 'unreachable') && wellBefore);
    this.#failuresInARow++;
    // A server that was restored from a backup may never reach the version that is asked for.
    if (this.#failuresInARow >= FAILURES_BEFORE_NEWEST && (problem === 'overloaded' || problem === 'refused')) {
      this.#version = undefined;
      this.#listVersion = NEWEST;
    }
    if (!ordinary || this.#failuresInARow > 1) this.#report(problem);
    const retryAfterMs = error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0;
    return Math.max(this.#delay(this.#failuresInARow), retryAfterMs);
  }

  #report(problem: ApiProblem): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    const reason = new ApiError(problem).message;
    this.#log.warn(`kubernetes: the API server gives no ${this.#resource.name}: ${reason}; it is tried again`);
  }

  #recovered(): void {
    this.#failuresInARow = 0;
    if (this.#problem === '') return;
    this.#problem = '';
    this.#log.info(`kubernetes: the API server gives ${this.#resource.name} again`);
  }

  #count(problem: ApiProblem): void {
    this.#failures.set(problem, (this.#failures.get(problem) ?? 0) + 1);
  }

  #delay(failures: number): number {
    const { minDelayMs, maxDelayMs, random } = this.#timing;
    const delayMs = Math.min(minDelayMs * 2 ** Math.min(failures - 1, 16), maxDelayMs);
    return delayMs * (0.5 + random());
  }
}

function wait(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, delayMs);
    signal.addEventListener('abort', done);
  });
}
