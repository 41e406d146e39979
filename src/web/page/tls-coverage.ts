/** Which processes' TLS is seen in the clear, which is not and why, and how many of the bytes that makes. */

import type { Summary, TlsBytes, TlsProcesses } from '../../summary/contract.ts';
import { byId, html, setText } from './dom.ts';
import { TLS_REASONS } from './explanations.ts';
import { formatBytes, formatCount, formatShare } from './format.ts';

const STATES: Readonly<Record<string, { readonly text: string; readonly order: number }>> = {
  failed: { text: 'failed', order: 0 },
  unsupported: { text: 'blind', order: 1 },
  pending: { text: 'pending', order: 2 },
  attached: { text: 'seen', order: 3 },
};

const CLASSES: Readonly<Record<string, string>> = { Count: 'number', Library: 'column-library' };

export function countTls(processes: readonly TlsProcesses[]): { seen: number; pending: number; blind: number } {
  const counts = { seen: 0, pending: 0, blind: 0 };
  for (const { state, processes: count } of processes) {
    counts[state === 'attached' ? 'seen' : state === 'pending' ? 'pending' : 'blind'] += count;
  }
  return counts;
}

export class TlsCoverage {
  readonly #summary = byId('tls-summary', HTMLDivElement);
  readonly #table = byId('tls-table', HTMLTableElement);
  readonly #empty = byId('tls-empty', HTMLDivElement);
  readonly #body = html('tbody');
  #drawn = '';

  constructor() {
    const titles = ['Service', 'Library', 'State', 'Count', 'What that means'];
    const head = html(
      'tr',
      {},
      ...titles.map((title) =>
        html('th', { scope: 'col', text: title, ...(CLASSES[title] ? { class: CLASSES[title] } : {}) }),
      ),
    );
    this.#table.append(html('thead', {}, head), this.#body);
  }

  update({ tls }: Summary): void {
    // It seldom changes, and a reader may be in the middle of it.
    const drawing = JSON.stringify(tls);
    if (drawing === this.#drawn) return;
    this.#drawn = drawing;
    const rows = [...tls.processes].sort(
      (a, b) =>
        orderOf(a.state) - orderOf(b.state) || a.service.localeCompare(b.service) || (a.library < b.library ? -1 : 1),
    );
    this.#body.replaceChildren(...rows.map(tableRow));
    this.#table.hidden = rows.length === 0;
    this.#empty.hidden = rows.length > 0;
    setText(
      this.#empty,
      'No process with TLS found yet: a process is listed when it maps a known TLS library or is seen speaking TLS on a socket.',
    );
    this.#summary.replaceChildren(...(tls.bytes === null ? [] : [byteBars(tls.bytes)]));
  }
}

function tableRow({
  namespace,
  service,
  library,
  version,
  state,
  reason,
  processes,
}: TlsProcesses): HTMLTableRowElement {
  const name = html('th', { scope: 'row', text: service });
  if (namespace !== '') name.append(html('span', { class: 'namespace', text: namespace }));
  const badge = html('span', { class: 'badge', 'data-state': state, text: STATES[state]?.text ?? state });
  const meaning = TLS_REASONS[reason] ?? '';
  return html(
    'tr',
    {},
    name,
    html('td', { class: 'column-library', text: library === '' ? 'none found' : `${library} ${version}`.trim() }),
    html('td', {}, badge),
    html('td', { class: 'number', text: formatCount(processes) }),
    html(
      'td',
      { class: 'meaning' },
      ...(reason === '' ? [] : [html('strong', { text: reason }), html('br')]),
      text(meaning),
    ),
  );
}

function byteBars(bytes: readonly TlsBytes[]): HTMLElement {
  const total = (key: 'plaintext' | 'ciphertext') => bytes.reduce((sum, entry) => sum + entry[key], 0);
  const [plaintext, ciphertext] = [total('plaintext'), total('ciphertext')];
  const share = ciphertext > 0 ? Math.min(1, plaintext / ciphertext) : null;
  const label =
    share === null
      ? 'No TLS bytes on sockets yet.'
      : `${formatShare(share)} of the TLS bytes seen in the clear: ${formatBytes(plaintext)} of ${formatBytes(ciphertext)}, which include TLS' own overhead.`;
  const meter = html('meter', {
    min: '0',
    max: '1',
    value: String(share ?? 0),
    'aria-label': 'Share of TLS bytes seen',
  });
  return html('div', { class: 'coverage' }, meter, html('p', { class: 'note', text: label }));
}

function orderOf(state: string): number {
  return STATES[state]?.order ?? 0;
}

function text(content: string): Text {
  return document.createTextNode(content);
}
