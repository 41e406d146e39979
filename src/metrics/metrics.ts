/**
 * The end of the pipeline: transactions become histograms, and everything the agent counts becomes one exposition. On
 * the hot path (`transaction`) no string is built and nothing is allocated; all text is made when somebody scrapes.
 */

import { PlainsightError } from '../errors.ts';
import type {
  FinishedStream,
  GrpcCall,
  IncompleteReason,
  Owner,
  Role,
  Transaction,
  TransactionSink,
} from '../stream/contract.ts';
import { Exposition, type Rendered } from './exposition.ts';
import { KUBERNETES_FAMILIES } from './kubernetes.ts';
import { SELF_FAMILIES, type TlsFamilies, type TrafficFamilies, tlsFamilies, trafficFamilies } from './registry.ts';
import { type Build, bindSelfFamily, type SelfSource } from './self.ts';
import type { PodLabels, Workload, WorkloadFamily } from './series.ts';

/** Seconds. */
export const DEFAULT_BUCKETS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];
export const DEFAULT_MAX_SERIES = 10_000;
/** Each bucket is a line per series in every scrape. */
const BUCKET_LIMIT = 64;

export interface MetricsOptions {
  /** Upper bounds in seconds, rising, without +Inf; `DEFAULT_BUCKETS` when missing. */
  readonly buckets?: readonly number[];
  /** Series per metric; `DEFAULT_MAX_SERIES` when missing. */
  readonly maxSeries?: number;
  /** From the clock of the transactions to Unix time, in seconds, for exemplars; 0 when missing. */
  readonly wallOffsetSeconds?: number;
  /** Where the agent's own numbers come from. Without it (a replay) only traffic is rendered. */
  readonly self?: SelfSource;
  readonly build: Build;
  /** Families that others fill, with a cap of their own. Not part of renderTraffic(). */
  readonly families?: readonly WorkloadFamily[];
  /** Told when a getter of `self` throws; its family is then missing from that scrape. */
  readonly report?: (metric: string, error: unknown) => void;
}

/** Bytes of a workload's TLS. */
export interface TlsWorkload {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly plaintext: number;
  readonly ciphertext: number;
}

export class Metrics implements TransactionSink {
  readonly #families: TrafficFamilies;
  readonly #tls: TlsFamilies;
  /** The same families, for what is done to all of them. */
  readonly #capped: readonly WorkloadFamily[];
  readonly #traffic: Exposition;
  readonly #all: Exposition;

  /** Throws USAGE when the buckets are not rising or the cap is not a positive integer. */
  constructor(options: MetricsOptions) {
    const buckets = options.buckets ?? DEFAULT_BUCKETS;
    const maxSeries = options.maxSeries ?? DEFAULT_MAX_SERIES;
    checkBuckets(buckets);
    if (!Number.isSafeInteger(maxSeries) || maxSeries < 1) {
      throw new PlainsightError('USAGE', `The series limit must be a positive integer, not ${maxSeries}.`);
    }
    this.#families = trafficFamilies({ buckets, maxSeries, wallOffsetSeconds: options.wallOffsetSeconds ?? 0 });
    this.#tls = tlsFamilies(maxSeries);
    const traffic: readonly WorkloadFamily[] = Object.values(this.#families);
    const { self, build, families = [] } = options;
    const capped = [...traffic, ...Object.values(this.#tls), ...families];
    this.#capped = capped;
    this.#traffic = new Exposition(traffic, { processMetrics: false });
    if (self === undefined) {
      this.#all = this.#traffic;
      return;
    }
    const report = options.report ?? (() => {});
    const context = { self, build, maxSeries, capped };
    const about = self.kubernetes === undefined ? SELF_FAMILIES : [...SELF_FAMILIES, ...KUBERNETES_FAMILIES];
    const selfFamilies = about.map((family) => bindSelfFamily(family, context, report));
    this.#all = new Exposition([...capped, ...selfFamilies], { processMetrics: true });
  }

  transaction(transaction: Transaction): void {
    if (transaction.role === 'server') this.#families.httpServerDuration.transaction(transaction);
    else this.#families.httpClientDuration.transaction(transaction);
    const { owner, role, grpc, durationNs } = transaction;
    if (grpc !== undefined) this.#call(owner, role, grpc, durationNs);
  }

  stream(stream: FinishedStream): void {
    this.#families.httpStreamDuration.stream(stream);
    const { owner, role, grpc, durationNs } = stream;
    if (grpc !== undefined) this.#call(owner, role, grpc, durationNs);
  }

  incomplete(owner: Owner, role: Role | 'unknown', reason: IncompleteReason): void {
    this.#families.httpIncomplete.incomplete(owner, role, reason);
  }

  /** Bytes that a process moved by TLS since the last call: through TLS calls, and through sockets of TLS. */
  tlsBytes(owner: Owner, plaintextBytes: number, ciphertextBytes: number): void {
    this.#tls.plaintext.add(owner, 0, plaintextBytes);
    this.#tls.ciphertext.add(owner, 0, ciphertextBytes);
  }

  /** What tlsBytes() was told, by workload. */
  *tlsWorkloads(): Iterable<TlsWorkload> {
    // The two have the same series: each is added to with the other.
    const ciphertext = this.#tls.ciphertext.samples()[Symbol.iterator]();
    for (const { labels, value } of this.#tls.plaintext.samples()) {
      const { namespace, pod, container } = labels as Record<string, string>;
      yield {
        namespace: namespace ?? '',
        pod: pod ?? '',
        container: container ?? '',
        plaintext: value,
        ciphertext: ciphertext.next().value?.value ?? 0,
      };
    }
  }

  /**
   * Removes all series with exactly these labels, in families without a `container` label those of the pod's service.
   * Should the workload go on, its series start again at zero.
   */
  removeWorkload(workload: Workload): void {
    for (const family of this.#capped) family.removeWorkload(workload);
  }

  /** By metric: series held, and observations that went to the overflow series. */
  series(): { readonly metric: string; readonly held: number; readonly overflowed: number }[] {
    return this.#capped.map(({ name, seriesCount, overflowed }) => ({ metric: name, held: seriesCount, overflowed }));
  }

  /** Removes all series of a pod. */
  removePod(pod: PodLabels): void {
    for (const family of this.#capped) family.removePod(pod);
  }

  /** Everything there is. */
  render(openMetrics: boolean): Promise<Rendered> {
    return this.#all.render(openMetrics);
  }

  /** The families about traffic alone: equal traffic gives equal text, live or replayed. */
  renderTraffic(openMetrics = false): Promise<Rendered> {
    return this.#traffic.render(openMetrics);
  }

  #call(owner: Owner, role: Role, grpc: GrpcCall, durationNs: number): void {
    const family = role === 'server' ? this.#families.grpcServerDuration : this.#families.grpcClientDuration;
    family.call(owner, grpc, durationNs);
  }
}

function checkBuckets(buckets: readonly number[]): void {
  const rising = buckets.every((bound, index) => Number.isFinite(bound) && bound > (buckets[index - 1] ?? 0));
  if (buckets.length < 1 || buckets.length > BUCKET_LIMIT || !rising) {
    throw new PlainsightError(
      'USAGE',
      `The buckets must be 1 to ${BUCKET_LIMIT} rising numbers of seconds above 0, such as 0.01,0.1,1.`,
    );
  }
}
