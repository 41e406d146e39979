/**
 * What the agent says about itself. Everything is read from plain getters when somebody scrapes; nothing is stored here
 * but the errors of getters. A getter that throws costs its own family, never the scrape.
 */

import { compareKeys, type Family, type Labels, labelValue, OVERFLOW, tupleKey } from './family.ts';
import type { WorkloadFamily } from './series.ts';

/** Where bytes or events get lost against our will. */
export const LOSS_STAGES = ['missed', 'ring', 'map_full', 'truncated', 'queue'] as const;
export type LossStage = (typeof LOSS_STAGES)[number];

export interface FeatureState {
  readonly feature: string;
  readonly enabled: boolean;
  /** From a closed set; why it is (not) enabled. */
  readonly reason: string;
}

export interface TlsProcess {
  readonly owner: { readonly namespace: string; readonly pod: string; readonly container: string };
  readonly library: string;
  readonly state: string;
  /** From a closed set. */
  readonly reason: string;
}

/** How many TLS connections were bound to their socket in one way. */
export interface SocketBinding {
  readonly method: 'nested' | 'record' | 'offset' | 'unknown';
  readonly result: 'bound' | 'agreed' | 'conflict' | 'unbound';
  readonly count: number;
}

/** The counts are since start; none may fall but for `connections` and `tlsProcesses`. */
export interface SelfSource {
  features(): readonly FeatureState[];
  /** One entry per process and library. */
  tlsProcesses(): Iterable<TlsProcess>;
  eventsByKind(): Readonly<Record<string, number>>;
  /** Stages that are missing are 0. */
  lost(): Readonly<Partial<Record<LossStage, number>>>;
  connections(): Readonly<Record<string, number>>;
  /** How TLS connections were bound to sockets, since start: one entry per method and result. */
  bindings(): readonly SocketBinding[];
  /** What the TCP programs had no room for, by table, and requests that gave no edge of the service graph. */
  unplaced?(): Readonly<Record<string, number>>;
  /** Bytes of captured traffic copied to user space. */
  capturedBytes(): number;
  /** Without Kubernetes it is not there, and neither are its families. */
  kubernetes?(): KubernetesNumbers;
}

export interface KubernetesNumbers {
  /** By resource: whether it is up to date, why not (a closed set, '' when nothing is wrong), failures by reason. */
  readonly watches: readonly {
    readonly resource: string;
    readonly synced: boolean;
    readonly problem: string;
    readonly failures: ReadonlyMap<string, number>;
  }[];
  /** Held now, by resource. */
  readonly objects: Readonly<Record<string, number>>;
  /** Transactions counted under the labels of the node, by reason. */
  readonly fallbacks: ReadonlyMap<string, number>;
  /** Transactions that wait for labels. */
  readonly waiting: number;
  /** Transactions out of scope that the kernel had copied. */
  readonly excluded: number;
  /** Processes whose cgroup and network namespace belong to different pods. */
  readonly conflicts: number;
}

export interface Build {
  readonly version: string;
  /** Release of the running kernel. */
  readonly kernel: string;
  readonly arch: string;
}

export interface SelfContext {
  readonly self: SelfSource;
  readonly build: Build;
  readonly maxSeries: number;
  /** The families whose series are counted. */
  readonly capped: readonly WorkloadFamily[];
}

/** A line: its label values in the order of `labelNames`, and its value. */
export type Row = readonly [values: readonly string[], value: number];

export interface SelfFamily {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly labelNames: readonly string[];
  readonly rows: (context: SelfContext) => Iterable<Row>;
}

export function* entries(counts: Readonly<Record<string, number>>): Iterable<Row> {
  for (const [name, value] of Object.entries(counts)) yield [[name], value];
}

export const buildInfo: SelfFamily = {
  name: 'plainsight_build_info',
  help: 'Version of the agent, release of the kernel and architecture; always 1.',
  type: 'gauge',
  labelNames: ['version', 'kernel', 'arch'],
  rows: ({ build }) => [[[build.version, build.kernel, build.arch], 1]],
};

export const featureEnabled: SelfFamily = {
  name: 'plainsight_feature_enabled',
  help: 'Whether a feature works here (1) or not (0), and why.',
  type: 'gauge',
  labelNames: ['feature', 'reason'],
  *rows({ self }) {
    for (const { feature, enabled, reason } of self.features()) yield [[feature, reason], enabled ? 1 : 0];
  },
};

export const tlsProcesses: SelfFamily = {
  name: 'plainsight_tls_processes',
  help: 'Processes that use TLS, by library and by whether their traffic is seen.',
  type: 'gauge',
  labelNames: ['namespace', 'pod', 'container', 'library', 'state', 'reason'],
  *rows({ self, maxSeries }) {
    const counts = new Map<string, { values: readonly string[]; count: number }>();
    let overflow = 0;
    for (const { owner, library, state, reason } of self.tlsProcesses()) {
      const values = [owner.namespace, owner.pod, owner.container, library, state, reason];
      const key = tupleKey(values);
      const entry = counts.get(key);
      if (entry !== undefined) entry.count++;
      else if (counts.size < maxSeries) counts.set(key, { values, count: 1 });
      else overflow++;
    }
    for (const { values, count } of counts.values()) yield [values, count];
    if (overflow > 0) yield [['', '', OVERFLOW, '', '', ''], overflow];
  },
};

export const eventsTotal: SelfFamily = {
  name: 'plainsight_events_total',
  help: 'Events received from the kernel, by kind.',
  type: 'counter',
  labelNames: ['kind'],
  rows: ({ self }) => entries(self.eventsByKind()),
};

export const eventsLost: SelfFamily = {
  name: 'plainsight_events_lost_total',
  help: 'Events lost, by the stage that lost them.',
  type: 'counter',
  labelNames: ['stage'],
  *rows({ self }) {
    const lost = self.lost();
    for (const stage of LOSS_STAGES) yield [[stage], lost[stage] ?? 0];
  },
};

export const connectionsTracked: SelfFamily = {
  name: 'plainsight_connections_tracked',
  help: 'Connections whose state is held now, by kind.',
  type: 'gauge',
  labelNames: ['kind'],
  rows: ({ self }) => entries(self.connections()),
};

export const socketBinding: SelfFamily = {
  name: 'plainsight_socket_binding_total',
  help: 'TLS connections by the method that found their socket; of conflict the address is withdrawn or refused, unbound ended without.',
  type: 'counter',
  labelNames: ['method', 'result'],
  *rows({ self }) {
    for (const { method, result, count } of self.bindings()) yield [[method, result], count];
  },
};

export const unplaced: SelfFamily = {
  name: 'plainsight_unplaced_total',
  help: 'TCP events and connections beyond the tables of flows and connections, and requests whose peer could not be told.',
  type: 'counter',
  labelNames: ['kind'],
  rows: ({ self }) => entries(self.unplaced?.() ?? {}),
};

export const capturedBytes: SelfFamily = {
  name: 'plainsight_captured_bytes_total',
  help: 'Bytes of traffic copied from the kernel.',
  type: 'counter',
  labelNames: [],
  rows: ({ self }) => [[[], self.capturedBytes()]],
};

export const seriesHeld: SelfFamily = {
  name: 'plainsight_series',
  help: 'Series held now, by metric, without the overflow series.',
  type: 'gauge',
  labelNames: ['metric'],
  rows: ({ capped }) => capped.map(({ name, seriesCount }) => [[name], seriesCount]),
};

export const seriesOverflow: SelfFamily = {
  name: 'plainsight_series_overflow_total',
  help: 'Observations that were counted in the overflow series of a metric because its series cap was reached.',
  type: 'counter',
  labelNames: ['metric'],
  rows: ({ capped }) => capped.map(({ name, overflowed }) => [[name], overflowed]),
};

/** Binds a definition to where its values come from. Rows with equal labels (after cleaning) are added up. */
export function bindSelfFamily(
  family: SelfFamily,
  context: SelfContext,
  report: (metric: string, error: unknown) => void,
): Family {
  const { name, help, type, labelNames } = family;
  return {
    name,
    help,
    type,
    labelNames,
    samples() {
      const byKey = new Map<string, { labels: Labels; value: number }>();
      try {
        for (const [values, value] of family.rows(context)) {
          const clean = labelNames.map((label, index) => labelValue(label, values[index] ?? ''));
          const key = tupleKey(clean);
          const sample = byKey.get(key);
          if (sample !== undefined) sample.value += value;
          else {
            const labels = Object.fromEntries(labelNames.map((label, index) => [label, clean[index] ?? '']));
            byKey.set(key, { labels, value });
          }
        }
      } catch (error) {
        report(name, error);
        return [];
      }
      return [...byKey].sort(([a], [b]) => compareKeys(a, b)).map(([, sample]) => sample);
    },
  };
}
