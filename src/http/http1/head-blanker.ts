/**
 * Rewrites a message head byte by byte: see redact.ts. It walks the same shape as StartLine and the header section, but
 * judges nothing: what is wrong in a head stays wrong.
 *
 * A byte is copied only where it continues a word of a closed list; the lists hold no word that begins like another
 * and goes on with the blank.
 */

import { METHODS } from './methods.ts';
import { IS_TOKEN } from './start-line.ts';

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const SLASH = 0x2f;
const COLON = 0x3a;
const COMMA = 0x2c;
const SEMICOLON = 0x3b;
const BLANK = 0x78;
const BLANK_METHOD = 0x58;
/** In no place of a head that is checked at all can this stand. */
const INVALID = 0;

interface Node {
  readonly next: Map<number, Node>;
  /** The word that ends here, or -1. */
  word: number;
}

/** A tree of words, by which a word is followed byte by byte. */
function wordTree(words: readonly string[]): Node {
  const root: Node = { next: new Map(), word: -1 };
  words.forEach((word, index) => {
    let node = root;
    for (const byte of Buffer.from(word, 'latin1')) {
      let next = node.next.get(byte);
      if (!next) {
        next = { next: new Map(), word: -1 };
        node.next.set(byte, next);
      }
      node = next;
    }
    node.word = index;
  });
  return root;
}

const FIRST_TOKENS = ['HTTP', ...METHODS.slice(1)];
const WORD_HTTP = 0;
const WORD_CONNECT = FIRST_TOKENS.indexOf('CONNECT');
const FIRST_TOKEN_TREE = wordTree(FIRST_TOKENS);

/** The headers that frame messages or change what follows them, with the values that are known. */
const FRAMING = [
  { name: 'content-length', values: [] },
  { name: 'transfer-encoding', values: ['chunked', 'gzip', 'x-gzip', 'deflate', 'compress', 'identity'] },
  { name: 'connection', values: ['close', 'keep-alive', 'upgrade', 'te', 'http2-settings'] },
  { name: 'upgrade', values: ['websocket', 'h2c', 'http/2.0', 'tls/1.0'] },
  { name: 'expect', values: ['100-continue'] },
  { name: 'content-type', values: ['text/event-stream'] },
] as const;
const WORD_CONTENT_LENGTH = 0;
const NAME_TREE = wordTree(FRAMING.map((header) => header.name));
const VALUE_TREES = FRAMING.map((header) => wordTree(header.values));

const VERSION = Buffer.from('HTTP/1.', 'latin1');

const OTHER_HEADER = -1;
/** No header has begun: llhttp takes spaces before the first one for nothing. */
const NO_HEADER = -2;

const STATE_FIRST_TOKEN = 0;
const STATE_TARGET = 1;
const STATE_RESPONSE_VERSION = 2;
const STATE_REASON = 3;
const STATE_LINE_START = 4;
const STATE_NAME = 5;
const STATE_VALUE = 6;

function lower(c: number): number {
  return c >= 0x41 && c <= 0x5a ? c + 0x20 : c;
}

function isDigit(c: number): boolean {
  return c >= 0x30 && c <= 0x39;
}

export class HeadBlanker {
  #state = STATE_FIRST_TOKEN;
  /** Where in a tree the current word is; undefined when it has left it. */
  #node: Node | undefined;
  /** Bytes of the target or of the version seen. */
  #count = 0;
  #isConnect = false;
  /** How many bytes of ` HTTP/1.` the target ends with. */
  #version = 0;
  /** Index in FRAMING of the header whose value this is, OTHER_HEADER or NO_HEADER. */
  #header = NO_HEADER;
  #valueBegun = false;

  begin(): void {
    this.#state = STATE_FIRST_TOKEN;
    this.#node = FIRST_TOKEN_TREE;
    this.#header = NO_HEADER;
  }

  /** What is written for the next byte of the head. */
  next(c: number): number {
    switch (this.#state) {
      case STATE_FIRST_TOKEN:
        return this.#firstToken(c);
      case STATE_TARGET:
        return this.#target(c);
      case STATE_RESPONSE_VERSION:
        return this.#responseVersion(c);
      case STATE_REASON:
        if (c === LF) this.#state = STATE_LINE_START;
        return c === LF || c === CR ? c : BLANK;
      case STATE_LINE_START:
        return this.#lineStart(c);
      case STATE_NAME:
        return this.#name(c);
      default:
        return this.#value(c);
    }
  }

  #firstToken(c: number): number {
    const word = this.#node?.word ?? -1;
    if (c === SPACE) {
      this.#state = STATE_TARGET;
      this.#isConnect = word === WORD_CONNECT;
      this.#count = 0;
      this.#version = 0;
      return c;
    }
    if (c === SLASH && word === WORD_HTTP) {
      this.#state = STATE_RESPONSE_VERSION;
      this.#count = 0;
      return c;
    }
    if (IS_TOKEN[c] !== 1) return INVALID;
    this.#node = this.#node?.next.get(c);
    return this.#node ? c : BLANK_METHOD;
  }

  /** Follows ` HTTP/1.x` as StartLine does, as only the end of the line tells whether it was the version. */
  #target(c: number): number {
    this.#count++;
    if (c === LF) {
      this.#state = STATE_LINE_START;
      return c;
    }
    if (c === SPACE) {
      this.#version = 1;
      return c;
    }
    if (c === TAB || c === CR) {
      this.#version = 0;
      return c;
    }
    if (c < SPACE || c === 0x7f) return INVALID;
    if (this.#version > 0 && this.#version <= VERSION.length && c === VERSION[this.#version - 1]) {
      this.#version++;
      return c;
    }
    const isMinor = this.#version === VERSION.length + 1 && isDigit(c);
    this.#version = 0;
    if (isMinor) return c;
    return this.#count === 1 && !this.#isConnect ? SLASH : BLANK;
  }

  /** Digits, dots and spaces up to the second space: `1.1 200 `. */
  #responseVersion(c: number): number {
    if (c === LF) {
      this.#state = STATE_LINE_START;
    } else if (c === CR || (c === SPACE && ++this.#count === 2)) {
      this.#state = STATE_REASON;
    } else if (c !== SPACE && c !== 0x2e && !isDigit(c)) {
      return INVALID;
    }
    return c;
  }

  #lineStart(c: number): number {
    if (c === CR || c === LF) return c;
    if (c === SPACE && this.#header === NO_HEADER) return c;
    if (c === SPACE || c === TAB) {
      // The value of the last header goes on (RFC 9112 section 5.2).
      this.#state = STATE_VALUE;
      this.#valueBegun = false;
      return c;
    }
    this.#state = STATE_NAME;
    this.#header = OTHER_HEADER;
    this.#node = NAME_TREE;
    return this.#name(c);
  }

  #name(c: number): number {
    if (c === COLON) {
      this.#header = this.#node?.word ?? OTHER_HEADER;
      this.#state = STATE_VALUE;
      this.#valueBegun = false;
      this.#node = this.#header < 0 ? undefined : VALUE_TREES[this.#header];
      return c;
    }
    if (c === LF || c === CR) {
      this.#state = c === LF ? STATE_LINE_START : STATE_NAME;
      return c;
    }
    if (c === SPACE || c === TAB) {
      this.#node = undefined;
      return c;
    }
    if (IS_TOKEN[c] !== 1) return INVALID;
    this.#node = this.#node?.next.get(lower(c));
    return this.#node ? lower(c) : BLANK;
  }

  #value(c: number): number {
    if (c === LF) {
      this.#state = STATE_LINE_START;
      return c;
    }
    if (c === CR) return c;
    const isSpace = c === SPACE || c === TAB;
    if (this.#header < 0) {
      if (!isSpace) this.#valueBegun = true;
      return this.#valueBegun ? BLANK : SPACE;
    }
    if (isSpace || c === COMMA) {
      this.#node = VALUE_TREES[this.#header];
      return c;
    }
    if (c === SEMICOLON) {
      this.#node = undefined;
      return c;
    }
    if (this.#header === WORD_CONTENT_LENGTH) return isDigit(c) ? c : BLANK;
    this.#node = this.#node?.next.get(lower(c));
    return this.#node ? lower(c) : BLANK;
  }
}
