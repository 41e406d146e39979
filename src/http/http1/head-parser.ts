/**
 * Reads message heads: the start line by StartLine, the header section by llhttp. Of the header fields only those that
 * frame the body are looked at (RFC 9112 section 6); names and values of all others never leave the WebAssembly memory.
 *
 * A direction of a connection holds a HeadParser only while a head is incomplete, so one serves almost all of them. The
 * pool is bounded: when all are held (clients that never finish their heads), the one that was lent longest ago is taken
 * from its holder. A head larger than 64 KiB is refused.
 */

import type { HeadEvents } from './llhttp.ts';
import { HEADER_STATE_OFFSET, INPUT_BYTES, Llhttp } from './llhttp.ts';
import { StartLine } from './start-line.ts';

/** Larger than what servers accept by default (nginx 32 KiB, Node.js 16 KiB, Apache and Go 64 KiB to 1 MiB). */
export const MAX_HEAD_BYTES = 65_536;

/** A Content-Length or Transfer-Encoding value longer than this, white space included, is refused. */
const MAX_FRAMING_VALUE_BYTES = 256;

export const CODING_NONE = 0;
/** `chunked` is the last coding: the body ends with its last chunk. */
export const CODING_CHUNKED = 1;
/** Another coding is the last: the body ends with the connection. */
export const CODING_OTHER = 2;

export const LENGTH_NONE = -1;

const FIELD_OTHER = 0;
const FIELD_CONTENT_LENGTH = 1;
const FIELD_TRANSFER_ENCODING = 2;

const CONTENT_LENGTH = Buffer.from('content-length', 'latin1');
const TRANSFER_ENCODING = Buffer.from('transfer-encoding', 'latin1');
const CHUNKED = Buffer.from('chunked', 'latin1');

const CR = 0x0d;
const COMMA = 0x2c;

function equalsIgnoringCase(bytes: Uint8Array, at: number, lower: Uint8Array): boolean {
  for (let i = 0; i < lower.length; i++) {
    const c = bytes[at + i]!;
    if ((c >= 0x41 && c <= 0x5a ? c + 0x20 : c) !== lower[i]) return false;
  }
  return true;
}

function fieldOf(bytes: Uint8Array, at: number, length: number): number {
  if (length === CONTENT_LENGTH.length && equalsIgnoringCase(bytes, at, CONTENT_LENGTH)) return FIELD_CONTENT_LENGTH;
  if (length === TRANSFER_ENCODING.length && equalsIgnoringCase(bytes, at, TRANSFER_ENCODING)) {
    return FIELD_TRANSFER_ENCODING;
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
  /** A name whose end has not been seen; longer ones than `transfer-encoding` are only counted. */
  #nameBytes = 0;
  readonly #name = new Uint8Array(TRANSFER_ENCODING.length);
  #field = FIELD_OTHER;
  #valueBytes = 0;
  readonly #value = new Uint8Array(MAX_FRAMING_VALUE_BYTES);

  constructor(llhttp: Llhttp) {
    this.#llhttp = llhttp;
    this.#parser = llhttp.allocate();
  }

  begin(expectedKind: number): void {
    this.startLine.begin(expectedKind);
    this.contentLength = LENGTH_NONE;
    this.coding = CODING_NONE;
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
      this.#field = length < CONTENT_LENGTH.length ? FIELD_OTHER : fieldOf(heap, at, length);
    } else {
      for (let i = 0; i < length && this.#nameBytes + i < this.#name.length; i++) {
        this.#name[this.#nameBytes + i] = heap[at + i]!;
      }
      this.#nameBytes += length;
      if (!whole) return;
      this.#field = fieldOf(this.#name, 0, this.#nameBytes);
      this.#nameBytes = 0;
    }
    if (this.#field !== FIELD_OTHER) {
      this.#valueBytes = 0;
      heap[this.#parser + HEADER_STATE_OFFSET] = 0;
    }
  }

  #byteBefore(at: number): number {
    return at === this.#llhttp.input ? this.#lastByte : this.#llhttp.heap[at - 1]!;
  }

  headerValue(at: number, length: number): void {
    if (this.#field === FIELD_OTHER) return;
    const { heap } = this.#llhttp;
    for (let i = 0; i < length && this.#valueBytes + i < MAX_FRAMING_VALUE_BYTES; i++) {
      this.#value[this.#valueBytes + i] = heap[at + i]!;
    }
    this.#valueBytes += length;
  }

  #finishField(): void {
    const field = this.#field;
    this.#field = FIELD_OTHER;
    if (field === FIELD_OTHER) return;
    if (this.#valueBytes > MAX_FRAMING_VALUE_BYTES) this.#valid = false;
    else if (field === FIELD_CONTENT_LENGTH) this.#readContentLength();
    else this.#readTransferEncoding();
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
