/** What did not become a number, and why: events lost by stage, requests that could not be measured, series beyond the cap. */

import type { Summary } from '../../summary/contract.ts';
import { byId, html, setAttribute, setText } from './dom.ts';
import { INCOMPLETE_REASONS, LOSS_STAGES } from './explanations.ts';
import { formatCount } from './format.ts';

interface Line {
  readonly name: string;
  readonly count: number;
  readonly meaning: string;
}

class LossTable {
  readonly #body = html('tbody');
  readonly #rows = new Map<string, { readonly element: HTMLTableRowElement; readonly count: HTMLTableCellElement }>();

  constructor(id: string, title: string) {
    const head = html(
      'tr',
      {},
      html('th', { scope: 'col', text: title }),
      html('th', { scope: 'col', class: 'number', text: 'Count' }),
      html('th', { scope: 'col', text: 'What that means' }),
    );
    byId(id, HTMLTableElement).append(html('thead', {}, head), this.#body);
  }

  update(lines: readonly Line[]): void {
    for (const { name, count, meaning } of lines) {
      let row = this.#rows.get(name);
      if (row === undefined) {
        const cell = html('td', { class: 'number' });
        const head = html('th', { scope: 'row', text: name.replaceAll('_', ' ') });
        row = { element: html('tr', {}, head, cell, html('td', { class: 'meaning', text: meaning })), count: cell };
        this.#rows.set(name, row);
        this.#body.append(row.element);
      }
      setText(row.count, formatCount(count));
      setAttribute(row.element, 'data-quiet', count === 0 ? '' : undefined);
    }
  }
}

export class Losses {
  readonly #note = byId('losses-note', HTMLParagraphElement);
  readonly #events = new LossTable('events-table', 'Events lost');
  readonly #incomplete = new LossTable('incomplete-table', 'Not measured');

  update({ losses, beyondLimit }: Summary): void {
    const overflow = losses.overflow.map(({ metric, count }) => ({
      name: metric,
      count,
      meaning: 'More series than --max-series: counted in one overflow series.',
    }));
    if (beyondLimit > 0) {
      const meaning = 'More services than this page keeps: counted in all services only.';
      overflow.push({ name: 'page', count: beyondLimit, meaning });
    }
    this.#events.update([
      ...losses.events.map(({ stage, count }) => ({ name: stage, count, meaning: LOSS_STAGES[stage] ?? '' })),
      ...overflow,
    ]);
    this.#incomplete.update(
      Object.entries(INCOMPLETE_REASONS).map(([name, meaning]) => {
        return { name, count: losses.incomplete.find(({ reason }) => reason === name)?.count ?? 0, meaning };
      }),
    );
    const lost = losses.events.reduce((sum, { count }) => sum + count, 0);
    const incomplete = losses.incomplete.reduce((sum, { count }) => sum + count, 0);
    const what = (count: number, one: string, many: string) => `${formatCount(count)} ${count === 1 ? one : many}`;
    setText(
      this.#note,
      lost + incomplete === 0
        ? 'Nothing was lost since the start, and every request was measured.'
        : `Since the start: ${what(lost, 'event', 'events')} lost, ${what(incomplete, 'request', 'requests')} seen but not measured.`,
    );
  }
}
