/**
 * The last five minutes of each service's requests, for a reader who has no Prometheus. It counts what the metrics count,
 * by service and role only, and allocates nothing on the hot path.
 *
 * Limits: 256 services in a role or both together (4.4 KB each at 13 buckets). One that was silent for five minutes
 * makes room for a new one; without such a one the new service is counted in the total of its role only.
 */

import { labelValue } from '../metrics/family.ts';
import type { IncompleteReason, Owner, Transaction, TransactionSink } from '../stream/contract.ts';
import type { Detail, Figures, Role, ServiceFigures } from './contract.ts';
import { quantile } from './quantile.ts';
import { STEPS, Steps } from './steps.ts';

const MAX_SERVICES = 256;
/** A row is: requests by bucket and above the last, then these. */
const ERRORS = 1;
const CLIENT_ERRORS = 2;
const HTTPS = 3;
const EXTRA_COLUMNS = 3;

interface Entry {
  readonly namespace: string;
  readonly service: string;
  readonly role: Role;
  /** By slot of the clock. */
  readonly rows: Uint32Array;
  /** The sum of all rows that ever were. */
  readonly total: Float64Array;
  /** Number of the step of the last request. */
  lastStep: number;
  evicted: boolean;
}

type OwnerEntries = Record<Role, Entry | undefined>;

export class TrafficHistory implements TransactionSink {
  readonly #bounds: readonly number[];
  readonly #boundsNs: Float64Array;
  readonly #columns: number;
  readonly #steps: Steps;
  readonly #all: Readonly<Record<Role, Entry>>;
  readonly #entries = new Map<string, Entry>();
  readonly #byOwner = new WeakMap<Owner, OwnerEntries>();
  readonly #incomplete = new Map<IncompleteReason, number>();
  #step = 0;
  #beyondLimit = 0;
  /** The step in which no room was found: it is not looked for again before the next. */
  #fullAtStep = -1;

  /** `buckets`: upper bounds in seconds, rising. */
  constructor(buckets: readonly number[], steps: Steps) {
    this.#bounds = buckets;
    this.#boundsNs = Float64Array.from(buckets, (seconds) => Math.round(seconds * 1e9));
    this.#columns = buckets.length + 1 + EXTRA_COLUMNS;
    this.#steps = steps;
    this.#all = { server: this.#create('', '', 'server'), client: this.#create('', '', 'client') };
  }

  transaction({ owner, role, status, durationNs, connection }: Transaction): void {
    let entry = this.#byOwner.get(owner)?.[role];
    if (entry === undefined || entry.evicted) entry = this.#find(owner, role);
    let bucket = 0;
    while (bucket < this.#boundsNs.length && durationNs > this.#boundsNs[bucket]!) bucket++;
    const https = connection.scheme === 'https';
    this.#count(this.#all[role], bucket, status, https);
    if (entry === undefined) this.#beyondLimit++;
    else this.#count(entry, bucket, status, https);
  }

  incomplete(_owner: Owner, _role: Role | 'unknown', reason: IncompleteReason): void {
    this.#incomplete.set(reason, (this.#incomplete.get(reason) ?? 0) + 1);
  }

  /** To be called right after the clock has advanced. */
  advance(): void {
    this.#step++;
    const start = this.#steps.running * this.#columns;
    for (const entry of [this.#all.server, this.#all.client, ...this.#entries.values()]) {
      entry.rows.fill(0, start, start + this.#columns);
    }
  }

  /** Requests that are counted in the total of their role only. */
  get beyondLimit(): number {
    return this.#beyondLimit;
  }

  incompleteByReason(): { readonly reason: string; readonly count: number }[] {
    return [...this.#incomplete].map(([reason, count]) => ({ reason, count }));
  }

  all(role: Role, nowMs: number): Figures {
    return this.#figures(this.#all[role], nowMs);
  }

  /** By service, in the order in which they were first seen. */
  services(nowMs: number): ServiceFigures[] {
    return [...this.#entries.values()].map((entry) => {
      const { namespace, service, role } = entry;
      return { namespace, service, role, ...this.#figures(entry, nowMs) };
    });
  }

  /** `of` null: all services. Returns null for a service that is not known. */
  detail(role: Role, of: { readonly namespace: string; readonly service: string } | null): Detail | null {
    const entry = of === null ? this.#all[role] : this.#entries.get(keyOf(of.namespace, of.service, role));
    if (entry === undefined) return null;
    const slots = this.#steps.finished();
    const rate = (column: number) =>
      slots.map((slot) => round(this.#row(entry, slot)[column]! / this.#steps.length(slot), 2));
    const at = (q: number) => slots.map((slot) => seconds(quantile(q, this.#bounds, this.#row(entry, slot))));
    const last = this.#bounds.length;
    return {
      role,
      of: of === null ? null : { namespace: entry.namespace, service: entry.service },
      requestsPerSecond: slots.map((slot) => round(this.#requests(entry, slot) / this.#steps.length(slot), 2)),
      errorsPerSecond: rate(last + ERRORS),
      clientErrorsPerSecond: rate(last + CLIENT_ERRORS),
      p50: at(0.5),
      p90: at(0.9),
      p99: at(0.99),
      heatmap: Array.from({ length: last + 1 }, (_, bucket) => slots.map((slot) => this.#row(entry, slot)[bucket]!)),
    };
  }

  #figures(entry: Entry, nowMs: number): Figures {
    const { slots, seconds: length } = this.#steps.window(nowMs);
    const sum = new Float64Array(this.#columns);
    for (const slot of slots) {
      const row = this.#row(entry, slot);
      for (let column = 0; column < sum.length; column++) sum[column]! += row[column]!;
    }
    const last = this.#bounds.length;
    const requests = sumOf(sum, last + 1);
    const rate = (count: number) => (length > 0 ? round(count / length, 3) : 0);
    const share = (count: number) => (requests > 0 ? round(count / requests, 6) : null);
    return {
      requestsPerSecond: rate(requests),
      errorsPerSecond: rate(sum[last + ERRORS]!),
      clientErrorsPerSecond: rate(sum[last + CLIENT_ERRORS]!),
      errorShare: share(sum[last + ERRORS]!),
      clientErrorShare: share(sum[last + CLIENT_ERRORS]!),
      p50: seconds(quantile(0.5, this.#bounds, sum)),
      p90: seconds(quantile(0.9, this.#bounds, sum)),
      p99: seconds(quantile(0.99, this.#bounds, sum)),
      httpsShare: share(sum[last + HTTPS]!),
      total: {
        requests: sumOf(entry.total, last + 1),
        errors: entry.total[last + ERRORS]!,
        clientErrors: entry.total[last + CLIENT_ERRORS]!,
      },
      sparkline: this.#steps.finished().map((slot) => round(this.#requests(entry, slot) / this.#steps.length(slot), 1)),
    };
  }

  #count(entry: Entry, bucket: number, status: number, https: boolean): void {
    const { rows, total } = entry;
    const start = this.#steps.running * this.#columns;
    const last = this.#bounds.length;
    entry.lastStep = this.#step;
    rows[start + bucket]!++;
    total[bucket]!++;
    if (status >= 400) {
      const column = last + (status >= 500 ? ERRORS : CLIENT_ERRORS);
      rows[start + column]!++;
      total[column]!++;
    }
    if (https) {
      rows[start + last + HTTPS]!++;
      total[last + HTTPS]!++;
    }
  }

  #find(owner: Owner, role: Role): Entry | undefined {
    const namespace = labelValue('namespace', owner.namespace);
    const service = labelValue('service', owner.service);
    const key = keyOf(namespace, service, role);
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      if (this.#entries.size >= MAX_SERVICES && !this.#makeRoom()) return undefined;
      entry = this.#create(namespace, service, role);
      this.#entries.set(key, entry);
    }
    const known = this.#byOwner.get(owner);
    if (known === undefined) this.#byOwner.set(owner, { server: undefined, client: undefined, [role]: entry });
    else known[role] = entry;
    return entry;
  }

  #create(namespace: string, service: string, role: Role): Entry {
    const rows = new Uint32Array(Steps.slots * this.#columns);
    const total = new Float64Array(this.#columns);
    return { namespace, service, role, rows, total, lastStep: this.#step, evicted: false };
  }

  /** Forgets the service that has been silent for longest, if that is longer than the history. */
  #makeRoom(): boolean {
    if (this.#fullAtStep === this.#step) return false;
    let oldest: [string, Entry] | undefined;
    for (const candidate of this.#entries) {
      if (oldest === undefined || candidate[1].lastStep < oldest[1].lastStep) oldest = candidate;
    }
    if (oldest === undefined || this.#step - oldest[1].lastStep <= STEPS) {
      this.#fullAtStep = this.#step;
      return false;
    }
    oldest[1].evicted = true;
    return this.#entries.delete(oldest[0]);
  }

  #row(entry: Entry, slot: number): Uint32Array {
    return entry.rows.subarray(slot * this.#columns, (slot + 1) * this.#columns);
  }

  #requests(entry: Entry, slot: number): number {
    return sumOf(this.#row(entry, slot), this.#bounds.length + 1);
  }
}

/** No label value contains NUL. */
function keyOf(namespace: string, service: string, role: Role): string {
  return `${role}\0${namespace}\0${service}`;
}

function sumOf(row: ArrayLike<number>, columns: number): number {
  let sum = 0;
  for (let column = 0; column < columns; column++) sum += row[column]!;
  return sum;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

/** To a microsecond: no bucket is that narrow. */
function seconds(value: number | null): number | null {
  return value === null ? null : round(value, 6);
}
