/** The figures below a chart, with the key to its lines: of the step under the pointer, else of the last one. */

import { html, setText } from './dom.ts';
import { NONE } from './format.ts';

export interface ReadoutPart {
  readonly label: string;
  /** Class of the swatch before it; missing: a figure without a line. */
  readonly swatch?: string;
}

export class Readout {
  readonly #time = html('span', { class: 'readout-time', text: '\u00a0' });
  readonly #values: readonly HTMLSpanElement[];

  constructor(parent: HTMLElement, parts: readonly ReadoutPart[]) {
    this.#values = parts.map(() => html('span', { class: 'readout-value', text: NONE }));
    const items = parts.map(({ label, swatch }, index) => {
      const name = html('span', { text: label });
      const key = swatch === undefined ? [] : [html('span', { class: `swatch ${swatch}`, 'aria-hidden': 'true' })];
      return html('span', { class: 'readout-part' }, ...key, name, this.#values[index]!);
    });
    parent.replaceChildren(this.#time, ...items);
  }

  show(time: string, values: readonly string[]): void {
    setText(this.#time, time);
    for (const [index, value] of this.#values.entries()) setText(value, values[index] ?? NONE);
  }
}
