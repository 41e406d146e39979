/**
 * Which trace a request belongs to, by its headers: W3C Trace Context (`traceparent`), or B3 in one header or in two
 * (openzipkin/b3-propagation). Both protocols of HTTP use it. Only the two ids are ever kept, and only where they are
 * well-formed to the letter: what a client made up beyond hexadecimal digits goes nowhere.
 */

import type { TraceContext } from '../stream/contract.ts';

export const TRACE_PARENT = 0;
export const TRACE_B3 = 1;
export const TRACE_B3_TRACE_ID = 2;
export const TRACE_B3_SPAN_ID = 3;

/** By the numbers above, in small letters. */
export const TRACE_HEADERS = ['traceparent', 'b3', 'x-b3-traceid', 'x-b3-spanid'] as const;

/**
 * A longer value is none. Version 00 has 55 bytes, and a later one may have more (W3C Trace Context section 3.2.2.3); B3 in
 * one header has up to 68.
 */
export const MAX_TRACE_VALUE_BYTES = 128;

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}($|-)/;
const B3 = /^([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})(?:-[01d](?:-[0-9a-f]{16})?)?$/;
const B3_TRACE_ID = /^(?:[0-9a-f]{16}|[0-9a-f]{32})$/;
const B3_SPAN_ID = /^[0-9a-f]{16}$/;
const ZEROS = /^0+$/;

function context(traceId: string, spanId: string): TraceContext | undefined {
  return ZEROS.test(traceId) || ZEROS.test(spanId) ? undefined : { traceId, spanId };
}

function fromTraceparent(text: string): TraceContext | undefined {
  const [, version, traceId, spanId, more] = TRACEPARENT.exec(text) ?? [];
  if (version === undefined || version === 'ff' || (version === '00' && more !== '')) return undefined;
  return context(traceId!, spanId!);
}

function fromB3(text: string): TraceContext | undefined {
  const [, traceId, spanId] = B3.exec(text) ?? [];
  return traceId === undefined ? undefined : context(traceId, spanId!);
}

/** The trace headers of one request. A header that comes twice says nothing. */
export class TraceHeaders {
  readonly #values: (string | undefined)[] = [undefined, undefined, undefined, undefined];
  readonly #counts = [0, 0, 0, 0];
  #any = false;

  reset(): void {
    if (!this.#any) return;
    this.#any = false;
    this.#values.fill(undefined);
    this.#counts.fill(0);
  }

  /** `kind`: an index in TRACE_HEADERS; `value` without white space around it. */
  add(kind: number, value: string): void {
    this.#any = true;
    this.#counts[kind]!++;
    this.#values[kind] = value.length > MAX_TRACE_VALUE_BYTES ? undefined : value;
  }

  /** `traceparent` is taken before B3, which a request may carry beside it. */
  get context(): TraceContext | undefined {
    if (!this.#any) return undefined;
    const parent = this.#value(TRACE_PARENT);
    const single = this.#value(TRACE_B3);
    const traceId = this.#value(TRACE_B3_TRACE_ID);
    const spanId = this.#value(TRACE_B3_SPAN_ID);
    const both = B3_TRACE_ID.test(traceId) && B3_SPAN_ID.test(spanId) ? context(traceId, spanId) : undefined;
    return fromTraceparent(parent) ?? fromB3(single) ?? both;
  }

  #value(kind: number): string {
    return this.#counts[kind] === 1 ? (this.#values[kind] ?? '') : '';
  }
}
