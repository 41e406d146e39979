/**
 * Reads message heads: the start line by StartLine, the header section by llhttp. Of the header fields only those are looked
 * at that frame the body (RFC 9112 section 6), that tell what a response becomes (Upgrade, Content-Type) or which trace a
 * request belongs to; names and values of all others never leave the WebAssembly memory.
 *
 * A direction of a connection holds a HeadParser only while a head is incomplete, so one serves almost all of them. The
 * pool is bounded: when all are held (clients that never finish their heads), the one that was lent longest ago is taken
 * from its holder. A head larger than 64 KiB is refused.
 */

import { TRACE_HEADERS, TraceHeaders } from '../trace-headers.ts';
import type { HeadEvents } from './llhttp.ts';
import { HEADER_STATE_OFFSET, INPUT_BYTES, Llhttp } from './llhttp.ts';
import { KIND_ANY, KIND_REQUEST, KIND_RESPONSE, StartLine } from './start-line.ts';

/** Larger than what servers accept by default (nginx 32 KiB, Node.js 16 KiB, Apache and Go 64 KiB to 1 MiB). */
export const MAX_HEAD_BYTES = 65_536;

/** A Content-Length or Transfer-Encoding value longer than this, white space included, is refused, any other not looked at. */
const MAX_VALUE_BYTES = 256;

export const CODING_NONE = 0;
/** `chunked` is the last coding: the body ends with its last chunk. */
export const CODING_CHUNKED = 1;
/** Another coding is the last: the body ends with the connection. */
export const CODING_OTHER = 2;

export const LENGTH_NONE = -1;

/** What a response says in Upgrade (RFC 9110 section 7.8). */
export const UPGRADE_NONE = 0;
export const UPGRADE_OTHER = 1;
export const UPGRADE_WEBSOCKET = 2;
/** HTTP/2 without TLS (RFC 7540 section 3.2). */
export const UPGRADE_H2C = 3;

const FIELD_OTHER = 0;
const FIELD_CONTENT_LENGTH = 1;
const FIELD_TRANSFER_ENCODING = 2;
const LAST_FRAMING_FIELD = FIELD_TRANSFER_ENCODING;
const FIELD_CONTENT_TYPE = 3;
const FIELD_UPGRADE = 4;
/** The first of TRACE_HEADERS; the others follow. */
const FIELD_TRACE = 5;

interface Field {
  readonly name: Uint8Array;
  /** The kinds of message in which it matters. */
  readonly kind: number;
  readonly field: number;
}

const FIELDS: readonly Field[] = [
  { name: Buffer.from('content-length'), kind: KIND_ANY, field: FIELD_CONTENT_LENGTH },
  { name: Buffer.from('transfer-encoding'), kind: KIND_ANY, field: FIELD_TRANSFER_ENCODING },
  { name: Buffer.from('content-type'), kind: KIND_RESPONSE, field: FIELD_CONTENT_TYPE },
  { name: Buffer.from('upgrade'), kind: KIND_RESPONSE, field: FIELD_UPGRADE },
  ...TRACE_HEADERS.map((name, index) => ({
    name: Buffer.from(name),
    kind: KIND_REQUEST,
    field: FIELD_TRACE + index,
  })),
];
const MAX_NAME_BYTES = Math.max(...FIELDS.map(({ name }) => name.length));
const FIELDS_BY_LENGTH: readonly (readonly Field[])[] = Array.from({ length: MAX_NAME_BYTES + 1 }, (_, length) =>
  FIELDS.filter(({ name }) => name.length === length),
);

const CHUNKED = Buffer.from('chunked', 'latin1');
const EVENT_STREAM = Buffer.from('text/event-stream', 'latin1');
const WEBSOCKET = Buffer.from('websocket', 'latin1');
const H2C = Buffer.from('h2c', 'latin1');

const CR = 0x0d;
const COMMA = 0x2c;
const SEMICOLON = 0x3b;

function equalsIgnoringCase(bytes: Uint8Array, at: number, lower: Uint8Array): boolean {
  for (let i = 0; i < lower.length; i++) {
    const c = bytes[at + i]!;
    if ((c >= 0x41 && c <= 0x5a ? c + 0x20 : c) !== lower[i]) return false;
  }
  return true;
}

function fieldOf(bytes: Uint8Array, at: number, length: number, kind: number): number {
  if (length > MAX_NAME_BYTES) return FIELD_OTHER;
  const fields = FIELDS_BY_LENGTH[length]!;
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!;
    if ((field.kind & kind) !== 0 && equalsIgnoringCase(bytes, at, field.name)) return field.field;
  }
  return FIELD_OTHER;
}

/** Who holds a parser: told when it is taken away. */
export interface ParserHolder {
  parserTaken(): void;
}

export class HeadParser implements HeadEvents {
  readonly startLine = new StartLine();
  /** Bytes of the body, or LENGTH_NONE. Only when `done`. */
  contentLength = LENGTH_NONE;
  coding = CODING_NONE;
  /** Of a response: one of UPGRADE_. */
  upgrade = UPGRADE_NONE;
  /** Of a response: its body is `text/event-stream`. */
  isEventStream = false;
  /** Of a request. */
  readonly trace = new TraceHeaders();
  done = false;
  holder: ParserHolder | undefined;
  readonly #llhttp: Llhttp;
  readonly #parser: number;
  #sizeBytes = 0;
  #begun = false;
  #valid = true;
  #inputEnd = 0;
  /** The last byte of the input before this one. */
  #lastByte = 0;
  /** A name whose end has not been seen; longer ones than any that matters are only counted. */
  #nameBytes = 0;
  readonly #name = new Uint8Array(MAX_NAME_BYTES);
  #field = FIELD_OTHER;
  #valueBytes = 0;
  readonly #value = Buffer.alloc(MAX_VALUE_BYTES);

  constructor(llhttp: Llhttp) {
    this.#llhttp = llhttp;
    this.#parser = llhttp.allocate();
  }

  begin(expectedKind: number): void {
    this.startLine.begin(expectedKind);
    this.contentLength = LENGTH_NONE;
    this.coding = CODING_NONE;
    this.upgrade = UPGRADE_NONE;
    this.isEventStream = false;
    this.trace.reset();
    this.done = false;
    this.#sizeBytes = 0;
    this.#begun = false;
    this.#valid = true;
    this.#lastByte = 0;
    this.#nameBytes = 0;
    this.#field = FIELD_OTHER;
  }

  /**
   * Reads on in `bytes[from, end)`. Returns the position after what was read; `done` tells whether the head is complete.
   * `~position` when this is no message head, or one that says nothing certain of its body.
   */
  feed(bytes: Uint8Array, from: number, end: number): number {
    const limit = Math.min(end, from + MAX_HEAD_BYTES - this.#sizeBytes);
    let at = from;
    if (!this.startLine.done) {
      at = this.startLine.feed(bytes, at, limit);
      if (at < 0) return at;
    }
    while (at < limit && !this.done) {
      const next = this.#feedHeaders(bytes, at, Math.min(limit, at + INPUT_BYTES));
      if (next < 0) return next;
      at = next;
    }
    this.#sizeBytes += at - from;
    if (this.done) return this.#valid ? at : ~at;
    return at < end || this.#sizeBytes === MAX_HEAD_BYTES ? ~at : at;
  }

  #feedHeaders(bytes: Uint8Array, from: number, end: number): number {
    const { heap, input } = this.#llhttp;
    const length = end - from;
    heap.set(bytes.subarray(from, end), input);
    let start = input;
    if (!this.#begun) {
      this.#begun = true;
      this.#llhttp.exports.llhttp_reset(this.#parser);
      start = this.#llhttp.startLine;
    }
    this.#inputEnd = input + length;
    const result = this.#llhttp.execute(this.#parser, start, this.#inputEnd - start, this);
    if (result === 0) {
      this.#lastByte = bytes[end - 1]!;
      return end;
    }
    if (result < 0) return ~(from + Math.max(0, ~result - input));
    this.#finishField();
    this.done = true;
    return from + result - input;
  }

  /** A name may come in pieces; one that ends before the input does is whole. */
  headerField(at: number, length: number): void {
    if (this.#field !== FIELD_OTHER) this.#finishField();
    const { heap } = this.#llhttp;
    const whole = at + length < this.#inputEnd;
    // Where it is lenient with values, llhttp ends an empty one with a bare CR: a header that no server sees would begin.
    if (this.#nameBytes === 0 && this.#byteBefore(at) === CR) this.#valid = false;
    if (this.#nameBytes === 0 && whole) {
      this.#field = fieldOf(heap, at, length, this.startLine.kind);
    } else {
      for (let i = 0; i < length && this.#nameBytes + i < this.#name.length; i++) {
        this.#name[this.#nameBytes + i] = heap[at + i]!;
      }
      this.#nameBytes += length;
      if (!whole) return;
      this.#field = fieldOf(this.#name, 0, this.#nameBytes, this.startLine.kind);
      this.#nameBytes = 0;
    }
    if (this.#field === FIELD_OTHER) return;
    this.#valueBytes = 0;
    if (this.#field <= LAST_FRAMING_FIELD) heap[this.#parser + HEADER_STATE_OFFSET] = 0;
  }

  #byteBefore(at: number): number {
    return at === this.#llhttp.input ? this.#lastByte : this.#llhttp.heap[at - 1]!;
  }

  headerValue(at: number, length: number): void {
    if (this.#field === FIELD_OTHER) return;
    const { heap } = this.#llhttp;
    for (let i = 0; i < length && this.#valueBytes + i < MAX_VALUE_BYTES; i++) {
      this.#value[this.#valueBytes + i] = heap[at + i]!;
    }
    this.#valueBytes += length;
  }

  #finishField(): void {
    const field = this.#field;
    this.#field = FIELD_OTHER;
    if (field === FIELD_OTHER) return;
    if (this.#valueBytes > MAX_VALUE_BYTES) {
      if (field <= LAST_FRAMING_FIELD) this.#valid = false;
      else if (field === FIELD_UPGRADE) this.upgrade = UPGRADE_OTHER;
      else if (field >= FIELD_TRACE) this.trace.add(field - FIELD_TRACE, '');
    } else if (field === FIELD_CONTENT_LENGTH) this.#readContentLength();
    else if (field === FIELD_TRANSFER_ENCODING) this.#readTransferEncoding();
    else if (field === FIELD_CONTENT_TYPE) this.#readContentType();
    else if (field === FIELD_UPGRADE) this.#readUpgrade();
    else this.trace.add(field - FIELD_TRACE, this.#value.toString('latin1', ...this.#trimmed(0, this.#valueBytes)));
  }

  #trimmed(from: number, to: number): [from: number, to: number] {
    return [this.#trimStart(from, to), this.#trimEnd(from, to)];
  }

  /** A media type and its parameters (RFC 9110 section 8.3). */
  #readContentType(): void {
    const start = this.#trimStart(0, this.#valueBytes);
    const end = start + EVENT_STREAM.length;
    const next = end < this.#valueBytes ? this.#value[end]! : SEMICOLON;
    const isWhole = next === SEMICOLON || next === 0x20 || next === 0x09;
    this.isEventStream = end <= this.#valueBytes && isWhole && equalsIgnoringCase(this.#value, start, EVENT_STREAM);
  }

  /** Of a list the first is the lowest layer, which is what follows. */
  #readUpgrade(): void {
    if (this.upgrade !== UPGRADE_NONE) return;
    const [start, end] = this.#trimmed(0, this.#elementEnd(0));
    const is = (name: Uint8Array) => end - start === name.length && equalsIgnoringCase(this.#value, start, name);
    this.upgrade = is(WEBSOCKET) ? UPGRADE_WEBSOCKET : is(H2C) ? UPGRADE_H2C : UPGRADE_OTHER;
  }

  /** RFC 9110 section 8.6: digits; a list, or several fields, of the same value are that value. */
  #readContentLength(): void {
    let from = 0;
    while (from <= this.#valueBytes) {
      const to = this.#elementEnd(from);
      let length = 0;
      let digits = 0;
      for (let at = this.#trimStart(from, to); at < this.#trimEnd(from, to); at++) {
        const c = this.#value[at]!;
        if (c < 0x30 || c > 0x39) {
          this.#valid = false;
          return;
        }
        length = length * 10 + (c - 0x30);
        digits++;
      }
      const conflict = this.contentLength !== LENGTH_NONE && this.contentLength !== length;
      if (digits === 0 || length > Number.MAX_SAFE_INTEGER || conflict) {
        this.#valid = false;
        return;
      }
      this.contentLength = length;
      from = to + 1;
    }
  }

  /** RFC 9112 section 6.1: the last coding of all fields together decides. Empty elements count for nothing. */
  #readTransferEncoding(): void {
    let from = 0;
    while (from <= this.#valueBytes) {
      const to = this.#elementEnd(from);
      const start = this.#trimStart(from, to);
      const length = this.#trimEnd(from, to) - start;
      if (length > 0) {
        const chunked = length === CHUNKED.length && equalsIgnoringCase(this.#value, start, CHUNKED);
        this.coding = chunked ? CODING_CHUNKED : CODING_OTHER;
      }
      from = to + 1;
    }
  }

  #elementEnd(from: number): number {
    let at = from;
    while (at < this.#valueBytes && this.#value[at] !== COMMA) at++;
    return at;
  }

  #trimStart(from: number, to: number): number {
    let at = from;
    while (at < to && (this.#value[at] === 0x20 || this.#value[at] === 0x09)) at++;
    return at;
  }

  #trimEnd(from: number, to: number): number {
    const start = this.#trimStart(from, to);
    let at = to;
    while (at > start && (this.#value[at - 1] === 0x20 || this.#value[at - 1] === 0x09)) at--;
    return at;
  }
}

export class HeadParserPool {
  /** Parsers that exist, those held now, and how often one was taken from its holder. */
  readonly stats = { parsers: 0, held: 0, taken: 0 };
  readonly #limit: number;
  readonly #llhttp = new Llhttp();
  readonly #free: HeadParser[] = [];
  /** In the order in which they were lent. */
  readonly #held = new Set<HeadParser>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** A parser for one head. Whoever needs it beyond this call has to hold() it. */
  acquire(expectedKind: number): HeadParser {
    const parser = this.#free.pop() ?? this.#make();
    parser.begin(expectedKind);
    return parser;
  }

  hold(parser: HeadParser, holder: ParserHolder): void {
    if (parser.holder !== undefined) return;
    parser.holder = holder;
    this.#held.add(parser);
    this.stats.held = this.#held.size;
  }

  release(parser: HeadParser): void {
    if (parser.holder !== undefined) {
      parser.holder = undefined;
      this.#held.delete(parser);
      this.stats.held = this.#held.size;
    }
    this.#free.push(parser);
  }

  #make(): HeadParser {
    if (this.stats.parsers >= this.#limit) {
      for (const parser of this.#held) {
        const holder = parser.holder;
        parser.holder = undefined;
        this.#held.delete(parser);
        this.stats.taken++;
        holder?.parserTaken();
        return parser;
      }
    }
    this.stats.parsers++;
    return new HeadParser(this.#llhttp);
  }
}
