/**
 * The table of services: sortable, filterable, and the way to choose whose history is shown. Rows keep their place while
 * the pointer or the focus is on the table, so that nobody clicks on what has just moved away.
 */

import type { Figures, Role, ServiceFigures, Summary } from '../../summary/contract.ts';
import { arrange, byId, html, setAttribute, setText } from './dom.ts';
import { formatCount, formatDuration, formatNumber, formatShare, NONE } from './format.ts';
import { Sparkline } from './sparkline.ts';
import { levelOfRatio } from './tiles.ts';

export interface Chosen {
  readonly namespace: string;
  readonly service: string;
}

interface Column {
  readonly id: string;
  readonly title: string;
  /** For those who want to know what exactly. */
  readonly help: string;
  /** Sorted by; `null` sorts last in both directions. Missing: not a column to sort by. */
  readonly by?: (figures: Figures) => number | null;
  readonly text: (figures: Figures, buckets: readonly number[]) => string;
  readonly level?: (figures: Figures) => string | undefined;
}

const share = (value: number | null) => (value === null ? NONE : formatShare(value));

const COLUMNS: readonly Column[] = [
  {
    id: 'rate',
    title: 'Req/s',
    help: 'requests per second',
    by: (figures) => figures.requestsPerSecond,
    text: (figures) => formatNumber(figures.requestsPerSecond),
  },
  { id: 'trend', title: '5 min', help: 'requests per second, the last five minutes', text: () => '' },
  {
    id: 'errors',
    title: 'Errors',
    help: 'share of responses with status 500 and above',
    by: (figures) => figures.errorShare,
    text: (figures) => share(figures.errorShare),
    level: (figures) => levelOfRatio(figures.errorShare ?? 0),
  },
  {
    id: 'client-errors',
    title: '4xx',
    help: 'share of responses with status 400 to 499',
    by: (figures) => figures.clientErrorShare,
    text: (figures) => share(figures.clientErrorShare),
  },
  ...(['p50', 'p90', 'p99'] as const).map((id) => ({
    id,
    title: id,
    help: `${id.slice(1)} of 100 requests took at most that long`,
    by: (figures: Figures) => figures[id],
    text: (figures: Figures, buckets: readonly number[]) => formatDuration(figures[id], buckets.at(-1)),
  })),
  {
    id: 'https',
    title: 'HTTPS',
    help: 'share of the requests that came over TLS',
    by: (figures) => figures.httpsShare,
    text: (figures) => share(figures.httpsShare),
  },
  {
    id: 'total',
    title: 'Total',
    help: 'requests since the agent started',
    by: (figures) => figures.total.requests,
    text: (figures) => formatCount(figures.total.requests),
  },
];

interface Row {
  readonly element: HTMLTableRowElement;
  readonly button: HTMLButtonElement;
  readonly cells: ReadonlyMap<string, HTMLTableCellElement>;
  readonly sparkline: Sparkline;
  figures: Figures;
  readonly name: string;
}

export class ServicesTable {
  readonly #table = byId('services-table', HTMLTableElement);
  readonly #empty = byId('services-empty', HTMLDivElement);
  readonly #filter = byId('filter', HTMLInputElement);
  readonly #body = html('tbody');
  readonly #headers = new Map<string, HTMLTableCellElement>();
  readonly #rows = new Map<string, Row>();
  readonly #choose: (chosen: Chosen | null) => void;
  #all: Row;
  #sort = { id: 'rate', descending: true };
  #order: string[] = [];
  #role: Role = 'server';
  #chosen = '';
  #last: Summary | undefined;

  constructor(choose: (chosen: Chosen | null) => void) {
    this.#choose = choose;
    this.#all = this.#createRow(null);
    const head = html(
      'tr',
      {},
      this.#header('name', 'Service', 'systemd unit, executable, or Kubernetes service', true),
    );
    for (const { id, title, help, by } of COLUMNS) head.append(this.#header(id, title, help, by !== undefined));
    this.#table.append(html('thead', {}, head), this.#body);
    this.#filter.addEventListener('input', () => this.#render(true));
  }

  set role(role: Role) {
    this.#role = role;
    this.#rows.clear();
    this.#order = [];
    this.chosen = null;
  }

  set chosen(chosen: Chosen | null) {
    this.#chosen = chosen === null ? '' : keyOf(chosen);
    this.#mark();
  }

  update(summary: Summary): void {
    this.#last = summary;
    const known = new Set<string>();
    for (const service of summary.services) {
      if (service.role !== this.#role) continue;
      const key = keyOf(service);
      known.add(key);
      let row = this.#rows.get(key);
      if (row === undefined) {
        row = this.#createRow(service);
        this.#rows.set(key, row);
      }
      row.figures = service;
    }
    for (const key of this.#rows.keys()) if (!known.has(key)) this.#rows.delete(key);
    this.#all.figures = summary.all[this.#role];
    this.#render(false);
  }

  #render(reorder: boolean): void {
    const summary = this.#last;
    if (summary === undefined) return;
    const held = this.#table.matches(':hover') || this.#table.contains(document.activeElement);
    if (reorder || !held) this.#order = this.#sorted();
    else this.#order = [...this.#order.filter((key) => this.#rows.has(key)), ...this.#newRows()];
    const wanted = this.#filter.value.trim().toLowerCase();
    const shown = this.#order
      .map((key) => this.#rows.get(key)!)
      .filter(({ name }) => name.toLowerCase().includes(wanted));
    for (const row of [this.#all, ...shown]) this.#fill(row, summary.buckets);
    arrange(this.#body, this.#rows.size > 0 ? [this.#all.element, ...shown.map(({ element }) => element)] : []);
    this.#table.hidden = this.#rows.size === 0;
    this.#empty.hidden = shown.length > 0;
    setText(this.#empty, this.#rows.size > 0 ? 'No service has a name like that.' : emptyText(this.#role));
    this.#mark();
  }

  #fill(row: Row, buckets: readonly number[]): void {
    for (const { id, text, level } of COLUMNS) {
      const cell = row.cells.get(id)!;
      if (id === 'trend') {
        row.sparkline.update(row.figures.sparkline);
        continue;
      }
      setText(cell, text(row.figures, buckets));
      if (level) setAttribute(cell, 'data-level', level(row.figures));
    }
    setAttribute(row.element, 'data-quiet', row.figures.requestsPerSecond === 0 ? '' : undefined);
  }

  #mark(): void {
    for (const [key, row] of [['', this.#all] as const, ...this.#rows]) {
      setAttribute(row.button, 'aria-pressed', String(key === this.#chosen));
      setAttribute(row.element, 'data-chosen', key === this.#chosen ? '' : undefined);
    }
  }

  #sorted(): string[] {
    const { id, descending } = this.#sort;
    const by = COLUMNS.find((column) => column.id === id)?.by;
    const sign = descending ? -1 : 1;
    return [...this.#rows]
      .sort(([, a], [, b]) => {
        if (by === undefined) return sign * a.name.localeCompare(b.name);
        const [left, right] = [by(a.figures), by(b.figures)];
        if (left === right) return a.name.localeCompare(b.name);
        if (left === null || right === null) return left === null ? 1 : -1;
        return sign * (left - right);
      })
      .map(([key]) => key);
  }

  #newRows(): string[] {
    const there = new Set(this.#order);
    return [...this.#rows.keys()].filter((key) => !there.has(key));
  }

  #header(id: string, title: string, help: string, sortable: boolean): HTMLTableCellElement {
    const cell = html('th', { scope: 'col', class: `column-${id}`, title: help });
    if (!sortable) {
      cell.textContent = title;
      return cell;
    }
    const button = html('button', { type: 'button', class: 'sort', text: title });
    button.addEventListener('click', () => {
      const descending = this.#sort.id === id ? !this.#sort.descending : id !== 'name';
      this.#sort = { id, descending };
      this.#markSort();
      this.#render(true);
    });
    cell.append(button);
    this.#headers.set(id, cell);
    this.#markSort();
    return cell;
  }

  #markSort(): void {
    for (const [id, cell] of this.#headers) {
      const order = this.#sort.descending ? 'descending' : 'ascending';
      setAttribute(cell, 'aria-sort', id === this.#sort.id ? order : undefined);
    }
  }

  #createRow(service: ServiceFigures | null): Row {
    const sparkline = new Sparkline();
    const button = html('button', { type: 'button', class: 'name', text: service?.service ?? 'All services' });
    const name = html('th', { scope: 'row', class: 'column-name' }, button);
    // The name may be cut.
    if (service !== null) button.title = [service.namespace, service.service].filter(Boolean).join(' / ');
    if (service !== null && service.namespace !== '') {
      button.append(html('span', { class: 'namespace', text: service.namespace }));
    }
    button.addEventListener('click', () => this.#choose(service));
    const cells = new Map(COLUMNS.map(({ id }) => [id, html('td', { class: `column-${id}` })]));
    cells.get('trend')?.append(sparkline.element);
    const element = html('tr', service === null ? { class: 'all' } : {}, name, ...cells.values());
    const figures = service ?? NO_FIGURES;
    return {
      element,
      button,
      cells,
      sparkline,
      figures,
      name: service ? `${service.service} ${service.namespace}` : '',
    };
  }
}

const NO_FIGURES: Figures = {
  requestsPerSecond: 0,
  errorsPerSecond: 0,
  clientErrorsPerSecond: 0,
  errorShare: null,
  clientErrorShare: null,
  p50: null,
  p90: null,
  p99: null,
  httpsShare: null,
  total: { requests: 0, errors: 0, clientErrors: 0 },
  sparkline: [],
};

function keyOf({ namespace, service }: Chosen): string {
  return `${namespace}\0${service}`;
}

function emptyText(role: Role): string {
  return role === 'server'
    ? 'No traffic seen yet: a service appears here with the first HTTP request that it answers, plain or over TLS. ' +
        'If there is traffic that should be here, see which processes are blind under TLS coverage, or run plainsight doctor.'
    : 'No outbound calls seen yet: a process appears here with the first HTTP response that it gets as a client.';
}
