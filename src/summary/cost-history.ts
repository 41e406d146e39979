/** What the agent's own process took of the machine: processor time and memory, now and by step. */

import { Steps } from './steps.ts';

/** As process.cpuUsage() and process.memoryUsage.rss() have them. */
export interface CostSource {
  /** User and system time since the process began. */
  cpuMicroseconds(): number;
  residentBytes(): number;
  /** Traffic copied from the kernel since the start. */
  capturedBytes(): number;
}

export class CostHistory {
  readonly #source: CostSource;
  readonly #steps: Steps;
  readonly #cpuMicroseconds = new Float64Array(Steps.slots);
  readonly #captured = new Float64Array(Steps.slots);
  readonly #resident = new Float64Array(Steps.slots);
  #cpuBefore: number;
  #capturedBefore: number;

  constructor(source: CostSource, steps: Steps) {
    this.#source = source;
    this.#steps = steps;
    this.#cpuBefore = source.cpuMicroseconds();
    this.#capturedBefore = source.capturedBytes();
  }

  /** To be called right before the clock advances. */
  finishStep(): void {
    this.#sample();
    this.begin();
  }

  /** Counts from here on. */
  begin(): void {
    this.#cpuBefore = this.#source.cpuMicroseconds();
    this.#capturedBefore = this.#source.capturedBytes();
  }

  now(nowMs: number) {
    this.#sample();
    const { slots, seconds } = this.#steps.window(nowMs);
    const perSecond = (values: Float64Array) =>
      seconds > 0 ? slots.reduce((sum, slot) => sum + values[slot]!, 0) / seconds : 0;
    const finished = this.#steps.finished();
    const cores = (microseconds: number) => Number((microseconds / 1e6).toFixed(4));
    return {
      cpu: cores(perSecond(this.#cpuMicroseconds)),
      residentBytes: this.#source.residentBytes(),
      cpuHistory: finished.map((slot) => cores(this.#cpuMicroseconds[slot]! / this.#steps.length(slot))),
      residentHistory: finished.map((slot) => this.#resident[slot]!),
      capturedBytesPerSecond: Math.round(perSecond(this.#captured)),
    };
  }

  #sample(): void {
    const slot = this.#steps.running;
    this.#cpuMicroseconds[slot] = this.#source.cpuMicroseconds() - this.#cpuBefore;
    this.#captured[slot] = this.#source.capturedBytes() - this.#capturedBefore;
    this.#resident[slot] = this.#source.residentBytes();
  }
}
