/**
 * The service graph: who asks whom, how often, how long it took, and how many bytes moved. Pure: a store of counts.
 * Limit: `max` edges; what comes beyond goes to one edge from `_overflow` to `_overflow`, and is counted.
 */

export interface Node {
  readonly namespace: string;
  readonly service: string;
}

/** As Grafana's service graph has it: `virtual_node` where one end is outside of what is observed. */
export type ConnectionType = '' | 'virtual_node';

export interface Times {
  /** By bound, and above the last one. */
  readonly counts: Float64Array;
  sumNs: number;
}

export interface Edge {
  readonly client: Node;
  readonly server: Node;
  readonly connectionType: ConnectionType;
  requests: number;
  /** Answered with a status of 500 or more. */
  failed: number;
  readonly clientTimes: Times;
  readonly serverTimes: Times;
  /** From client to server, as the client's side counts, or the server's where that alone is seen. */
  requestBytes: number;
  responseBytes: number;
}

/** An edge over the last half to whole minute. */
export interface EdgeRates {
  readonly requestsPerSecond: number;
  readonly failedPerSecond: number;
  readonly bytesPerSecond: number;
  /** Seconds; undefined when nothing was asked. From the server's side where it is seen. */
  readonly p50: number | undefined;
  readonly p99: number | undefined;
}

interface Mark {
  readonly timeMs: number;
  readonly requests: number;
  readonly failed: number;
  readonly bytes: number;
  readonly clientCounts: Float64Array;
  readonly serverCounts: Float64Array;
}

interface Kept {
  readonly edge: Edge;
  /** The last mark and the one before it. */
  recent: Mark;
  before: Mark;
}

const OVERFLOW: Node = { namespace: '', service: '_overflow' };
const DEFAULT_MAX = 2000;
const MARK_MS = 30_000;

export class Edges {
  readonly boundsSeconds: readonly number[];
  readonly #max: number;
  readonly #kept = new Map<string, Kept>();
  #overflowed = 0;

  readonly #clock: () => number;

  /** `clock`: milliseconds of any origin. */
  constructor(boundsSeconds: readonly number[], clock: () => number, max = DEFAULT_MAX) {
    this.boundsSeconds = boundsSeconds;
    this.#clock = clock;
    this.#max = max;
  }

  get size(): number {
    return this.#kept.size;
  }

  /** How often an edge was asked for that had no place. */
  get overflowed(): number {
    return this.#overflowed;
  }

  edge(client: Node, server: Node, connectionType: ConnectionType): Edge {
    const key = [client.namespace, client.service, server.namespace, server.service, connectionType].join('\0');
    const kept = this.#kept.get(key);
    if (kept !== undefined) return kept.edge;
    if (this.#kept.size >= this.#max && client !== OVERFLOW) {
      this.#overflowed++;
      return this.edge(OVERFLOW, OVERFLOW, '');
    }
    const edge: Edge = {
      client: { namespace: client.namespace, service: client.service },
      server: { namespace: server.namespace, service: server.service },
      connectionType,
      requests: 0,
      failed: 0,
      clientTimes: this.times(),
      serverTimes: this.times(),
      requestBytes: 0,
      responseBytes: 0,
    };
    const mark = markOf(edge, this.#clock());
    this.#kept.set(key, { edge, recent: mark, before: mark });
    return edge;
  }

  times(): Times {
    return { counts: new Float64Array(this.boundsSeconds.length + 1), sumNs: 0 };
  }

  observe(times: Times, durationNs: number): void {
    const bounds = this.boundsSeconds;
    let bucket = 0;
    while (bucket < bounds.length && durationNs > bounds[bucket]! * 1e9) bucket++;
    times.counts[bucket]!++;
    times.sumNs += durationNs;
  }

  /** To be called every few seconds: rates are measured from the mark before the last. */
  mark(): void {
    const nowMs = this.#clock();
    for (const kept of this.#kept.values()) {
      if (nowMs - kept.recent.timeMs < MARK_MS) continue;
      kept.before = kept.recent;
      kept.recent = markOf(kept.edge, nowMs);
    }
  }

  *all(): Iterable<Edge> {
    for (const { edge } of this.#kept.values()) yield edge;
  }

  *rates(): Iterable<EdgeRates & { readonly edge: Edge }> {
    const nowMs = this.#clock();
    for (const { edge, before } of this.#kept.values()) {
      const seconds = Math.max((nowMs - before.timeMs) / 1000, 1);
      const now = markOf(edge, nowMs);
      const server = now.serverCounts.map((count, i) => count - before.serverCounts[i]!);
      const client = now.clientCounts.map((count, i) => count - before.clientCounts[i]!);
      const counts = server.some((count) => count > 0) ? server : client;
      yield {
        edge,
        requestsPerSecond: (now.requests - before.requests) / seconds,
        failedPerSecond: (now.failed - before.failed) / seconds,
        bytesPerSecond: (now.bytes - before.bytes) / seconds,
        p50: quantile(this.boundsSeconds, counts, 0.5),
        p99: quantile(this.boundsSeconds, counts, 0.99),
      };
    }
  }
}

function markOf(edge: Edge, timeMs: number): Mark {
  return {
    timeMs,
    requests: edge.requests,
    failed: edge.failed,
    bytes: edge.requestBytes + edge.responseBytes,
    clientCounts: edge.clientTimes.counts.slice(),
    serverCounts: edge.serverTimes.counts.slice(),
  };
}

/** As Prometheus' histogram_quantile(): straight within a bucket, the last bound beyond it. */
export function quantile(bounds: readonly number[], counts: ArrayLike<number>, q: number): number | undefined {
  let total = 0;
  for (let i = 0; i < counts.length; i++) total += counts[i]!;
  if (total === 0) return undefined;
  let below = 0;
  for (let i = 0; i < bounds.length; i++) {
    const count = counts[i]!;
    if (count > 0 && below + count >= q * total) {
      const from = i === 0 ? 0 : bounds[i - 1]!;
      return from + ((bounds[i]! - from) * (q * total - below)) / count;
    }
    below += count;
  }
  return bounds.at(-1);
}
