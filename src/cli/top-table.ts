/**
 * The frames of `top`: from an exposition and a graph to lines of text. Pure. Columns fit into `width` characters: names are cut,
 * numbers never. What a service is called comes from the host, so control characters are shown as `?`.
 */

import { quantile } from '../graph/edges.ts';

export const SORTS = ['requests', 'errors', 'p50', 'p99', 'name'] as const;
export type Sort = (typeof SORTS)[number];

export interface View {
  readonly sort: Sort;
  readonly edges: boolean;
  readonly color: boolean;
  /** Characters in a line, and lines. */
  readonly width: number;
  readonly height: number;
}

interface Row {
  readonly name: string;
  /** `server`, `client`, or the serving end of an edge. */
  readonly second: string;
  readonly requests: number;
  /** 0..1 */
  readonly errors: number;
  readonly p50: number | undefined;
  readonly p99: number | undefined;
  readonly bytesPerSecond: number;
}

/** Counts since the agent's start of one service in one role. */
export interface ServiceCounts {
  readonly name: string;
  readonly role: 'server' | 'client';
  requests: number;
  failed: number;
  /** By bound, and beyond; not added up. */
  counts: number[];
}

export interface ExpositionCounts {
  readonly timeMs: number;
  readonly bounds: readonly number[];
  readonly services: ReadonlyMap<string, ServiceCounts>;
}

/** What `/api/graph` answers of an edge. */
export interface GraphEdge {
  readonly client: string;
  readonly server: string;
  readonly rate: number;
  readonly errorRate: number;
  readonly bytesPerSecond: number;
  readonly p50: number | null;
  readonly p99: number | null;
}

const SAMPLE =
  /^http_(client_)?request_duration_seconds_bucket\{le="([^"]+)",namespace="([^"]*)",pod="[^"]*",container="[^"]*",service="((?:[^"\\]|\\.)*)",.*?status="(\w+)".*\} (\d+(?:\.\d+)?(?:e\+?\d+)?)$/;

/** Reads the request histograms of the text format, as src/metrics writes it. */
export function readExposition(text: string, timeMs: number): ExpositionCounts {
  const services = new Map<string, ServiceCounts>();
  const bounds: number[] = [];
  let below = 0;
  let place = 0;
  for (const line of text.split('\n')) {
    const found = SAMPLE.exec(line);
    if (found === null) {
      below = 0;
      place = 0;
      continue;
    }
    const [, client, le, namespace, service, status, value] = found;
    const name = namespace ? `${namespace}/${service}` : service!;
    const role = client ? 'client' : 'server';
    let counts = services.get(`${role} ${name}`);
    if (counts === undefined) {
      counts = { name, role, requests: 0, failed: 0, counts: [] };
      services.set(`${role} ${name}`, counts);
    }
    const count = Number(value) - below;
    if (le !== '+Inf') bounds[place] = Number(le);
    counts.counts[place] = (counts.counts[place] ?? 0) + count;
    counts.requests += count;
    if (Number(status) >= 500) counts.failed += count;
    below = le === '+Inf' ? 0 : Number(value);
    place = le === '+Inf' ? 0 : place + 1;
  }
  return { timeMs, bounds, services };
}

/** What happened between two readings, by service and role. */
function serviceRows(now: ExpositionCounts, before: ExpositionCounts | undefined): Row[] {
  const seconds = before === undefined ? 0 : Math.max((now.timeMs - before.timeMs) / 1000, 0.001);
  return [...now.services].map(([key, { name, role, requests, failed, counts }]) => {
    const last = before?.services.get(key);
    // A count that fell is another agent's.
    const fresh = last === undefined || requests < last.requests;
    const more = counts.map((count, i) => (fresh ? count : count - (last.counts[i] ?? 0)));
    const asked = requests - (fresh ? 0 : last.requests);
    return {
      name,
      second: role,
      requests: seconds > 0 ? asked / seconds : 0,
      errors: asked > 0 ? (failed - (fresh ? 0 : last.failed)) / asked : 0,
      p50: quantile(now.bounds, more, 0.5),
      p99: quantile(now.bounds, more, 0.99),
      bytesPerSecond: 0,
    };
  });
}

function edgeRows(edges: readonly GraphEdge[]): Row[] {
  return edges.map(({ client, server, rate, errorRate, bytesPerSecond, p50, p99 }) => ({
    name: client,
    second: server,
    requests: rate,
    errors: rate > 0 ? errorRate / rate : 0,
    p50: p50 ?? undefined,
    p99: p99 ?? undefined,
    bytesPerSecond,
  }));
}

function sorted(rows: Row[], sort: Sort): Row[] {
  const name = (a: Row, b: Row) => (`${a.name} ${a.second}` < `${b.name} ${b.second}` ? -1 : 1);
  if (sort === 'name') return rows.sort(name);
  return rows.sort((a, b) => (b[sort] ?? -1) - (a[sort] ?? -1) || name(a, b));
}

const INVERSE = '\x1b[7m';
const RED = '\x1b[31m';
const PLAIN = '\x1b[0m';

/** The lines of one frame, none longer than the view is wide. */
export function frame(
  view: View,
  now: ExpositionCounts,
  before: ExpositionCounts | undefined,
  edges: readonly GraphEdge[],
): string[] {
  const rows = sorted(view.edges ? edgeRows(edges) : serviceRows(now, before), view.sort);
  const numbers = view.edges ? 44 : 36;
  const names = Math.max(view.width - numbers - 1, 10);
  const second = view.edges ? Math.floor(names / 2) : 7;
  const first = names - second - 1;
  const line = (a: string, b: string, values: readonly string[]) => {
    const columns = values.map((text) => text.padStart(8)).join(' ');
    return `${fit(a, first)} ${fit(b, second)} ${columns}`.slice(0, view.width);
  };
  const titles = ['REQ/S', 'ERRORS', 'P50', 'P99', ...(view.edges ? ['BYTES/S'] : [])];
  const head = line(view.edges ? 'CLIENT' : 'SERVICE', view.edges ? 'SERVER' : 'ROLE', titles);
  const room = Math.max(view.height - 2, 1);
  const body = rows.slice(0, room).map((row) => {
    const values = [rate(row.requests), percent(row.errors), time(row.p50), time(row.p99)];
    const text = line(row.name, row.second, view.edges ? [...values, bytes(row.bytesPerSecond)] : values);
    return view.color && row.errors > 0 ? `${RED}${text}${PLAIN}` : text;
  });
  const rest = rows.length > room ? `, ${rows.length - room} more below` : '';
  const foot = `sorted by ${view.sort}${rest}; e: edges, s: sort, q: quit`.slice(0, view.width);
  return [view.color ? `${INVERSE}${head.padEnd(view.width)}${PLAIN}` : head, ...body, foot];
}

function fit(text: string, width: number): string {
  const safe = text.replace(/\p{C}/gu, '?');
  return safe.length > width ? `${safe.slice(0, Math.max(width - 1, 0))}~` : safe.padEnd(width);
}

function rate(value: number): string {
  return value >= 1000 ? `${(value / 1000).toFixed(1)}k` : value.toFixed(1);
}

function percent(share: number): string {
  return share === 0 ? '-' : `${(share * 100).toFixed(1)}%`;
}

function time(seconds: number | undefined): string {
  if (seconds === undefined) return '-';
  return seconds < 1 ? `${(seconds * 1000).toFixed(1)}ms` : `${seconds.toFixed(2)}s`;
}

function bytes(perSecond: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = perSecond;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)}${units[unit]}`;
}
