/**
 * What `/api/summary` says: plain JSON, types only, shared with the page that shows it. Rates are per second over the
 * window, durations in seconds, sizes in bytes. No URL, header value or body is in it.
 */

export type Role = 'server' | 'client';

export interface Figures {
  readonly requestsPerSecond: number;
  /** Status 500 and above. */
  readonly errorsPerSecond: number;
  /** Status 400 to 499. */
  readonly clientErrorsPerSecond: number;
  /** Of the requests of the window, 0 to 1; `null`: no request. */
  readonly errorShare: number | null;
  readonly clientErrorShare: number | null;
  /** Interpolated within the bucket, as histogram_quantile() does; `null`: no request in the window. */
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p99: number | null;
  /** Share of the requests of the window that came by HTTPS, 0 to 1; `null`: no request. */
  readonly httpsShare: number | null;
  /** Since the agent first saw the service. */
  readonly total: { readonly requests: number; readonly errors: number; readonly clientErrors: number };
  /** Requests/s of each step, oldest first. */
  readonly sparkline: readonly number[];
}

export interface ServiceFigures extends Figures {
  readonly namespace: string;
  readonly service: string;
  readonly role: Role;
}

/** One service, or all of them, step by step. All arrays are as long as `Summary.steps` and run oldest first. */
export interface Detail {
  readonly role: Role;
  /** `null`: all services. */
  readonly of: { readonly namespace: string; readonly service: string } | null;
  readonly requestsPerSecond: readonly number[];
  readonly errorsPerSecond: readonly number[];
  readonly clientErrorsPerSecond: readonly number[];
  readonly p50: readonly (number | null)[];
  readonly p90: readonly (number | null)[];
  readonly p99: readonly (number | null)[];
  /** Requests by bucket, then by step: one row for each of `Summary.buckets` and one above the last. */
  readonly heatmap: readonly (readonly number[])[];
}

/** Processes that use TLS in the same way, of the same service. */
export interface TlsProcesses {
  readonly namespace: string;
  readonly service: string;
  /** '': none was found in a process that speaks TLS. */
  readonly library: string;
  readonly version: string;
  readonly state: string;
  /** '' when attached. */
  readonly reason: string;
  readonly processes: number;
}

/** Since the agent started. */
export interface TlsBytes {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  /** Application data that was seen in the clear. */
  readonly plaintext: number;
  /** What went over sockets as TLS records of this workload. */
  readonly ciphertext: number;
}

export interface Summary {
  readonly version: string;
  readonly kernel: string;
  readonly arch: string;
  readonly node: string;
  /** Unix time in milliseconds. */
  readonly time: number;
  readonly uptimeSeconds: number;
  readonly stepSeconds: number;
  /** What the rates and quantiles of `services` and `all` cover, up to now. */
  readonly windowSeconds: number;
  /** Unix time in seconds at which each finished step ended, oldest first. */
  readonly steps: readonly number[];
  /** Upper bounds in seconds; one more bucket lies above the last. */
  readonly buckets: readonly number[];
  readonly all: Readonly<Record<Role, Figures>>;
  readonly services: readonly ServiceFigures[];
  /** Requests that are in `all` only, because there were more services than are kept. */
  readonly beyondLimit: number;
  /** `null`: the service that was asked for is not known. */
  readonly detail: Detail | null;
  readonly tls: {
    readonly processes: readonly TlsProcesses[];
    /** `null`: not measured by this build or on this kernel. */
    readonly bytes: readonly TlsBytes[] | null;
  };
  readonly losses: {
    readonly events: readonly { readonly stage: string; readonly count: number }[];
    readonly incomplete: readonly { readonly reason: string; readonly count: number }[];
    readonly overflow: readonly { readonly metric: string; readonly count: number }[];
  };
  readonly cost: {
    /** Processors that the agent's own process kept busy over the window: 0.02 is 2 % of one. */
    readonly cpu: number;
    readonly residentBytes: number;
    /** By step, as `steps`. */
    readonly cpuHistory: readonly number[];
    readonly residentHistory: readonly number[];
    readonly capturedBytesPerSecond: number;
    readonly series: number;
    readonly connections: number;
  };
  readonly features: readonly { readonly feature: string; readonly enabled: boolean; readonly reason: string }[];
  /** Is there an `/api/graph`? */
  readonly graph: boolean;
}
