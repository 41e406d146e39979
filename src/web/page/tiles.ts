/** The figures at the top: what somebody who glances at the page wants to know first. */

import type { Summary } from '../../summary/contract.ts';
import { html, setAttribute, setText } from './dom.ts';
import { formatBytes, formatCount, formatDuration, formatNumber, formatShare, NONE } from './format.ts';
import { countTls } from './tls-coverage.ts';

type Level = 'good' | 'warn' | 'bad' | undefined;

interface Reading {
  readonly value: string;
  readonly unit: string;
  readonly note: string;
  readonly level?: Level;
}

/** From here on an error ratio is a warning, and from there on bad: one and five in a hundred. */
const WARN_RATIO = 0.01;
const BAD_RATIO = 0.05;

export function levelOfRatio(ratio: number): Level {
  return ratio >= BAD_RATIO ? 'bad' : ratio >= WARN_RATIO ? 'warn' : undefined;
}

const TILES: readonly { readonly title: string; readonly read: (summary: Summary) => Reading }[] = [
  {
    title: 'Received',
    read: ({ all: { server } }) => ({
      value: formatNumber(server.requestsPerSecond),
      unit: 'requests/s',
      note: `${formatCount(server.total.requests)} since start`,
    }),
  },
  {
    title: 'Errors',
    read: ({ all: { server } }) => {
      if (server.errorShare === null) return { value: NONE, unit: '', note: 'no request received' };
      return {
        value: formatShare(server.errorShare),
        unit: 'status 5xx',
        note: `${formatShare(server.clientErrorShare ?? 0)} status 4xx`,
        level: levelOfRatio(server.errorShare),
      };
    },
  },
  {
    title: 'Latency',
    read: ({ all: { server }, buckets }) => ({
      value: formatDuration(server.p99, buckets.at(-1)),
      unit: 'p99',
      note: `${formatDuration(server.p50, buckets.at(-1))} p50, ${formatDuration(server.p90, buckets.at(-1))} p90`,
    }),
  },
  {
    title: 'Sent',
    read: ({ all: { client }, buckets }) => ({
      value: formatNumber(client.requestsPerSecond),
      unit: 'requests/s',
      note:
        client.errorShare === null
          ? 'no outbound call'
          : `${formatShare(client.errorShare)} 5xx, ${formatDuration(client.p99, buckets.at(-1))} p99`,
    }),
  },
  {
    title: 'TLS processes',
    read: ({ tls }) => {
      const { seen, pending, blind } = countTls(tls.processes);
      const all = seen + pending + blind;
      if (all === 0) return { value: NONE, unit: '', note: 'none found' };
      return {
        value: `${formatCount(seen)} of ${formatCount(all)}`,
        unit: 'seen',
        note:
          blind > 0 ? `${formatCount(blind)} blind` : pending > 0 ? `${formatCount(pending)} pending` : 'none blind',
        level: blind > 0 ? 'warn' : undefined,
      };
    },
  },
  {
    title: 'Lost events',
    read: ({ losses, uptimeSeconds }) => {
      const lost = losses.events.reduce((sum, { count }) => sum + count, 0);
      return {
        value: formatCount(lost),
        unit: 'since start',
        note: lost === 0 ? 'nothing is missing' : `${formatNumber((lost * 60) / Math.max(1, uptimeSeconds))} a minute`,
        level: lost > 0 ? 'warn' : undefined,
      };
    },
  },
  {
    title: 'Agent',
    read: ({ cost }) => ({
      value: formatShare(cost.cpu),
      unit: 'of a CPU',
      note: `${formatBytes(cost.residentBytes)} resident`,
    }),
  },
];

export class Tiles {
  readonly #parts = TILES.map(({ title }) => {
    const value = html('span', { class: 'tile-value', text: NONE });
    const unit = html('span', { class: 'tile-unit' });
    const note = html('p', { class: 'tile-note', text: '\u00a0' });
    const element = html(
      'div',
      { class: 'tile' },
      html('p', { class: 'tile-title', text: title }),
      html('p', {}, value, unit),
      note,
    );
    return { element, value, unit, note };
  });

  constructor(parent: HTMLElement) {
    parent.append(...this.#parts.map(({ element }) => element));
  }

  update(summary: Summary): void {
    for (const [index, { read }] of TILES.entries()) {
      const { element, value, unit, note } = this.#parts[index]!;
      const reading = read(summary);
      setText(value, reading.value);
      setText(unit, reading.unit);
      setText(note, reading.note);
      setAttribute(element, 'data-level', reading.level);
    }
  }
}
