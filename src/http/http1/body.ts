/**
 * Where a message body ends. It works by position: the bytes of a body are counted, not read, so a gap inside them is
 * harmless; of the chunked coding only sizes, line ends and trailers are read (RFC 9112 section 7.1).
 *
 * A gap that hides a chunk size or trailers loses the framing. Then the body ends where the last bytes of a chunk of the
 * stream are the last-chunk with no trailers, `CRLF 0 CRLF CRLF`; the CRLF before the 0 may be hidden in the gap, but may
 * not be something else. The reader knows further ends. A body never holds bytes; its limit is 64 KiB of chunk extensions
 * and trailers, which carry no data.
 */

import type { ByteTrace } from './trace.ts';
import { REGION_CHUNK_SIZE, REGION_LINE, REGION_LOST } from './trace.ts';

export const BODY_NONE = 0;
export const BODY_LENGTH = 1;
export const BODY_CHUNKED = 2;
export const BODY_UNTIL_CLOSE = 3;
/** The framing was hidden by a gap. */
export const BODY_LOST = 4;

const LF = 0x0a;
const CR = 0x0d;

const CHUNK_SIZE_START = 0;
const CHUNK_SIZE = 1;
const CHUNK_EXTENSION = 2;
const CHUNK_DATA = 3;
const CHUNK_DATA_CR = 4;
const CHUNK_DATA_LF = 5;
const TRAILER_START = 6;
const TRAILER = 7;

const MAX_UNUSED_BYTES = 65_536;

const TERMINATOR = Buffer.from('\r\n0\r\n\r\n', 'latin1');
/** For each prefix of TERMINATOR the longest shorter one that it ends with (Knuth, Morris, Pratt). */
const TERMINATOR_BORDER = [0, 0, 0, 1, 2, 1, 2];

/** What skip() answers when the gap hides framing. */
export const FRAMING_HIDDEN = -1;

function hexDigit(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  const lower = c | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

export class Body {
  kind = BODY_NONE;
  done = true;
  trace: ByteTrace | undefined;
  /** Bytes to come of the body (BODY_LENGTH) or of the chunk (BODY_CHUNKED). */
  #remaining = 0;
  #state = CHUNK_SIZE_START;
  #unusedBytes = 0;
  /** BODY_LOST: how many bytes of TERMINATOR the bytes so far end with; the hidden bytes before them may match. */
  #matched = 0;

  begin(kind: number, lengthBytes: number): void {
    this.kind = kind;
    this.done = kind === BODY_NONE || (kind === BODY_LENGTH && lengthBytes === 0);
    this.#remaining = lengthBytes;
    this.#state = CHUNK_SIZE_START;
    this.#unusedBytes = 0;
  }

  /** Gives the framing up. */
  lose(): void {
    this.kind = BODY_LOST;
    this.#matched = 2;
  }

  /** Returns the position after the bytes that are the body's, or `~position` of a byte that breaks its framing. */
  read(bytes: Uint8Array, from: number, end: number): number {
    if (this.kind === BODY_CHUNKED) return this.#readChunks(bytes, from, end);
    if (this.kind === BODY_LENGTH) {
      const length = Math.min(this.#remaining, end - from);
      this.#remaining -= length;
      this.done = this.#remaining === 0;
      return from + length;
    }
    if (this.kind === BODY_LOST) {
      this.trace?.region(REGION_LOST, from, end);
      this.#matchTerminator(bytes, from, end);
    }
    return end;
  }

  /** `lengthBytes` are missing. Returns how many of them lie behind the body, or FRAMING_HIDDEN. */
  skip(lengthBytes: number): number {
    if (this.kind === BODY_LENGTH) {
      const length = Math.min(this.#remaining, lengthBytes);
      this.#remaining -= length;
      this.done = this.#remaining === 0;
      return lengthBytes - length;
    }
    if (this.kind === BODY_LOST) this.#matched = 2;
    if (this.kind !== BODY_CHUNKED) return 0;
    if (this.#state < CHUNK_DATA || this.#state > CHUNK_DATA_LF) return FRAMING_HIDDEN;
    if (this.#state === CHUNK_DATA && lengthBytes < this.#remaining) {
      this.#remaining -= lengthBytes;
      return 0;
    }
    // The CRLF after the data is as certain as the data: its place is known, so a gap may cover it.
    const lineEnd = this.#state === CHUNK_DATA_LF ? 1 : 2;
    const beyond = lengthBytes - (this.#state === CHUNK_DATA ? this.#remaining : 0);
    if (beyond > lineEnd) return FRAMING_HIDDEN;
    this.#remaining = 0;
    this.#state = beyond === lineEnd ? CHUNK_SIZE_START : lineEnd - beyond === 1 ? CHUNK_DATA_LF : CHUNK_DATA_CR;
    return 0;
  }

  #readChunks(bytes: Uint8Array, from: number, end: number): number {
    let at = from;
    while (at < end && at >= 0 && !this.done) {
      if (this.#state === CHUNK_DATA) {
        const length = Math.min(this.#remaining, end - at);
        this.#remaining -= length;
        at += length;
        if (this.#remaining === 0) this.#state = CHUNK_DATA_CR;
        continue;
      }
      const start = at;
      const size = this.#state <= CHUNK_SIZE;
      at = size ? this.#readSize(bytes, at, end) : this.#readLine(bytes, at, end);
      if (this.trace && start !== at) {
        this.trace.region(size ? REGION_CHUNK_SIZE : REGION_LINE, start, at < 0 ? ~at : at);
      }
    }
    return at;
  }

  /** Reads the digits only: what ends them is the extension's. */
  #readSize(bytes: Uint8Array, from: number, end: number): number {
    let at = from;
    if (this.#state === CHUNK_SIZE_START) {
      if (hexDigit(bytes[at]!) < 0) return ~at;
      this.#state = CHUNK_SIZE;
      this.#remaining = 0;
    }
    for (; at < end; at++) {
      const c = bytes[at]!;
      const digit = hexDigit(c);
      if (digit < 0) {
        if (c !== CR && c !== LF && c !== 0x3b && c !== 0x20 && c !== 0x09) return ~at;
        this.#state = CHUNK_EXTENSION;
        return at;
      }
      if (this.#remaining > Number.MAX_SAFE_INTEGER / 32) return ~at;
      this.#remaining = this.#remaining * 16 + digit;
    }
    return at;
  }

  /** A bare LF ends a line here too, as in the head. */
  #readLine(bytes: Uint8Array, from: number, end: number): number {
    let at = from;
    while (at < end) {
      const c = bytes[at]!;
      switch (this.#state) {
        case CHUNK_DATA_CR:
          if (c !== CR && c !== LF) return ~at;
          at++;
          this.#state = c === CR ? CHUNK_DATA_LF : CHUNK_SIZE_START;
          if (c === LF) return at;
          break;
        case CHUNK_DATA_LF:
          if (c !== LF) return ~at;
          this.#state = CHUNK_SIZE_START;
          return at + 1;
        case CHUNK_EXTENSION:
          at++;
          if (c === LF) {
            this.#state = this.#remaining === 0 ? TRAILER_START : CHUNK_DATA;
            if (this.#remaining > 0) return at;
          } else if (c !== CR && ++this.#unusedBytes > MAX_UNUSED_BYTES) {
            return ~(at - 1);
          }
          break;
        default:
          at++;
          if (c === LF) {
            if (this.#state === TRAILER_START) {
              this.done = true;
              return at;
            }
            this.#state = TRAILER_START;
          } else if (c !== CR) {
            this.#state = TRAILER;
            if (++this.#unusedBytes > MAX_UNUSED_BYTES) return ~(at - 1);
          }
      }
    }
    return at;
  }

  #matchTerminator(bytes: Uint8Array, from: number, end: number): void {
    // Of a longer piece only as many last bytes as the terminator has can matter.
    let at = end - TERMINATOR.length;
    let matched = 0;
    if (at <= from) {
      at = from;
      matched = this.#matched;
    }
    for (; at < end; at++) {
      while (matched > 0 && bytes[at] !== TERMINATOR[matched]) matched = TERMINATOR_BORDER[matched - 1]!;
      if (bytes[at] === TERMINATOR[matched]) matched++;
    }
    this.#matched = matched;
    this.done = matched === TERMINATOR.length;
  }
}
