/** Who calls whom, as a drawing and as a table. The drawing shows the 40 busiest edges. */

import { arrange, byId, html, setText, svg } from './dom.ts';
import { formatBytes, formatCount, formatDuration, formatNumber, formatShare, NONE } from './format.ts';
import type { Graph, GraphEdge, GraphNode } from './graph.ts';
import { type Layout, layOut, linkKey, type Place } from './map-layout.ts';
import { levelOfRatio } from './tiles.ts';

const MAX_EDGES = 40;
/** Its text is 11 and 12 px high; smaller than this nobody reads it. */
const SMALLEST_SCALE = 0.85;
const BOX = { width: 132, height: 40, gapX: 104, gapY: 24, margin: 4 };
/** A name longer than its box is cut; the table has it whole. */
const NAME_LENGTH = 18;

export class ServiceMap {
  readonly #frame = byId('map-frame', HTMLElement);
  readonly #table = byId('map-table', HTMLTableElement);
  readonly #empty = html('div', { class: 'empty' });
  readonly #body = html('tbody');

  constructor() {
    const titles = ['Client', 'Server', 'Kind', 'Requests/s', 'Errors', 'p50', 'p99', 'Bytes'];
    const head = html('tr', {}, ...titles.map((title) => html('th', { scope: 'col', text: title })));
    this.#table.append(html('thead', {}, head), this.#body);
    this.#frame.append(this.#empty);
  }

  update(graph: Graph | undefined): void {
    if (graph === undefined || graph.edges.length === 0) {
      arrange(this.#frame, [this.#empty]);
      setText(
        this.#empty,
        graph === undefined
          ? 'No map here: this agent does not follow connections.'
          : 'No calls between services seen yet: a line appears with the first connection whose two ends are known.',
      );
      this.#body.replaceChildren();
      return;
    }
    const edges = [...graph.edges].sort((a, b) => b.rate - a.rate || a.bytesPerSecond - b.bytesPerSecond);
    this.#frame.replaceChildren(draw(graph, edges.slice(0, MAX_EDGES)));
    this.#body.replaceChildren(...edges.map((edge) => tableRow(graph, edge)));
  }
}

function labelOf(nodes: readonly GraphNode[], id: string): string {
  const node = nodes.find((candidate) => candidate.id === id);
  return node?.service || id || 'unknown';
}

function tableRow({ nodes }: Graph, edge: GraphEdge): HTMLTableRowElement {
  const texts = [
    labelOf(nodes, edge.server),
    edge.connectionType || 'http',
    formatNumber(edge.rate),
    edge.rate > 0 ? formatShare(edge.errorRate / edge.rate) : NONE,
    formatDuration(edge.p50 ?? null),
    formatDuration(edge.p99 ?? null),
    edge.bytesPerSecond === 0 ? NONE : `${formatBytes(edge.bytesPerSecond)}/s`,
  ];
  const cells = texts.map((text) => html('td', { text }));
  return html('tr', {}, html('th', { scope: 'row', text: labelOf(nodes, edge.client) }), ...cells);
}

function draw(graph: Graph, edges: readonly GraphEdge[]): SVGSVGElement {
  const ids = [...new Set(edges.flatMap(({ client, server }) => [client, server]))];
  const layout = layOut(ids, edges);
  const width = layout.columns.length * (BOX.width + BOX.gapX) - BOX.gapX + 2 * BOX.margin;
  const height = Math.max(...layout.columns) * (BOX.height + BOX.gapY) - BOX.gapY + 2 * BOX.margin;
  const most = Math.max(...edges.map(({ rate }) => rate), Number.MIN_VALUE);
  const title = `${formatCount(ids.length)} services, ${formatCount(edges.length)} calls between them; the table below has all figures`;
  const drawing = svg(
    'svg',
    {
      class: 'graph',
      viewBox: `0 0 ${width} ${height}`,
      width: `${width}`,
      height: `${height}`,
      role: 'img',
      'aria-label': title,
    },
    ...edges.map((edge) => drawEdge(edge, layout, height, most)),
    ...ids.map((id) => drawNode(graph, id, edges, layout, height)),
  );
  // Where there is less room it scrolls.
  drawing.style.minWidth = `${width * SMALLEST_SCALE}px`;
  return drawing;
}

/** Middle of the left side. Each column stands in the middle of the height. */
function corner({ column, row }: Place, { columns }: Layout, height: number) {
  const used = columns[column]! * (BOX.height + BOX.gapY) - BOX.gapY;
  return {
    x: BOX.margin + column * (BOX.width + BOX.gapX),
    y: (height - used) / 2 + row * (BOX.height + BOX.gapY) + BOX.height / 2,
  };
}

function drawEdge(edge: GraphEdge, layout: Layout, height: number, most: number): SVGGElement {
  const from = corner(layout.places.get(edge.client)!, layout, height);
  const to = corner(layout.places.get(edge.server)!, layout, height);
  const back = to.x <= from.x;
  const start = { x: back ? from.x : from.x + BOX.width, y: from.y };
  const end = { x: back ? to.x + BOX.width : to.x, y: to.y };
  const passes = (layout.passes.get(linkKey(edge)) ?? []).flatMap((place) => {
    const { x, y } = corner(place, layout, height);
    return [
      { x, y },
      { x: x + BOX.width, y },
    ];
  });
  const points = [start, ...passes, end];
  const path = points.slice(1).map(({ x, y }, index) => {
    const before = points[index]!;
    const middle = (before.x + x) / 2;
    return `C${middle} ${before.y} ${middle} ${y} ${x} ${y}`;
  });
  const level = edge.rate > 0 ? levelOfRatio(edge.errorRate / edge.rate) : undefined;
  const stroke = 1 + 3 * Math.sqrt(edge.rate / most);
  // In the first gap, near the line.
  const next = points[1]!;
  const text =
    edge.rate > 0 ? `${formatNumber(edge.rate)}/s, ${formatDuration(edge.p99 ?? null)}` : edge.connectionType;
  return svg(
    'g',
    { class: 'edge', ...(level ? { 'data-level': level } : {}) },
    svg('path', { d: `M${start.x} ${start.y}${path.join('')}`, 'stroke-width': stroke.toFixed(1) }),
    svg('circle', { cx: `${end.x}`, cy: `${end.y}`, r: '3.5' }),
    svg('text', { x: `${(start.x + next.x) / 2}`, y: `${(start.y + next.y) / 2 - 6}`, text }),
  );
}

function drawNode(
  { nodes }: Graph,
  id: string,
  edges: readonly GraphEdge[],
  layout: Layout,
  height: number,
): SVGGElement {
  const { x, y } = corner(layout.places.get(id)!, layout, height);
  const label = labelOf(nodes, id);
  const incoming = edges.filter(({ server }) => server === id);
  const rate = incoming.reduce((sum, edge) => sum + edge.rate, 0);
  const errors = incoming.reduce((sum, edge) => sum + edge.errorRate, 0);
  const level = rate > 0 ? levelOfRatio(errors / rate) : undefined;
  const note = incoming.length === 0 ? 'calls only' : `${formatNumber(rate)} requests/s`;
  return svg(
    'g',
    { class: 'node', ...(level ? { 'data-level': level } : {}) },
    svg('title', { text: label }),
    svg('rect', {
      x: `${x}`,
      y: `${y - BOX.height / 2}`,
      width: `${BOX.width}`,
      height: `${BOX.height}`,
      rx: '6',
    }),
    svg('text', {
      class: 'node-name',
      x: `${x + 10}`,
      y: `${y - 3}`,
      text: label.length > NAME_LENGTH ? `${label.slice(0, NAME_LENGTH - 1)}…` : label,
    }),
    svg('text', { class: 'node-note', x: `${x + 10}`, y: `${y + 12}`, text: note }),
  );
}
