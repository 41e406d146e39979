/**
 * The start line of an HTTP/1.x message (RFC 9112 sections 3 and 4): method or status, and the version. It is read here
 * and not by llhttp because an observer must accept what servers accept: llhttp refuses methods it does not know, 8-bit
 * bytes in a target, and a bare LF after the version. Nothing of the target or of the reason phrase is kept.
 *
 * It refuses other versions than 1.x and lines of HTTP/0.9. Lines may arrive in pieces of any size; the state is a
 * method token and a few numbers.
 */

import type { Match } from '../../stream/contract.ts';
import { MAX_METHOD_BYTES, METHOD_CONNECT, METHOD_OTHER, methodIndex } from './methods.ts';

export const KIND_REQUEST = 1;
export const KIND_RESPONSE = 2;
/** Either: the direction has not shown yet what it carries. */
export const KIND_ANY = 3;

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const SLASH = 0x2f;

/** RFC 9110 section 5.6.2 */
export const IS_TOKEN = new Uint8Array(256);
for (const c of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
  IS_TOKEN[c.charCodeAt(0)] = 1;
}

const HTTP_1 = Buffer.from('HTTP/1.', 'latin1');

function isDigit(c: number): boolean {
  return c >= 0x30 && c <= 0x39;
}

const STATE_TOKEN = 0;
const STATE_TARGET = 1;
const STATE_RESPONSE_VERSION = 2;
const STATE_STATUS = 3;
const STATE_REASON = 4;
const STATE_DONE = 5;

/** How much of ` HTTP/1.x` the last bytes of the target are: 0..9, then the end of line. */
const TARGET_SPACE = 1;
const TARGET_MINOR = 9;
const TARGET_TRAILING = 10;
const TARGET_CR = 11;

export class StartLine {
  /** KIND_REQUEST or KIND_RESPONSE once the first token is read, else 0. */
  kind = 0;
  /** Index in METHODS. */
  method = 0;
  /** 0 for HTTP/1.0, else 1: a higher minor version is handled as 1.1 (RFC 9110 section 2.5). */
  minor = 0;
  /** 100..999 */
  status = 0;
  done = false;
  #expected = KIND_ANY;
  #state = STATE_TOKEN;
  #count = 0;
  readonly #token = new Uint8Array(MAX_METHOD_BYTES);

  begin(expected: number): void {
    this.kind = 0;
    this.method = METHOD_OTHER;
    this.minor = 0;
    this.status = 0;
    this.done = false;
    this.#expected = expected;
    this.#state = STATE_TOKEN;
    this.#count = 0;
  }

  /** Returns the position after what was read, or `~position` of the byte that cannot be in a start line. */
  feed(bytes: Uint8Array, from: number, end: number): number {
    let at = from;
    while (at < end && at >= 0 && !this.done) {
      switch (this.#state) {
        case STATE_TOKEN:
          at = this.#feedToken(bytes, at, end);
          break;
        case STATE_TARGET:
          at = this.#feedTarget(bytes, at, end);
          break;
        default:
          at = this.#feedResponse(bytes, at, end);
      }
    }
    return at;
  }

  #feedToken(bytes: Uint8Array, from: number, end: number): number {
    let at = from;
    while (at < end && IS_TOKEN[bytes[at]!] === 1) at++;
    const length = this.#count + at - from;
    if (length > MAX_METHOD_BYTES) return ~(from + MAX_METHOD_BYTES - this.#count);
    let token = bytes;
    let tokenFrom = from;
    if (at === end || this.#count > 0) {
      for (let i = from; i < at; i++) this.#token[this.#count++] = bytes[i]!;
      if (at === end) return at;
      token = this.#token;
      tokenFrom = 0;
    }
    const next = bytes[at]!;
    if (next === SPACE && length > 0 && (this.#expected & KIND_REQUEST) !== 0) {
      this.kind = KIND_REQUEST;
      this.method = methodIndex(token, tokenFrom, tokenFrom + length);
      this.#state = STATE_TARGET;
      this.#count = 0;
      return at + 1;
    }
    if (next === SLASH && length === 4 && (this.#expected & KIND_RESPONSE) !== 0) {
      for (let i = 0; i < 4; i++) if (token[tokenFrom + i] !== HTTP_1[i]) return ~at;
      this.kind = KIND_RESPONSE;
      this.#state = STATE_RESPONSE_VERSION;
      this.#count = 5;
      return at + 1;
    }
    return ~at;
  }

  /** Everything up to the last ` HTTP/1.x` of the line is the target, spaces too: servers differ in what they refuse. */
  #feedTarget(bytes: Uint8Array, from: number, end: number): number {
    let progress = this.#count;
    for (let at = from; at < end; at++) {
      const c = bytes[at]!;
      if (progress === 0) {
        if (c > SPACE && c !== 0x7f) continue;
        if (c === SPACE) progress = TARGET_SPACE;
        else if (c !== TAB) return ~at;
        continue;
      }
      if (progress < TARGET_MINOR - 1) {
        if (c === HTTP_1[progress - 1]) progress++;
        else if (c === SPACE) progress = TARGET_SPACE;
        else if (c > SPACE && c !== 0x7f) progress = 0;
        else return ~at;
      } else if (progress === TARGET_MINOR - 1) {
        if (isDigit(c)) {
          this.minor = c === 0x30 ? 0 : 1;
          progress = TARGET_MINOR;
        } else if (c === SPACE) progress = TARGET_SPACE;
        else if (c > SPACE && c !== 0x7f) progress = 0;
        else return ~at;
      } else if (c === LF) {
        this.done = true;
        this.#state = STATE_DONE;
        return at + 1;
      } else if (progress === TARGET_CR) {
        return ~at;
      } else if (c === CR) {
        progress = TARGET_CR;
      } else if (c === SPACE) {
        progress = TARGET_TRAILING;
      } else if (progress === TARGET_TRAILING && c === HTTP_1[0]) {
        progress = TARGET_SPACE + 1;
      } else if (c > SPACE && c !== 0x7f) {
        progress = 0;
      } else {
        return ~at;
      }
    }
    this.#count = progress;
    return end;
  }

  #feedResponse(bytes: Uint8Array, from: number, end: number): number {
    for (let at = from; at < end; at++) {
      const c = bytes[at]!;
      if (this.#state === STATE_REASON) {
        if (c !== LF) continue;
        this.done = true;
        this.#state = STATE_DONE;
        return at + 1;
      }
      if (this.#state === STATE_STATUS) {
        if (this.#count < 3) {
          if (!isDigit(c)) return ~at;
          this.status = this.status * 10 + c - 0x30;
          this.#count++;
          if (this.#count === 1 && c === 0x30) return ~at;
        } else if (c === SPACE || c === CR) {
          this.#state = STATE_REASON;
        } else if (c === LF) {
          this.done = true;
          this.#state = STATE_DONE;
          return at + 1;
        } else {
          return ~at;
        }
        continue;
      }
      if (this.#count < HTTP_1.length) {
        if (c !== HTTP_1[this.#count]) return ~at;
      } else if (this.#count === HTTP_1.length) {
        if (!isDigit(c)) return ~at;
        this.minor = c === 0x30 ? 0 : 1;
      } else {
        if (c !== SPACE) return ~at;
        this.#state = STATE_STATUS;
        this.#count = 0;
        continue;
      }
      this.#count++;
    }
    return end;
  }
}

/** Skips the empty lines that may stand before a start line (RFC 9112 section 2.2). */
export function skipEmptyLines(bytes: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && (bytes[at] === CR || bytes[at] === LF)) at++;
  return at;
}

/** What startKind() answers when the bytes are a proper prefix of a start line. */
export const KIND_MORE = -1;
/** Added to KIND_REQUEST when the method is not a registered one. */
export const KIND_UNREGISTERED = 4;

/** Empty lines before a start line that the detection still looks behind: two of them. */
const MAX_EMPTY_BYTES = 4;
/** 4 empty ones, the longest registered method (17), a space and one byte of the target: 24 bytes always tell. */
const MAX_DETECTED_METHOD_BYTES = 17;

function startsLikeHttp(c: number): boolean {
  return c === 0x68 || c === 0x48;
}

function isAlphanumeric(c: number): boolean {
  return isDigit(c) || (c >= 0x41 && c <= 0x5a) || (c >= 0x61 && c <= 0x7a);
}

/**
 * Does a start line begin here? KIND_REQUEST (perhaps with KIND_UNREGISTERED), KIND_RESPONSE, 0 (no) or KIND_MORE. This is for places where nothing says
 * that one has to be there, so it is stricter than StartLine: a registered method and a target of one of the forms of
 * RFC 9112 section 3.2, or another method in capitals and a target that begins with `/` (origin-form).
 */
export function startKind(bytes: Uint8Array, start: number, end: number): number {
  let from = start;
  while (from < end && from < start + MAX_EMPTY_BYTES && (bytes[from] === CR || bytes[from] === LF)) from++;
  if (from === end) return KIND_MORE;
  let at = 0;
  while (from + at < end && at < HTTP_1.length && bytes[from + at] === HTTP_1[at]) at++;
  if (at === HTTP_1.length) return KIND_RESPONSE;
  if (from + at === end) return KIND_MORE;
  at = from;
  while (at < end && ((bytes[at]! >= 0x41 && bytes[at]! <= 0x5a) || bytes[at] === 0x2d || bytes[at] === 0x5f)) at++;
  const length = at - from;
  if (length > MAX_DETECTED_METHOD_BYTES) return 0;
  if (at === end) return KIND_MORE;
  if (bytes[at] !== SPACE || length < 2) return 0;
  if (at + 1 === end) return KIND_MORE;
  const target = bytes[at + 1]!;
  const method = methodIndex(bytes, from, at);
  if (method === METHOD_OTHER) return target === SLASH ? KIND_REQUEST | KIND_UNREGISTERED : 0;
  if (method === METHOD_CONNECT) return isAlphanumeric(target) || target === 0x5b ? KIND_REQUEST : 0;
  return target === SLASH || target === 0x2a || startsLikeHttp(target) ? KIND_REQUEST : 0;
}

export function matches(bytes: Uint8Array, start: number, end: number): Match {
  const kind = startKind(bytes, start, end);
  return kind === KIND_MORE ? 'more' : kind === 0 ? 'no' : 'yes';
}
