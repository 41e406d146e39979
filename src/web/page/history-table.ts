/** The charts as a table, newest first, for those who read rather than look. Filled only while it is open. */

import type { Detail, Summary } from '../../summary/contract.ts';
import { byId, html } from './dom.ts';
import { formatDuration, formatNumber, formatTime } from './format.ts';

const TITLES = ['Time', 'Requests/s', '4xx/s', '5xx/s', 'p50', 'p90', 'p99'];

export class HistoryTable {
  readonly #table = byId('history-table', HTMLTableElement);
  readonly #body = html('tbody');

  constructor() {
    const head = html('tr', {}, ...TITLES.map((title) => html('th', { scope: 'col', text: title })));
    this.#table.append(html('thead', {}, head), this.#body);
  }

  update({ steps, buckets }: Summary, detail: Detail): void {
    if (!this.#table.closest('details')?.open) return;
    const rows = steps.map((time, step) => {
      const duration = (values: readonly (number | null)[]) => formatDuration(values[step] ?? null, buckets.at(-1));
      const texts = [
        formatNumber(detail.requestsPerSecond[step] ?? 0),
        formatNumber(detail.clientErrorsPerSecond[step] ?? 0),
        formatNumber(detail.errorsPerSecond[step] ?? 0),
        duration(detail.p50),
        duration(detail.p90),
        duration(detail.p99),
      ];
      const cells = texts.map((text) => html('td', { text }));
      return html('tr', {}, html('th', { scope: 'row', text: formatTime(time) }), ...cells);
    });
    this.#body.replaceChildren(...rows.reverse());
  }
}
