/** A line of the last five minutes, as small as a word. Decoration: the figures beside it say the same in text. */

import { setAttribute, svg } from './dom.ts';

const WIDTH = 108;
const HEIGHT = 22;
/** Steps that the whole width stands for; a younger history begins further right. */
const STEPS = 60;

export class Sparkline {
  readonly element: SVGSVGElement;
  readonly #line = svg('path', { class: 'spark-line' });
  readonly #area = svg('path', { class: 'spark-area' });

  constructor() {
    this.element = svg(
      'svg',
      {
        class: 'spark',
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        width: `${WIDTH}`,
        height: `${HEIGHT}`,
        'aria-hidden': 'true',
      },
      this.#area,
      this.#line,
    );
  }

  /** Scaled from 0 to its own maximum. */
  update(values: readonly number[]): void {
    const top = Math.max(...values, Number.MIN_VALUE);
    const step = WIDTH / (STEPS - 1);
    const left = WIDTH - (values.length - 1) * step;
    const points = values.map((value, index) => {
      const y = HEIGHT - 1.5 - (value / top) * (HEIGHT - 3);
      return `${(left + index * step).toFixed(1)} ${y.toFixed(1)}`;
    });
    const path = points.length > 1 ? `M${points.join('L')}` : '';
    setAttribute(this.#line, 'd', path);
    setAttribute(this.#area, 'd', path === '' ? '' : `${path}V${HEIGHT}H${left.toFixed(1)}Z`);
  }
}
