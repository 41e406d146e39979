/** Latency as a heatmap: a row per bucket, a column per step, the darker the more requests; with p50 and p99 as lines. */

import uPlot from 'uplot';
import type { Detail, Summary } from '../../summary/contract.ts';
import { baseOptions, historyOf, resizing } from './chart-base.ts';
import { byId, setAttribute } from './dom.ts';
import { formatBound, formatCount, formatDuration, formatTime } from './format.ts';
import { Readout } from './readout.ts';
import { color } from './theme.ts';

/** Steps of darkness: as many as an eye tells apart. */
const SHADES = 7;

interface Drawn {
  readonly summary: Summary;
  readonly detail: Detail;
  readonly missing: number;
}

export class HeatChart {
  readonly #frame = byId('heat-chart', HTMLDivElement);
  readonly #readout = new Readout(byId('heat-readout', HTMLParagraphElement), [
    { label: 'p50', swatch: 'mark dashed' },
    { label: 'p90' },
    { label: 'p99', swatch: 'mark' },
    { label: 'requests' },
  ]);
  readonly #sync: uPlot.SyncPubSub;
  #plot: uPlot | undefined;
  #rows = 0;
  #shades: readonly string[] = [];
  #last: Drawn | undefined;

  constructor(sync: uPlot.SyncPubSub) {
    this.#sync = sync;
    resizing(this.#frame, () => this.#plot);
  }

  recolor(): void {
    this.#plot?.destroy();
    this.#plot = undefined;
    if (this.#last) this.update(this.#last.summary, this.#last.detail);
  }

  update(summary: Summary, detail: Detail): void {
    const { times, pad } = historyOf(summary);
    this.#last = { summary, detail, missing: times.length - summary.steps.length };
    const heights = (values: readonly (number | null)[]) => pad(values).map((value) => height(value, summary.buckets));
    const data: uPlot.AlignedData = [times, heights(detail.p50), heights(detail.p99)];
    if (this.#plot !== undefined && this.#rows !== detail.heatmap.length) {
      this.#plot.destroy();
      this.#plot = undefined;
    }
    this.#rows = detail.heatmap.length;
    if (this.#plot === undefined) this.#plot = this.#create(data, summary.buckets);
    else this.#plot.setData(data);
    this.#read();
    const limit = summary.buckets.at(-1);
    const [p50, p99] = [detail.p50.at(-1) ?? null, detail.p99.at(-1) ?? null];
    setAttribute(this.#frame, 'role', 'img');
    setAttribute(
      this.#frame,
      'aria-label',
      `Requests by duration over the last five minutes; in the last step p50 ${formatDuration(p50, limit)}, p99 ${formatDuration(p99, limit)}`,
    );
  }

  #create(data: uPlot.AlignedData, buckets: readonly number[]): uPlot {
    const base = baseOptions(this.#frame, this.#sync);
    const rows = buckets.length + 1;
    this.#shades = Array.from({ length: SHADES }, (_, shade) => color(`heat-${shade + 1}`));
    const line = (label: string, dash?: number[]) => ({
      label,
      stroke: color('mark'),
      width: 1.5,
      points: { show: false },
      ...(dash ? { dash } : {}),
    });
    const options: uPlot.Options = {
      ...base,
      scales: { x: base.scales.x, y: { range: [0, rows] } },
      axes: [
        base.xAxis,
        {
          ...base.yAxis,
          splits: (plot) => labelled(rows, plot.bbox.height / devicePixelRatio),
          values: (_plot, splits) => splits.map((split) => (split === 0 ? '' : formatBound(buckets[split - 1]!))),
        },
      ],
      series: [{}, line('p50', [4, 3]), line('p99')],
      hooks: { drawAxes: [(plot) => this.#paint(plot)], setCursor: [() => this.#read()] },
    };
    return new uPlot(options, data, this.#frame);
  }

  #paint(plot: uPlot): void {
    const last = this.#last;
    if (last === undefined) return;
    const { detail, summary, missing } = last;
    const most = Math.max(1, ...detail.heatmap.flat());
    const { ctx } = plot;
    const times = plot.data[0];
    ctx.save();
    for (const [bucket, counts] of detail.heatmap.entries()) {
      const bottom = plot.valToPos(bucket, 'y', true);
      const top = plot.valToPos(bucket + 1, 'y', true);
      for (const [step, count] of counts.entries()) {
        if (count === 0) continue;
        const end = times[missing + step]!;
        const left = Math.max(plot.bbox.left, plot.valToPos(end - summary.stepSeconds, 'x', true));
        const right = plot.valToPos(end, 'x', true);
        // By a root: one slow request among thousands must be seen, and the many still differ.
        const shade = Math.ceil((count / most) ** 0.4 * SHADES) - 1;
        ctx.fillStyle = this.#shades[Math.min(SHADES - 1, Math.max(0, shade))]!;
        ctx.fillRect(left, top + 0.5, Math.max(1, right - left - 0.5), bottom - top - 1);
      }
    }
    ctx.restore();
  }

  #read(): void {
    const plot = this.#plot;
    if (plot === undefined || this.#last === undefined) return;
    const { detail, summary, missing } = this.#last;
    const index = plot.cursor.idx ?? plot.data[0].length - 1;
    const step = index - missing;
    const time = plot.data[0][index];
    if (time === undefined || step < 0) {
      this.#readout.show('\u00a0', []);
      return;
    }
    const requests = detail.heatmap.reduce((sum, counts) => sum + (counts[step] ?? 0), 0);
    const limit = summary.buckets.at(-1);
    const at = (values: readonly (number | null)[]) => formatDuration(values[step] ?? null, limit);
    this.#readout.show(formatTime(time), [at(detail.p50), at(detail.p90), at(detail.p99), formatCount(requests)]);
  }
}

/** Where a duration lies among the rows. */
function height(seconds: number | null, buckets: readonly number[]): number | null {
  if (seconds === null) return null;
  const bucket = buckets.findIndex((bound) => seconds <= bound);
  if (bucket < 0) return buckets.length + 0.5;
  const lower = bucket === 0 ? 0 : buckets[bucket - 1]!;
  return bucket + (seconds - lower) / (buckets[bucket]! - lower);
}

/** Bounds that have room for their text. */
function labelled(rows: number, heightPx: number): number[] {
  const every = Math.max(1, Math.ceil((rows * 15) / Math.max(1, heightPx)));
  return Array.from({ length: rows }, (_, bound) => bound).filter((bound) => bound % every === 0);
}
