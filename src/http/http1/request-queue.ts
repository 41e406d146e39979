/**
 * The requests of one connection that wait for their response, first in, first out (RFC 9112 section 9.3.2). A ring of
 * numbers that grows to its limit, so that a connection with one request at a time allocates nothing.
 */

import type { ConnectionInfo, Role, TraceContext, Transaction } from '../../stream/contract.ts';

import { METHODS } from './methods.ts';
import type { StartLine } from './start-line.ts';

/** Deeper pipelines than this are no longer paired: h2load and wrk go to a few hundred at most. */
export const MAX_OUTSTANDING = 1024;

const MINOR_SHIFT = 8;
const AFTER_ORPHAN = 1 << 9;

export class RequestQueue {
  count = 0;
  #first = 0;
  #timesNs: number[] = [0.5];
  #facts: number[] = [0];
  #traces: (TraceContext | undefined)[] = [undefined];

  get full(): boolean {
    return this.count === MAX_OUTSTANDING;
  }

  push(
    timeNs: number,
    { method, minor }: Pick<StartLine, 'method' | 'minor'>,
    afterOrphan: boolean,
    trace: TraceContext | undefined,
  ): void {
    if (this.count === this.#timesNs.length) this.#grow();
    const at = (this.#first + this.count) % this.#timesNs.length;
    this.#timesNs[at] = timeNs;
    this.#facts[at] = method | (minor << MINOR_SHIFT) | (afterOrphan ? AFTER_ORPHAN : 0);
    this.#traces[at] = trace;
    this.count++;
  }

  shift(): void {
    this.#first = (this.#first + 1) % this.#timesNs.length;
    this.count--;
  }

  /** The request that is answered next, with its response, whose last byte was seen at `endNs`. */
  answered(connection: ConnectionInfo, role: Role, status: number, endNs: number): Transaction {
    const { timeNs } = this;
    return {
      connection,
      owner: connection.owner,
      role,
      method: METHODS[this.method]!,
      status,
      version: this.version,
      timeNs,
      durationNs: Math.max(0, endNs - timeNs),
      trace: this.#traces[this.#first],
    };
  }

  clear(): void {
    this.count = 0;
  }

  /** First byte of the request that is answered next. */
  get timeNs(): number {
    return this.#timesNs[this.#first]!;
  }

  /** First byte of the request behind that one; only where there are two. */
  get secondTimeNs(): number {
    return this.#timesNs[(this.#first + 1) % this.#timesNs.length]!;
  }

  /** Of the request that is answered next, an index in METHODS. */
  get method(): number {
    return this.#facts[this.#first]! & 0xff;
  }

  get version(): '1.0' | '1.1' {
    return ((this.#facts[this.#first]! >> MINOR_SHIFT) & 1) === 0 ? '1.0' : '1.1';
  }

  /** It is the first request after a response that had none. */
  get afterOrphan(): boolean {
    return (this.#facts[this.#first]! & AFTER_ORPHAN) !== 0;
  }

  #grow(): void {
    const size = this.#timesNs.length;
    const timesNs: number[] = [];
    const facts: number[] = [];
    const traces: (TraceContext | undefined)[] = [];
    for (let i = 0; i < size * 2; i++) {
      const from = (this.#first + i) % size;
      timesNs.push(i < size ? this.#timesNs[from]! : 0);
      facts.push(i < size ? this.#facts[from]! : 0);
      traces.push(i < size ? this.#traces[from] : undefined);
    }
    this.#timesNs = timesNs;
    this.#facts = facts;
    this.#traces = traces;
    this.#first = 0;
  }
}
