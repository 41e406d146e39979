/** What the agent takes of the machine, and which of its features work here. */

import type { Summary } from '../../summary/contract.ts';
import { byId, html, setText } from './dom.ts';
import { formatBytes, formatCount, formatShare, formatUptime } from './format.ts';
import { Sparkline } from './sparkline.ts';

const FIGURES: readonly {
  readonly title: string;
  readonly read: (summary: Summary) => string;
  readonly history?: (summary: Summary) => readonly number[];
}[] = [
  {
    title: 'Processor',
    read: ({ cost }) => `${formatShare(cost.cpu)} of one CPU`,
    history: ({ cost }) => cost.cpuHistory,
  },
  {
    title: 'Memory',
    read: ({ cost }) => `${formatBytes(cost.residentBytes)} resident`,
    history: ({ cost }) => cost.residentHistory,
  },
  { title: 'Captured', read: ({ cost }) => `${formatBytes(cost.capturedBytesPerSecond)}/s from the kernel` },
  { title: 'Connections', read: ({ cost }) => `${formatCount(cost.connections)} followed` },
  { title: 'Series', read: ({ cost }) => `${formatCount(cost.series)} held` },
  { title: 'Up', read: ({ uptimeSeconds }) => formatUptime(uptimeSeconds) },
];

export class AgentCost {
  readonly #features = byId('features', HTMLUListElement);
  readonly #figures = FIGURES.map(({ title, history }) => {
    const value = html('dd');
    const sparkline = history ? new Sparkline() : undefined;
    const row = html('div', {}, html('dt', { text: title }), value);
    if (sparkline) row.append(html('dd', { class: 'trend' }, sparkline.element));
    return { row, value, sparkline };
  });
  #drawn = '';

  constructor() {
    byId('cost', HTMLDListElement).append(...this.#figures.map(({ row }) => row));
  }

  update(summary: Summary): void {
    for (const [index, { read, history }] of FIGURES.entries()) {
      const { value, sparkline } = this.#figures[index]!;
      setText(value, read(summary));
      if (history) sparkline?.update(history(summary));
    }
    const drawing = JSON.stringify(summary.features);
    if (drawing === this.#drawn) return;
    this.#drawn = drawing;
    this.#features.replaceChildren(
      ...summary.features.map(({ feature, enabled, reason }) =>
        html(
          'li',
          { 'data-enabled': String(enabled) },
          html('span', { class: 'feature', text: feature.replaceAll('_', ' ') }),
          html('span', {
            class: 'state',
            text: enabled ? 'on' : `off${reason === '' ? '' : `: ${reason.replaceAll('_', ' ')}`}`,
          }),
        ),
      ),
    );
  }
}
