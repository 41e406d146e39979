/** What both charts share: five minutes from left to right, their axes, and the way they follow the width of the page. */

import type uPlot from 'uplot';
import type { Summary } from '../../summary/contract.ts';
import { formatTime } from './format.ts';
import { color } from './theme.ts';

const STEPS = 60;
const FONT = '11px system-ui, sans-serif';

/** Times of all steps, also of those before the agent started, and what fills their place in the data. */
export function historyOf(summary: Summary) {
  const { steps, stepSeconds, time } = summary;
  const missing = STEPS - steps.length;
  const first = steps[0] ?? Math.round(time / 1000);
  const before = Array.from({ length: missing }, (_, index) => first - (missing - index) * stepSeconds);
  return {
    times: [...before, ...steps],
    pad: (values: readonly (number | null)[]): (number | null)[] => [...Array<null>(missing).fill(null), ...values],
  };
}

export function baseOptions(frame: HTMLElement, sync: uPlot.SyncPubSub) {
  const grid = { stroke: color('line'), width: 1 };
  const axis = { stroke: color('muted'), font: FONT, ticks: { show: false }, grid };
  return {
    width: Math.max(200, frame.clientWidth),
    height: frame.clientHeight,
    legend: { show: false },
    padding: [6, 18, 0, 0] as uPlot.Padding,
    cursor: { sync: { key: sync.key }, y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { x: { time: true } },
    xAxis: {
      ...axis,
      size: 22,
      gap: 4,
      space: 50,
      values: (_plot: uPlot, splits: number[]) => splits.map((split) => formatTime(split).replace(/:00$/, '')),
      grid: { show: false },
    },
    yAxis: { ...axis, size: 58, gap: 6, space: 24 },
  };
}

/** The height comes from the style sheet. */
export function resizing(frame: HTMLElement, plot: () => uPlot | undefined): void {
  new ResizeObserver(() => {
    const width = Math.max(200, frame.clientWidth);
    if (plot()?.width !== width) plot()?.setSize({ width, height: frame.clientHeight });
  }).observe(frame);
}
