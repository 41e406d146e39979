/**
 * The building blocks of the Grafana dashboards: a panel is its title, what it is good for, its queries and a unit; the JSON
 * that Grafana wants around it (schema version 39, Grafana 10.4 and later) is made here. Pure: descriptions in, JSON out.
 */

/** A value as JSON has it. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

export interface Query {
  readonly expr: string;
  /** As Grafana writes them: {{service}}. */
  readonly legend?: string;
  /** A table or a graph of nodes wants one moment and rows; a heatmap wants buckets. */
  readonly format?: 'time_series' | 'table' | 'heatmap';
  readonly instant?: boolean;
}

export interface Panel {
  readonly title: string;
  readonly description: string;
  readonly type: 'timeseries' | 'stat' | 'table' | 'heatmap' | 'nodeGraph';
  /** Grafana's names: reqps, s, percentunit, Bps, cps, short, bytes. */
  readonly unit: string;
  /** Of 24 columns. */
  readonly width: 6 | 8 | 12 | 24;
  readonly height?: number;
  readonly queries: readonly Query[];
  readonly transformations?: readonly Json[];
  readonly stack?: boolean;
  readonly max?: number;
}

export interface Variable {
  readonly name: string;
  readonly label: string;
  /** label_values(...) */
  readonly query: string;
}

export interface Dashboard {
  /** Also the file's name. */
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly variables: readonly Variable[];
  readonly rows: readonly { readonly title: string; readonly panels: readonly Panel[] }[];
}

const SOURCE = { type: 'prometheus', uid: '$datasource' } as const;
const PANEL_HEIGHT = 8;
const STAT_HEIGHT = 4;
const COLUMNS = 24;

const LEGEND = { displayMode: 'table', placement: 'bottom', calcs: ['lastNotNull', 'max'], showLegend: true } as const;

function options({ type, unit }: Panel): Json {
  switch (type) {
    case 'timeseries':
      return { legend: LEGEND, tooltip: { mode: 'multi', sort: 'desc' } };
    case 'stat':
      return {
        colorMode: 'none',
        graphMode: 'area',
        reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      };
    case 'table':
      return { showHeader: true, cellHeight: 'sm' };
    case 'heatmap':
      return {
        calculate: false,
        yAxis: { unit },
        color: { mode: 'scheme', scheme: 'Blues', steps: 64 },
        tooltip: { mode: 'single', yHistogram: false },
      };
    case 'nodeGraph':
      return { nodes: { mainStatUnit: unit }, edges: { mainStatUnit: unit } };
  }
}

function custom({ type, stack }: Panel): Json {
  if (type !== 'timeseries') return {};
  return {
    drawStyle: 'line',
    lineWidth: 1,
    fillOpacity: stack ? 40 : 8,
    showPoints: 'never',
    stacking: { mode: stack ? 'normal' : 'none', group: 'A' },
  };
}

function target({ expr, legend, format, instant }: Query, index: number): Json {
  return {
    refId: String.fromCharCode('A'.charCodeAt(0) + index),
    datasource: SOURCE,
    expr,
    legendFormat: legend ?? '__auto',
    format: format ?? 'time_series',
    instant: instant === true,
    range: instant !== true,
    exemplar: expr.includes('http_request_duration_seconds_bucket'),
  };
}

function panelJson(panel: Panel, id: number, x: number, y: number): Json {
  const { title, description, type, unit, width, queries, transformations, max } = panel;
  return {
    id,
    title,
    description,
    type,
    datasource: SOURCE,
    gridPos: { x, y, w: width, h: heightOf(panel) },
    fieldConfig: {
      defaults: { unit, min: 0, ...(max === undefined ? {} : { max }), custom: custom(panel) },
      overrides: [],
    },
    options: options(panel),
    targets: queries.map(target),
    transformations: transformations ?? [],
  };
}

function heightOf({ type, height }: Panel): number {
  return height ?? (type === 'stat' ? STAT_HEIGHT : PANEL_HEIGHT);
}

function layOut(rows: Dashboard['rows']): Json[] {
  const panels: Json[] = [];
  let y = 0;
  for (const row of rows) {
    panels.push({
      id: panels.length + 1,
      type: 'row',
      title: row.title,
      collapsed: false,
      gridPos: { x: 0, y, w: COLUMNS, h: 1 },
      panels: [],
    });
    y++;
    let x = 0;
    let lineHeight = 0;
    for (const panel of row.panels) {
      if (x + panel.width > COLUMNS) {
        x = 0;
        y += lineHeight;
        lineHeight = 0;
      }
      panels.push(panelJson(panel, panels.length + 1, x, y));
      x += panel.width;
      lineHeight = Math.max(lineHeight, heightOf(panel));
    }
    y += lineHeight;
  }
  return panels;
}

function variableJson({ name, label, query }: Variable): Json {
  return {
    name,
    label,
    type: 'query',
    datasource: SOURCE,
    query: { query, refId: name },
    definition: query,
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: '.*',
    current: { selected: true, text: ['All'], value: ['$__all'] },
  };
}

/** What Grafana imports or provisions. */
export function dashboardJson(dashboard: Dashboard, all: readonly Dashboard[]): Json {
  const { uid, title, description, variables, rows } = dashboard;
  return {
    uid,
    title,
    description,
    tags: ['plainsight'],
    schemaVersion: 39,
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-1h', to: 'now' },
    templating: {
      list: [
        { name: 'datasource', label: 'Prometheus', type: 'datasource', query: 'prometheus', current: {} },
        ...variables.map(variableJson),
      ],
    },
    links: all
      .filter((other) => other.uid !== uid)
      .map((other) => ({
        title: other.title.replace('Plainsight: ', ''),
        type: 'link',
        url: `/d/${other.uid}`,
        keepTime: true,
        includeVars: true,
      })),
    annotations: { list: [] },
    panels: layOut(rows),
  };
}
