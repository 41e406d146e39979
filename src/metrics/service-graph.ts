/** The edges of the service graph as families, under the names that Grafana's service graph reads. */

import type { Edge, Edges, Times } from '../graph/edges.ts';
import { compareKeys, type Labels, labelValue, type Sample, tupleKey } from './family.ts';
import type { WorkloadFamily } from './series.ts';

const LABELS = ['client', 'client_namespace', 'server', 'server_namespace', 'connection_type'] as const;

interface Named {
  readonly edge: Edge;
  readonly key: string;
  readonly labels: Labels;
}

class GraphFamily implements WorkloadFamily {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'histogram';
  readonly labelNames = LABELS;
  readonly #edges: Edges;
  readonly #of: (named: Named) => Iterable<Sample>;

  constructor(
    edges: Edges,
    { name, help, type }: Pick<WorkloadFamily, 'name' | 'help'> & { readonly type: 'counter' | 'histogram' },
    of: (named: Named) => Iterable<Sample>,
  ) {
    this.name = name;
    this.help = help;
    this.type = type;
    this.#edges = edges;
    this.#of = of;
  }

  get seriesCount(): number {
    return this.#edges.size;
  }

  get overflowed(): number {
    return this.#edges.overflowed;
  }

  /** An edge names services, which outlive their pods. */
  removeWorkload(): void {}

  removePod(): void {}

  *samples(): Iterable<Sample> {
    for (const named of sorted(this.#edges)) yield* this.#of(named);
  }
}

function counter(edges: Edges, name: string, help: string, value: (edge: Edge) => number): WorkloadFamily {
  return new GraphFamily(edges, { name, help, type: 'counter' }, ({ edge, labels }) =>
    edge.requests > 0 ? [{ labels, value: value(edge) }] : [],
  );
}

function histogram(edges: Edges, name: string, help: string, of: (edge: Edge) => Times): WorkloadFamily {
  const bounds = [...edges.boundsSeconds.map(String), '+Inf'].map((le) => ({ le }));
  return new GraphFamily(edges, { name, help, type: 'histogram' }, function* ({ edge, labels: sharedLabels }) {
    const { counts, sumNs } = of(edge);
    if (counts.every((bucket) => bucket === 0)) return;
    let count = 0;
    for (const [bucket, labels] of bounds.entries()) {
      count += counts[bucket]!;
      yield { suffix: '_bucket', labels, sharedLabels, value: count };
    }
    yield { suffix: '_sum', labels: {}, sharedLabels, value: sumNs / 1e9 };
    yield { suffix: '_count', labels: {}, sharedLabels, value: count };
  });
}

function sorted(edges: Edges): readonly Named[] {
  const named = [...edges.all()].map((edge): Named => {
    const { client, server, connectionType } = edge;
    const values = [client.service, client.namespace, server.service, server.namespace, connectionType];
    const clean = LABELS.map((label, i) => labelValue(label, values[i]!));
    return { edge, key: tupleKey(clean), labels: Object.fromEntries(LABELS.map((label, i) => [label, clean[i]!])) };
  });
  return named.sort((a, b) => compareKeys(a.key, b.key));
}

export function serviceGraphFamilies(edges: Edges): readonly WorkloadFamily[] {
  const prefix = 'traces_service_graph_request';
  return [
    counter(edges, `${prefix}_total`, 'HTTP requests between services, each once.', ({ requests }) => requests),
    counter(edges, `${prefix}_failed_total`, 'Of these, those answered with a status of 500 or more.', (e) => e.failed),
    histogram(edges, `${prefix}_server_seconds`, 'Their durations as the server saw them.', (e) => e.serverTimes),
    histogram(edges, `${prefix}_client_seconds`, 'Their durations as the client saw them.', (e) => e.clientTimes),
  ];
}
