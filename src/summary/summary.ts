/**
 * The JSON behind the page at `/`, put together when somebody asks. Between two askings it counts requests
 * (traffic-history.ts) and the agent's own cost (cost-history.ts); everything else is read from where it is kept.
 * Starts no timer: the caller runs advance() every STEP_SECONDS.
 */

import { labelValue } from '../metrics/family.ts';
import type { SelfSource } from '../metrics/self.ts';
import type { TransactionSink } from '../stream/contract.ts';
import type { Role, Summary, TlsBytes, TlsProcesses } from './contract.ts';
import { CostHistory, type CostSource } from './cost-history.ts';
import { STEP_SECONDS, Steps } from './steps.ts';
import { TrafficHistory } from './traffic-history.ts';

/** The page gets that many lines of TLS processes, and of workloads; a node with more has them in /api/status and /metrics. */
const MAX_TLS_LINES = 500;

export interface TlsProcessState {
  readonly namespace: string;
  readonly service: string;
  readonly library: string;
  readonly version: string;
  readonly state: string;
  readonly reason: string;
}

export interface SummarySource extends CostSource, Pick<SelfSource, 'features' | 'lost' | 'connections'> {
  /** One entry per process and library. */
  tlsProcesses(): Iterable<TlsProcessState>;
  /** Missing: not measured. */
  tlsBytes?(): Iterable<TlsBytes>;
  /** Per metric: series held, observations beyond the cap. */
  series(): Iterable<{ readonly metric: string; readonly held: number; readonly overflowed: number }>;
}

export interface SummaryOptions {
  readonly identity: Pick<Summary, 'version' | 'kernel' | 'arch' | 'node'>;
  /** Seconds, rising. */
  readonly buckets: readonly number[];
  readonly source: SummarySource;
  /** Is there an /api/graph? */
  readonly graph: boolean;
  /** Milliseconds of a clock that never goes back; performance.now() when missing. */
  readonly now?: () => number;
}

/** Whose history `detail` shows. */
export interface Selection {
  readonly role: Role;
  /** null: all services. */
  readonly of: { readonly namespace: string; readonly service: string } | null;
}

/** From the query of a request: `role`, and `namespace` with `service`. What it does not know it takes as not given. */
export function readSelection(query: URLSearchParams): Selection {
  const service = query.get('service');
  return {
    role: query.get('role') === 'client' ? 'client' : 'server',
    of: service === null ? null : { namespace: query.get('namespace') ?? '', service },
  };
}

export class SummaryBoard {
  readonly #options: SummaryOptions;
  readonly #now: () => number;
  readonly #startedMs: number;
  readonly #steps: Steps;
  readonly #traffic: TrafficHistory;
  readonly #cost: CostHistory;

  constructor(options: SummaryOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#startedMs = this.#now();
    this.#steps = new Steps(this.#startedMs);
    this.#traffic = new TrafficHistory(options.buckets, this.#steps);
    this.#cost = new CostHistory(options.source, this.#steps);
  }

  /** Gets every transaction that the metrics get. */
  get sink(): TransactionSink {
    return this.#traffic;
  }

  /** The probes are attached: rates and costs count from here on. */
  begin(): void {
    this.#steps.begin(this.#now());
    this.#cost.begin();
  }

  advance(): void {
    this.#cost.finishStep();
    this.#steps.advance(this.#now());
    this.#traffic.advance();
  }

  /** The state of this moment. */
  render({ role, of }: Selection): Summary {
    const { identity, buckets, source, graph } = this.#options;
    const nowMs = this.#now();
    const time = Date.now();
    const series = [...source.series()];
    const lost = Object.entries(source.lost());
    return {
      ...identity,
      time,
      uptimeSeconds: Math.round((nowMs - this.#startedMs) / 1000),
      stepSeconds: STEP_SECONDS,
      windowSeconds: Number(this.#steps.window(nowMs).seconds.toFixed(1)),
      steps: this.#steps.finished().map((slot) => Math.round((time - nowMs + this.#steps.endMs(slot)) / 1000)),
      buckets,
      all: { server: this.#traffic.all('server', nowMs), client: this.#traffic.all('client', nowMs) },
      services: this.#traffic.services(nowMs),
      beyondLimit: this.#traffic.beyondLimit,
      detail: this.#traffic.detail(role, of),
      tls: { processes: grouped(source.tlsProcesses()), bytes: source.tlsBytes ? limited(source.tlsBytes()) : null },
      losses: {
        events: lost.map(([stage, count = 0]) => ({ stage, count })),
        incomplete: this.#traffic.incompleteByReason(),
        overflow: series
          .filter(({ overflowed }) => overflowed > 0)
          .map(({ metric, overflowed }) => ({ metric, count: overflowed })),
      },
      cost: {
        ...this.#cost.now(nowMs),
        series: series.reduce((sum, { held }) => sum + held, 0),
        connections: Object.values(source.connections()).reduce((sum, count) => sum + count, 0),
      },
      features: source.features(),
      graph,
    };
  }
}

/** What comes beyond the limit is added up in one more line, without labels: the sums are right. */
function limited(workloads: Iterable<TlsBytes>): TlsBytes[] {
  const lines: TlsBytes[] = [];
  let plaintext = 0;
  let ciphertext = 0;
  for (const workload of workloads) {
    if (lines.length < MAX_TLS_LINES) lines.push(workload);
    else {
      plaintext += workload.plaintext;
      ciphertext += workload.ciphertext;
    }
  }
  if (plaintext + ciphertext > 0) lines.push({ namespace: '', pod: '', container: '', plaintext, ciphertext });
  return lines;
}

function grouped(processes: Iterable<TlsProcessState>): TlsProcesses[] {
  const groups = new Map<string, TlsProcesses & { processes: number }>();
  for (const { namespace, service, library, version, state, reason } of processes) {
    const values = [namespace, service, library, version].map((value) => labelValue('service', value));
    const key = [...values, state, reason].join('\0');
    const group = groups.get(key);
    if (group !== undefined) group.processes++;
    else if (groups.size < MAX_TLS_LINES) {
      const [cleanNamespace = '', cleanService = '', cleanLibrary = '', cleanVersion = ''] = values;
      groups.set(key, {
        namespace: cleanNamespace,
        service: cleanService,
        library: cleanLibrary,
        version: cleanVersion,
        state,
        reason,
        processes: 1,
      });
    }
  }
  return [...groups.values()];
}
