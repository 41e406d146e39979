/**
 * Reads one direction of an HTTP/1.x connection as a row of messages: head, body, head, body. It knows nothing of the
 * other direction; what pairs with what, and which body a response has, the session tells it.
 *
 * Where nothing says that a start line has to be there (after a join, after something not understood), only the first
 * byte of a chunk can begin one. The captured tail of a chunk is no such place: a data() at the very time of a gap of
 * cause `truncated` continues that chunk. Inside a body of known framing nothing is looked at, whatever it looks like.
 *
 * Its memory is constant. It refuses a head above 64 KiB and chunk framing that makes no sense.
 */

import type { Direction, GapCause } from '../../stream/contract.ts';
import { BODY_LOST, Body, FRAMING_HIDDEN } from './body.ts';
import type { HeadParser, HeadParserPool, ParserHolder } from './head-parser.ts';
import { KIND_MORE, KIND_UNREGISTERED, skipEmptyLines, startKind } from './start-line.ts';
import type { ByteTrace } from './trace.ts';
import { REGION_FAILED, REGION_HEAD, REGION_HEAD_START, REGION_LINE } from './trace.ts';

/** Not in step: waits for a start line at the beginning of a chunk. */
export const READER_JOIN = 0;
/** In step, between two messages. */
export const READER_START = 1;
export const READER_HEAD = 2;
export const READER_BODY = 3;
/** What follows a CONNECT request: the response will tell what it is. */
export const READER_WAIT = 4;
/** Nothing here is HTTP/1 any more. */
export const READER_OPAQUE = 5;

export type Breakage = 'malformed' | 'lost' | 'truncated' | 'evicted';

/** What a reader tells the session of, and asks it. */
export interface MessageEvents {
  /** A start line is complete. False: it cannot be in this direction. */
  startLine(reader: MessageReader, parser: HeadParser): boolean;
  /** The session answers with startBody(), wait(), rejoin() or becomeOpaque(). */
  head(reader: MessageReader, parser: HeadParser): void;
  /** The message is complete; its last byte was seen at `reader.lastTimeNs`. */
  message(reader: MessageReader): void;
  /** The last byte of the message lies in a gap that was lost, but the next message is in step. */
  endHidden(reader: MessageReader): void;
  /** Message heads may be hidden, or the current one is not understood; the reader is at READER_JOIN. */
  broken(reader: MessageReader, cause: Breakage, inHead: boolean): void;
  /** A gap hid the framing of the body. */
  framingLost(reader: MessageReader, cause: GapCause): void;
  /**
   * A chunk begins inside a body whose framing is not certain; `begins`: it may begin with a start line. True: the body was
   * over before it.
   */
  isOver(reader: MessageReader, begins: boolean): boolean;
}

const NEVER = -1;

export class MessageReader implements ParserHolder {
  readonly direction: Direction;
  /** KIND_REQUEST, KIND_RESPONSE or KIND_ANY. */
  expectedKind: number;
  state = READER_JOIN;
  /** The body may be shorter than its framing says: nobody knows which request it answers. */
  uncertain = false;
  /** The chunk with the first byte of the current message. */
  startTimeNs = 0;
  /** The chunk with the last byte that was seen. */
  lastTimeNs = 0;
  readonly body = new Body();
  readonly #events: MessageEvents;
  readonly #pool: HeadParserPool;
  #parser: HeadParser | undefined;
  /** The head began where none had to be. */
  #tentative = false;
  #truncatedTimeNs = NEVER;
  #trace: ByteTrace | undefined;

  constructor(direction: Direction, expectedKind: number, events: MessageEvents, pool: HeadParserPool) {
    this.direction = direction;
    this.expectedKind = expectedKind;
    this.#events = events;
    this.#pool = pool;
  }

  set trace(trace: ByteTrace) {
    this.#trace = trace;
    this.body.trace = trace;
  }

  /** In the middle of a head that is one beyond doubt. */
  get inHead(): boolean {
    return this.state === READER_HEAD && !this.#tentative;
  }

  /** Returns the position after what was read; before `end` only where the reader has become opaque on the way. */
  data(timeNs: number, bytes: Uint8Array, start: number, end: number): number {
    const beginsChunk = this.#truncatedTimeNs !== timeNs;
    if (beginsChunk) this.#truncatedTimeNs = NEVER;
    if (this.#resyncs() && beginsChunk && !this.#resync(bytes, start, end)) return end;
    this.lastTimeNs = timeNs;
    let at = start;
    while (at < end) {
      switch (this.state) {
        case READER_HEAD:
          at = this.#readHead(bytes, at, end);
          break;
        case READER_BODY:
          at = this.#readBody(bytes, at, end);
          break;
        case READER_START:
          at = this.#beginHead(timeNs, bytes, at, end, false);
          break;
        case READER_JOIN:
          if (at !== start || !beginsChunk || startKind(bytes, at, end) === 0) return end;
          at = this.#beginHead(timeNs, bytes, at, end, true);
          break;
        default:
          return this.state === READER_OPAQUE ? at : end;
      }
    }
    return end;
  }

  gap(timeNs: number, lengthBytes: number, cause: GapCause): void {
    const beginsChunk = cause === 'truncated' && this.#truncatedTimeNs !== timeNs && this.lastTimeNs !== timeNs;
    this.#truncatedTimeNs = cause === 'truncated' ? timeNs : NEVER;
    if (beginsChunk && this.state === READER_BODY && this.#resyncs() && this.#events.isOver(this, false)) this.rejoin();
    switch (this.state) {
      case READER_JOIN:
        if (cause === 'lost') this.#break(cause);
        break;
      case READER_START:
      case READER_HEAD:
        this.#break(cause);
        break;
      case READER_BODY:
        this.#gapInBody(timeNs, lengthBytes, cause);
        break;
    }
  }

  startBody(kind: number, lengthBytes: number): void {
    this.state = READER_BODY;
    this.body.begin(kind, lengthBytes);
  }

  becomeOpaque(): void {
    this.#dropParser();
    this.state = READER_OPAQUE;
  }

  /** What follows is the other direction's to decide. */
  wait(): void {
    this.state = READER_WAIT;
  }

  /** Gives the current message up without a word: the session has counted it. */
  rejoin(): void {
    this.#dropParser();
    this.state = READER_JOIN;
    this.uncertain = false;
  }

  parserTaken(): void {
    this.#parser = undefined;
    this.#break('evicted');
  }

  /** States in which the first bytes of a chunk may change what is believed. */
  #resyncs(): boolean {
    if (this.state === READER_BODY) return this.body.kind === BODY_LOST || this.uncertain;
    return this.state === READER_HEAD && this.#tentative;
  }

  /** Returns false when the whole chunk is passed over. */
  #resync(bytes: Uint8Array, start: number, end: number): boolean {
    const kind = startKind(bytes, start, end);
    if (this.state === READER_BODY) {
      const begins = kind === KIND_MORE || (kind & this.expectedKind) !== 0;
      if (this.#events.isOver(this, begins)) this.rejoin();
      return true;
    }
    if (kind === KIND_MORE || (kind & KIND_UNREGISTERED) !== 0 || (kind & this.expectedKind) === 0) return true;
    // Two pieces that could each begin the line: nobody can tell which, so neither does.
    if (this.#parser === undefined || this.#parser.startLine.kind !== 0) return true;
    this.rejoin();
    return false;
  }

  #beginHead(timeNs: number, bytes: Uint8Array, from: number, end: number, tentative: boolean): number {
    const at = skipEmptyLines(bytes, from, end);
    if (at > from) this.#trace?.region(REGION_LINE, from, at);
    if (at === end) return end;
    this.#parser = this.#pool.acquire(this.expectedKind);
    this.#trace?.region(REGION_HEAD_START, at, at);
    this.#tentative = tentative;
    this.state = READER_HEAD;
    this.startTimeNs = timeNs;
    return at;
  }

  #readHead(bytes: Uint8Array, from: number, end: number): number {
    const parser = this.#parser!;
    const hadStartLine = parser.startLine.done;
    const at = parser.feed(bytes, from, end);
    this.#trace?.region(REGION_HEAD, from, at < 0 ? ~at : at);
    if (!hadStartLine && parser.startLine.done) {
      if (!this.#events.startLine(this, parser)) return this.#fail(~end, end);
      this.#tentative = false;
    }
    if (at < 0) return this.#fail(at, end);
    if (!parser.done) {
      this.#pool.hold(parser, this);
      return at;
    }
    this.#events.head(this, parser);
    this.#dropParser();
    this.#finishBody();
    return at;
  }

  #readBody(bytes: Uint8Array, from: number, end: number): number {
    const at = this.body.read(bytes, from, end);
    if (at < 0) return this.#fail(at, end);
    this.#finishBody();
    return at;
  }

  #fail(at: number, end: number): number {
    if (~at < end) this.#trace?.region(REGION_FAILED, ~at, ~at + 1);
    this.#break('malformed');
    return end;
  }

  #finishBody(): void {
    if (this.state !== READER_BODY || !this.body.done) return;
    this.state = READER_START;
    this.uncertain = false;
    this.#events.message(this);
  }

  #gapInBody(timeNs: number, lengthBytes: number, cause: GapCause): void {
    const wasLost = this.body.kind === BODY_LOST;
    if (cause === 'truncated') this.lastTimeNs = timeNs;
    const beyond = this.body.skip(lengthBytes);
    if (beyond === FRAMING_HIDDEN || (wasLost && cause === 'lost')) {
      this.body.lose();
      this.#events.framingLost(this, cause);
      return;
    }
    if (cause === 'truncated') {
      this.#finishBody();
    } else if (this.body.done) {
      this.state = READER_START;
      this.uncertain = false;
      this.#events.endHidden(this);
    }
    if (beyond > 0) this.#break(cause);
  }

  #break(cause: Breakage): void {
    const began = this.state === READER_HEAD && this.#tentative;
    // A head that began where none had to be: one that is cut short after its method is believed, as it can no longer be
    // disproved; one that is not understood was none.
    const inHead = this.inHead || (began && this.#parser !== undefined && this.#parser.startLine.kind !== 0);
    this.rejoin();
    if (began && cause === 'malformed') return;
    this.#events.broken(this, cause, inHead);
  }

  #dropParser(): void {
    if (this.#parser) this.#pool.release(this.#parser);
    this.#parser = undefined;
  }
}
