/**
 * HTTP requests: their durations, as received (`http_request_duration_seconds`) and as sent
 * (`http_client_request_duration_seconds`), and those that could not be measured (`http_requests_incomplete_total`).
 */

import { type IncompleteReason, type Owner, type Role, type Transaction, UNKNOWN_STATUS } from '../stream/contract.ts';
import { WorkloadCounter } from './counter.ts';
import { DurationHistogram } from './histogram.ts';
import type { WorkloadLabel } from './series.ts';

export const WORKLOAD: readonly WorkloadLabel[] = ['namespace', 'pod', 'container', 'service'];

export interface HttpOptions {
  /** Upper bounds of the duration buckets in seconds, rising. */
  readonly buckets: readonly number[];
  readonly maxSeries: number;
  /** From the clock of transactions to Unix time, in seconds. */
  readonly wallOffsetSeconds: number;
}

/**
 * Methods come from a closed set (see `Transaction.method`), so each gets a number when first seen. Were the set not
 * closed, it would end here: there are 39 registered methods, and what comes after the 63rd is `OTHER`.
 */
class MethodIds {
  static readonly #LIMIT = 64;
  static readonly #OTHER = 0;
  readonly #names: string[] = ['OTHER'];
  readonly #ids = new Map<string, number>([['OTHER', MethodIds.#OTHER]]);

  /** 0..63 */
  idOf(name: string): number {
    return this.#ids.get(name) ?? this.#add(name);
  }

  nameOf(id: number): string {
    return this.#names[id] ?? 'OTHER';
  }

  #add(name: string): number {
    if (this.#names.length >= MethodIds.#LIMIT) return MethodIds.#OTHER;
    const id = this.#names.push(name) - 1;
    this.#ids.set(name, id);
    return id;
  }
}

function statusLabel(status: number): string {
  return status === UNKNOWN_STATUS ? 'unknown' : String(status);
}

/** One of the two duration histograms. A variant is: method (6 bits), status (10 bits), scheme (1 bit). */
export class HttpDuration extends DurationHistogram {
  readonly #methods: MethodIds;
  readonly #wallOffsetSeconds: number;

  constructor(name: string, help: string, options: HttpOptions) {
    const methods = new MethodIds();
    super({
      name,
      help,
      buckets: options.buckets,
      maxSeries: options.maxSeries,
      workloadLabels: WORKLOAD,
      variantLabels: ['method', 'status', 'scheme'],
      decode: (variant) => [
        methods.nameOf(variant >> 11),
        statusLabel((variant >> 1) & 1023),
        variant & 1 ? 'https' : 'http',
      ],
    });
    this.#methods = methods;
    this.#wallOffsetSeconds = options.wallOffsetSeconds;
  }

  transaction(transaction: Transaction): void {
    const { owner, method, status, connection, durationNs, trace } = transaction;
    const scheme = connection.scheme === 'https' ? 1 : 0;
    const variant = (this.#methods.idOf(method) << 11) | ((status & 1023) << 1) | scheme;
    if (trace === undefined) this.observe(owner, variant, durationNs);
    else this.observe(owner, variant, durationNs, trace, this.#timestamp(transaction));
  }

  /** When it was over; to 1 ms, which is what Prometheus keeps. */
  #timestamp({ timeNs, durationNs }: Transaction): number {
    return Math.round((this.#wallOffsetSeconds + (timeNs + durationNs) / 1e9) * 1000) / 1000;
  }
}

export function httpServerDuration(options: HttpOptions): HttpDuration {
  return new HttpDuration(
    'http_request_duration_seconds',
    'Duration of HTTP requests that the process received, from their first byte to the last byte of the response.',
    options,
  );
}

export function httpClientDuration(options: HttpOptions): HttpDuration {
  return new HttpDuration(
    'http_client_request_duration_seconds',
    'Duration of HTTP requests that the process sent, from their first byte to the last byte of the response.',
    options,
  );
}

const ROLE_NAMES = ['server', 'client', 'unknown'] as const;
const ROLE_IDS: Record<Role | 'unknown', number> = { server: 0, client: 1, unknown: 2 };
const REASON_IDS: Record<IncompleteReason, number> = {
  closed: 0,
  reset: 1,
  lost: 2,
  truncated: 3,
  malformed: 4,
  orphan: 5,
  pipeline: 6,
  evicted: 7,
};
const REASON_NAMES = Object.keys(REASON_IDS);

/** Requests that gave no transaction. */
export class HttpIncomplete extends WorkloadCounter {
  constructor(maxSeries: number) {
    super({
      name: 'http_requests_incomplete_total',
      help: 'HTTP requests or responses that were seen but could not be measured, by reason.',
      workloadLabels: ['namespace', 'pod', 'service'],
      variantLabels: ['role', 'reason'],
      decode: (variant) => [ROLE_NAMES[variant >> 4]!, REASON_NAMES[variant & 15]!],
      maxSeries,
    });
  }

  incomplete(owner: Owner, role: Role | 'unknown', reason: IncompleteReason): void {
    this.add(owner, (ROLE_IDS[role] << 4) | REASON_IDS[reason], 1);
  }
}
