/**
 * The instructions of one function that can be reached from its first one, by every direct branch; what comes before and
 * after each; and how deep the stack is there. What cannot be seen is said (`gap`), never guessed: the targets of
 * indirect jumps, code outside of the function, bytes that are no instructions. Calls are taken to come back, except a
 * last one. More paths than there really are may be found, fewer are not, so long as there is no gap.
 * Limit: what the caller passes as code.
 */

import type { Machine, Step } from './step.ts';

/** Why not all paths through a function are known. */
export type FlowGap =
  | 'code not read'
  | 'function size unknown'
  | 'code not understood'
  | 'indirect jump'
  | 'jump out of the function'
  | 'stack pointer not followed';

export interface Place {
  readonly at: number;
  readonly step: Step;
  /** Where control may go from here, inside the function. */
  readonly next: number[];
  readonly previous: number[];
  /** Bytes that the stack pointer is below its value at the entry, before the instruction; NaN: not known. */
  depthBytes: number;
  /** The same of the frame pointer; NaN: it is something else. */
  frameBytes: number;
  /** A return, or a jump out of the function, can be reached from here. */
  leaves: boolean;
}

export interface ControlFlow {
  readonly places: ReadonlyMap<number, Place>;
  /** Targets of the direct jumps and branches inside the function. */
  readonly targets: ReadonlySet<number>;
  /** Offsets of the returns. */
  readonly returns: readonly number[];
  /** Offsets of jumps to other functions, or to its own begin. */
  readonly tailCalls: readonly number[];
  readonly gap: FlowGap | '';
}

/** @param sizeBytes Of the function; 0 when not known. */
export function followCode(machine: Machine, code: Uint8Array, sizeBytes: number): ControlFlow {
  const search = new Search(machine, code, sizeBytes);
  search.run();
  return search;
}

class Search implements ControlFlow {
  readonly places = new Map<number, Place>();
  readonly targets = new Set<number>();
  readonly returns: number[] = [];
  readonly tailCalls: number[] = [];
  gap: FlowGap | '' = '';
  readonly #machine: Machine;
  readonly #code: Uint8Array;
  readonly #end: number;

  constructor(machine: Machine, code: Uint8Array, sizeBytes: number) {
    this.#machine = machine;
    this.#end = sizeBytes === 0 ? code.length : Math.min(sizeBytes, code.length);
    this.#code = code.subarray(0, this.#end);
    if (sizeBytes === 0) this.gap = 'function size unknown';
    else if (sizeBytes > code.length) this.gap = 'code not read';
  }

  run(): void {
    const waiting = [0];
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      if (!this.places.has(at)) this.#visit(at, waiting);
    }
    if (this.#overlaps()) this.#missing('code not understood');
    for (const place of this.places.values()) {
      for (const next of place.next) this.places.get(next)?.previous.push(place.at);
    }
    this.#followStack();
    this.#markLeaving();
  }

  #missing(gap: FlowGap): void {
    if (this.gap === '') this.gap = gap;
  }

  #visit(at: number, waiting: number[]): void {
    const step = at < this.#end ? this.#machine.decode(this.#code, at) : undefined;
    if (!step) {
      this.#missing('code not understood');
      return;
    }
    const place: Place = {
      at,
      step,
      next: [],
      previous: [],
      depthBytes: Number.NaN,
      frameBytes: Number.NaN,
      leaves: false,
    };
    this.places.set(at, place);
    const go = (next: number) => {
      if (!place.next.includes(next)) place.next.push(next);
      waiting.push(next);
    };
    const after = at + step.lengthBytes;
    switch (step.flow) {
      case 'return':
        this.returns.push(at);
        return;
      case 'stop':
        return;
      case 'indirect-jump':
        this.#missing('indirect jump');
        return;
      case 'call':
      case 'indirect-call':
        // With nothing behind it the call does not come back: abort(), __stack_chk_fail().
        if (after !== this.#end) go(after);
        return;
      case 'jump':
      case 'branch':
        if (step.target > 0 && step.target < this.#end) {
          this.targets.add(step.target);
          go(step.target);
        } else if (step.flow === 'jump') {
          this.tailCalls.push(at);
          if (step.target === 0) this.targets.add(0);
        } else {
          this.#missing('jump out of the function');
          if (step.target === 0) this.targets.add(0);
        }
        if (step.flow === 'branch') go(after);
        return;
      default:
        go(after);
    }
  }

  /** Is there a jump into the middle of an instruction? Then one of the two readings is wrong. */
  #overlaps(): boolean {
    let end = 0;
    for (const at of [...this.places.keys()].sort((a, b) => a - b)) {
      if (at < end) return true;
      end = at + this.places.get(at)!.step.lengthBytes;
    }
    return false;
  }

  /** What two paths bring along differently is not known: each place changes twice at most. */
  #followStack(): void {
    const first = this.places.get(0);
    if (!first) return;
    const seen = new Set<number>([0]);
    first.depthBytes = 0;
    const waiting = [0];
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      const place = this.places.get(at)!;
      const { depthBytes, frameBytes } = this.#after(place);
      for (const next of place.next) {
        const other = this.places.get(next);
        if (!other) continue;
        const isNew = !seen.has(next);
        seen.add(next);
        const depth = isNew || other.depthBytes === depthBytes ? depthBytes : Number.NaN;
        const frame = isNew || other.frameBytes === frameBytes ? frameBytes : Number.NaN;
        if (!isNew && Object.is(depth, other.depthBytes) && Object.is(frame, other.frameBytes)) continue;
        other.depthBytes = depth;
        other.frameBytes = frame;
        waiting.push(next);
      }
    }
    // A return finds its address where the caller put it, so any other depth there means that something was misread.
    for (const at of [...this.returns, ...this.tailCalls]) {
      const { depthBytes } = this.places.get(at)!;
      if (depthBytes !== 0 && !Number.isNaN(depthBytes)) this.#missing('stack pointer not followed');
    }
  }

  #after({ step, depthBytes, frameBytes }: Place): { depthBytes: number; frameBytes: number } {
    const depth = step.stackFromFrame === undefined ? depthBytes - step.stackBytes : frameBytes - step.stackFromFrame;
    // A called function keeps the frame pointer, as the ABI has it.
    if (step.frameFromStack !== undefined) return { depthBytes: depth, frameBytes: depthBytes - step.frameFromStack };
    const kept = (step.writes & (1 << this.#machine.frameRegister)) === 0;
    return { depthBytes: depth, frameBytes: kept ? frameBytes : Number.NaN };
  }

  #markLeaving(): void {
    const waiting = [...this.returns, ...this.tailCalls];
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      const place = this.places.get(at)!;
      if (place.leaves) continue;
      place.leaves = true;
      waiting.push(...place.previous);
    }
  }
}
