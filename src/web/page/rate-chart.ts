/** Requests and errors per second over the last five minutes. */

import uPlot from 'uplot';
import type { Detail, Summary } from '../../summary/contract.ts';
import { baseOptions, historyOf, resizing } from './chart-base.ts';
import { byId, setAttribute } from './dom.ts';
import { formatNumber, formatTime, NONE } from './format.ts';
import { Readout } from './readout.ts';
import { color } from './theme.ts';

const SERIES = [
  { label: 'all', stroke: 'accent', fill: 'accent-soft', read: (detail: Detail) => detail.requestsPerSecond },
  { label: '4xx', stroke: 'warn', fill: undefined, read: (detail: Detail) => detail.clientErrorsPerSecond },
  { label: '5xx', stroke: 'bad', fill: undefined, read: (detail: Detail) => detail.errorsPerSecond },
] as const;

export class RateChart {
  readonly #frame = byId('rate-chart', HTMLDivElement);
  readonly #readout = new Readout(
    byId('rate-readout', HTMLParagraphElement),
    SERIES.map(({ label, stroke }) => ({ label, swatch: stroke })),
  );
  readonly #sync: uPlot.SyncPubSub;
  #plot: uPlot | undefined;
  #last: { readonly summary: Summary; readonly detail: Detail } | undefined;

  constructor(sync: uPlot.SyncPubSub) {
    this.#sync = sync;
    resizing(this.#frame, () => this.#plot);
  }

  /** Draws anew with the colours that hold now. */
  recolor(): void {
    this.#plot?.destroy();
    this.#plot = undefined;
    if (this.#last) this.update(this.#last.summary, this.#last.detail);
  }

  update(summary: Summary, detail: Detail): void {
    this.#last = { summary, detail };
    const { times, pad } = historyOf(summary);
    const data: uPlot.AlignedData = [times, ...SERIES.map(({ read }) => pad(read(detail)))];
    if (this.#plot === undefined) this.#plot = this.#create(data);
    else this.#plot.setData(data);
    this.#read();
    const rates = detail.requestsPerSecond;
    const text =
      rates.length === 0
        ? 'no step has ended yet'
        : `from ${formatNumber(Math.min(...rates))} to ${formatNumber(Math.max(...rates))}, now ${formatNumber(rates.at(-1)!)}`;
    setAttribute(this.#frame, 'role', 'img');
    setAttribute(this.#frame, 'aria-label', `Requests per second over the last five minutes: ${text}`);
  }

  #create(data: uPlot.AlignedData): uPlot {
    const base = baseOptions(this.#frame, this.#sync);
    const options: uPlot.Options = {
      ...base,
      scales: { x: base.scales.x, y: { range: (_plot, _min, max) => [0, Math.max(1, (max ?? 0) * 1.1)] } },
      axes: [base.xAxis, { ...base.yAxis, values: (_plot, splits) => splits.map((split) => formatNumber(split)) }],
      series: [
        {},
        ...SERIES.map(({ label, stroke, fill }) => ({
          label,
          stroke: color(stroke),
          width: 1.5,
          points: { show: false },
          ...(fill === undefined ? {} : { fill: color(fill) }),
        })),
      ],
      hooks: { setCursor: [() => this.#read()] },
    };
    return new uPlot(options, data, this.#frame);
  }

  /** The step under the pointer, else the last one. */
  #read(): void {
    const plot = this.#plot;
    if (plot === undefined) return;
    const index = plot.cursor.idx ?? plot.data[0].length - 1;
    const time = plot.data[0][index];
    const values = SERIES.map((_, series) => {
      const value = plot.data[series + 1]?.[index];
      return value === null || value === undefined ? NONE : `${formatNumber(value)}/s`;
    });
    this.#readout.show(time === undefined ? '\u00a0' : formatTime(time), values);
  }
}
