/**
 * The clock of the history: five minutes in steps of five seconds, and the step that is running. Rows of numbers are kept
 * by slot, so that a step costs the same however long the agent has run.
 */

export const STEP_SECONDS = 5;
/** Finished steps. */
export const STEPS = 60;
/** One more for the step that is running. */
const SLOTS = STEPS + 1;
/** What "now" means to a reader: long enough to be steady, short enough to be news. */
const WINDOW_STEPS = 12;

export class Steps {
  readonly #endMs = new Float64Array(SLOTS);
  readonly #lengthMs = new Float64Array(SLOTS);
  #running = 0;
  #finished = 0;
  #startedMs: number;

  /** Times in milliseconds, of one clock that never goes back. */
  constructor(nowMs: number) {
    this.#startedMs = nowMs;
  }

  static readonly slots = SLOTS;

  /** The running step begins now: what was before is not waited for. */
  begin(nowMs: number): void {
    this.#startedMs = nowMs;
  }

  /** The slot of the step that is running. */
  get running(): number {
    return this.#running;
  }

  /** Ends the running step. What was kept in the slot that is now `running` is five minutes old. */
  advance(nowMs: number): void {
    this.#endMs[this.#running] = nowMs;
    this.#lengthMs[this.#running] = nowMs - this.#startedMs;
    this.#startedMs = nowMs;
    this.#running = (this.#running + 1) % SLOTS;
    this.#finished = Math.min(this.#finished + 1, STEPS);
  }

  /** Slots of the finished steps, oldest first. */
  finished(): number[] {
    return this.#last(this.#finished);
  }

  /** Slots of the last minute with the running step, and how long they lasted. */
  window(nowMs: number): { readonly slots: readonly number[]; readonly seconds: number } {
    const slots = this.#last(Math.min(WINDOW_STEPS, this.#finished));
    const finishedMs = slots.reduce((sum, slot) => sum + this.#lengthMs[slot]!, 0);
    return { slots: [...slots, this.#running], seconds: Math.max(0, finishedMs + nowMs - this.#startedMs) / 1000 };
  }

  endMs(slot: number): number {
    return this.#endMs[slot]!;
  }

  /** Seconds; never 0. */
  length(slot: number): number {
    return Math.max(1, this.#lengthMs[slot]!) / 1000;
  }

  #last(count: number): number[] {
    return Array.from({ length: count }, (_, index) => (this.#running - count + index + SLOTS) % SLOTS);
  }
}
