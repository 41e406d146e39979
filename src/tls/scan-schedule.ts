/**
 * When a process is looked at again: a new image maps its libraries over the next milliseconds, or seconds. Pure: the
 * clock is given, and never runs backwards. A queue per delay, each in the order of its times, so looking whether
 * anything is due costs a look at the heads. Limit: `max` processes; what does not fit is refused and counted.
 */

/** A dynamic loader is done after 20 ms, an interpreter's imports after some hundred. */
export const SCAN_DELAYS_MS = [20, 100, 300, 800, 2000] as const;

interface Planned {
  readonly sinceMs: number;
  step: number;
}

export class ScanSchedule {
  readonly #delaysMs: readonly number[];
  readonly #max: number;
  readonly #planned = new Map<number, Planned>();
  /** By step, the earliest first. */
  readonly #queues: Map<number, Planned>[];
  refused = 0;

  constructor(options: { max: number; delaysMs?: readonly number[] }) {
    this.#max = options.max;
    this.#delaysMs = options.delaysMs ?? SCAN_DELAYS_MS;
    this.#queues = this.#delaysMs.map(() => new Map());
  }

  get size(): number {
    return this.#planned.size;
  }

  /** Plans all the looks at a process, from now on; earlier plans for it are dropped. */
  add(pid: number, nowMs: number): boolean {
    this.delete(pid);
    if (this.#planned.size >= this.#max) {
      this.refused++;
      return false;
    }
    this.#enqueue(pid, { sinceMs: nowMs, step: 0 });
    return true;
  }

  has(pid: number): boolean {
    return this.#planned.has(pid);
  }

  delete(pid: number): void {
    const planned = this.#planned.get(pid);
    if (planned === undefined) return;
    this.#planned.delete(pid);
    this.#queues[planned.step]!.delete(pid);
  }

  /** At most `limit` processes whose time has come, the longest overdue of each delay first; each once per call. */
  due(nowMs: number, limit: number): readonly number[] {
    let pids: number[] | undefined;
    // From the last delay to the first, so that a process that moves on one is not met again in this call.
    for (let step = this.#queues.length - 1; step >= 0; step--) {
      const queue = this.#queues[step]!;
      for (const [pid, planned] of queue) {
        if (planned.sinceMs + this.#delaysMs[step]! > nowMs || (pids?.length ?? 0) >= limit) break;
        pids ??= [];
        pids.push(pid);
        this.delete(pid);
        // A look that came late stands for all the looks that have come due by then.
        let next = step + 1;
        while (next < this.#delaysMs.length && planned.sinceMs + this.#delaysMs[next]! <= nowMs) next++;
        if (next < this.#delaysMs.length) this.#enqueue(pid, { sinceMs: planned.sinceMs, step: next });
      }
    }
    return pids ?? NONE;
  }

  #enqueue(pid: number, planned: Planned): void {
    this.#planned.set(pid, planned);
    this.#queues[planned.step]!.set(pid, planned);
  }
}

const NONE: readonly number[] = [];
