/**
 * Reads one direction of an HTTP/2 connection as a row of frames. It knows nothing of the other direction and nothing of
 * requests; it tells the session of header blocks, ends of streams, resets and settings.
 *
 * Payload of DATA is passed over by its length, so a gap inside of it hides nothing; a gap inside a header block hides the
 * rest of that block and makes the dynamic table uncertain; a gap beyond the current frame hides framing: the reader then
 * waits for a chunk that begins with frames (frames.ts). A data() at the very time of a gap of cause `truncated` continues
 * that chunk and is no such place.
 *
 * It refuses what RFC 9113 calls a connection error of framing, and header blocks without end (block-framing.ts): a direction that
 * was seen from its beginning is then over, one that was joined is joined anew. Its memory is constant.
 */

import type { Direction, GapCause } from '../../stream/contract.ts';
import { BlockFraming } from './block-framing.ts';
import {
  beginsWithFrames,
  DEFAULT_MAX_FRAME_BYTES,
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FLAG_PADDED,
  FLAG_PRIORITY,
  FRAME_CONTINUATION,
  FRAME_DATA,
  FRAME_GOAWAY,
  FRAME_HEADER_BYTES,
  FRAME_HEADERS,
  FRAME_PING,
  FRAME_PRIORITY,
  FRAME_PUSH_PROMISE,
  FRAME_RST_STREAM,
  FRAME_SETTINGS,
  FRAME_WINDOW_UPDATE,
  isPlausible,
  PREFACE,
  prefaceLength,
  SETTING_HEADER_TABLE_SIZE,
  SETTING_MAX_FRAME_SIZE,
} from './frames.ts';
import { HpackDecoder } from './hpack/decoder.ts';
import { DEFAULT_TABLE_BYTES } from './hpack/dynamic-table.ts';
import type { MessageCounter } from './message-counter.ts';

/** Not in step: waits for a chunk that begins with frames. */
export const READER_JOIN = 0;
/** At the beginning of the connection, if the next bytes look like it. */
export const READER_START = 1;
/** In the client's connection preface. */
export const READER_PREFACE = 2;
/** In the header of a frame, or before it. */
export const READER_HEADER = 3;
export const READER_PAYLOAD = 4;
/** Nothing here is HTTP/2 any more. */
export const READER_OPAQUE = 5;

export type Breakage = GapCause | 'malformed';

/** What a reader tells the session of. */
export interface FrameEvents {
  /** The whole client preface was seen. */
  preface(reader: FrameReader): void;
  /** A header block of `reader.streamId` is over; `reader.decoder.block` says what is in it. `cause`: its end is missing. */
  headers(reader: FrameReader, cause: GapCause | undefined): void;
  /** A DATA frame begins. Who looks at the length-prefixed messages in it. */
  messages(reader: FrameReader, payloadBytes: number): MessageCounter | undefined;
  /** A frame with END_STREAM is over. `hidden`: its last byte was lost. */
  streamEnd(reader: FrameReader, hidden: boolean): void;
  reset(reader: FrameReader): void;
  goaway(reader: FrameReader, lastStreamId: number): void;
  setting(reader: FrameReader, id: number, value: number): void;
  /** A SETTINGS frame is over. */
  settings(reader: FrameReader): void;
  /** Frames may be hidden, or are not understood. */
  broken(reader: FrameReader, cause: Breakage): void;
}

const NEVER = -1;

export class FrameReader {
  readonly direction: Direction;
  readonly decoder = new HpackDecoder();
  state = READER_JOIN;
  /** Every frame since the beginning of the connection was seen, settings included. */
  certain = false;
  /** This is HTTP/2: it does not take plausible headers any more. */
  isProven = false;
  /** A header block has begun, a SETTINGS frame has been read. */
  hasBlocks = false;
  hasSettings = false;
  /** The chunk that is being read. */
  timeNs = 0;
  /** The chunk with the first byte of the frame; of a header block, of its first frame. */
  startTimeNs = 0;
  /** Of the frame that is being read. */
  streamId = 0;
  /** The header block that is being read, or was read last, is that of a PUSH_PROMISE. */
  isPromise = false;
  /** The header block, or the frame, ends its direction of the stream. */
  endsStream = false;
  readonly #events: FrameEvents;
  #allowedTableBytes = DEFAULT_TABLE_BYTES;
  #allowedFrameBytes = DEFAULT_MAX_FRAME_BYTES;
  #isBound = false;
  /** The header of a frame that is cut by the end of a chunk, and how much of it is there. */
  #header: Uint8Array | undefined;
  #headerBytes = 0;
  #type = 0;
  #flags = 0;
  /** Bytes of the payload that are to come. */
  #left = 0;
  readonly #block = new BlockFraming();
  /** Of SETTINGS and GOAWAY. */
  #valueBytes = 0;
  #value = 0;
  #counter: MessageCounter | undefined;
  #prefaceBytes = 0;
  #truncatedTimeNs = NEVER;

  constructor(direction: Direction, events: FrameEvents) {
    this.direction = direction;
    this.#events = events;
    this.decoder.forget();
  }

  /** It knows where frames begin. */
  get inStep(): boolean {
    return this.state !== READER_JOIN && this.state !== READER_OPAQUE;
  }

  /** The next byte is the first one of the direction: a preface, or the first frame. */
  start(state: typeof READER_START | typeof READER_PREFACE): void {
    this.state = state;
    this.#prefaceBytes = 0;
    this.#headerBytes = 0;
  }

  /** No header block was sent before those that this reader has seen. */
  trust(): void {
    this.certain = this.state === READER_HEADER || this.state === READER_PAYLOAD;
    this.decoder.renew();
  }

  /**
   * The other side has sent a setting that binds what this one sends. The largest value of all counts: one that allows less
   * is in force only once it is acknowledged.
   */
  allow(id: number, value: number): void {
    if (id === SETTING_HEADER_TABLE_SIZE) this.#allowedTableBytes = Math.max(this.#allowedTableBytes, value);
    else if (id === SETTING_MAX_FRAME_SIZE) this.#allowedFrameBytes = Math.max(this.#allowedFrameBytes, value);
  }

  /** Whether all settings of the other side are known: without the first ones anything may be allowed. */
  bind(isBound: boolean): void {
    this.#isBound = isBound;
    this.decoder.maxTableBytes = isBound ? this.#allowedTableBytes : Number.POSITIVE_INFINITY;
  }

  becomeOpaque(): void {
    this.state = READER_OPAQUE;
    this.#counter = undefined;
  }

  /** What was read is no HTTP/2: see #break. */
  fail(): void {
    this.#break('malformed');
  }

  data(timeNs: number, bytes: Uint8Array, start: number, end: number): void {
    const continues = this.#truncatedTimeNs === timeNs;
    if (!continues) this.#truncatedTimeNs = NEVER;
    this.timeNs = timeNs;
    if (this.state === READER_JOIN && (continues || !this.#join(bytes, start, end))) return;
    let at = start;
    while (at < end) {
      switch (this.state) {
        case READER_HEADER:
        case READER_START:
          at = this.#readHeader(bytes, at, end);
          break;
        case READER_PAYLOAD:
          at = this.#readPayload(bytes, at, end);
          break;
        case READER_PREFACE:
          at = this.#readPreface(bytes, at, end);
          break;
        default:
          return;
      }
    }
  }

  gap(timeNs: number, lengthBytes: number, cause: GapCause): void {
    this.#truncatedTimeNs = cause === 'truncated' ? timeNs : NEVER;
    if (this.state === READER_JOIN || this.state === READER_OPAQUE) return;
    if (cause === 'truncated') this.timeNs = timeNs;
    let rest = lengthBytes;
    if (this.state === READER_PAYLOAD) {
      const inFrame = Math.min(rest, this.#left);
      this.#left -= inFrame;
      rest -= inFrame;
      if (inFrame > 0) this.#hide();
      if (this.#left === 0) this.#endFrame(cause);
    }
    if (rest > 0 && this.inStep) this.#break(cause);
  }

  #join(bytes: Uint8Array, start: number, end: number): boolean {
    const preface = prefaceLength(bytes, start, end);
    if (preface > 0 && (preface === PREFACE.length || preface === end - start)) {
      this.start(READER_PREFACE);
    } else if (beginsWithFrames(bytes, start, end)) {
      this.state = READER_HEADER;
      this.#headerBytes = 0;
      this.#block.continues = 0;
    } else {
      return false;
    }
    this.certain = false;
    return true;
  }

  #readPreface(bytes: Uint8Array, from: number, end: number): number {
    let at = from;
    while (at < end && this.#prefaceBytes < PREFACE.length) {
      if (bytes[at++] !== PREFACE[this.#prefaceBytes++]) return this.#failAt(end);
    }
    if (this.#prefaceBytes === PREFACE.length) {
      this.state = READER_HEADER;
      this.#headerBytes = 0;
      this.#events.preface(this);
    }
    return at;
  }

  #readHeader(bytes: Uint8Array, from: number, end: number): number {
    if (this.#headerBytes === 0) {
      if (this.#block.continues === 0) this.startTimeNs = this.timeNs;
      if (end - from >= FRAME_HEADER_BYTES) return this.#parseHeader(bytes, from, from + FRAME_HEADER_BYTES, end);
    }
    this.#header ??= new Uint8Array(FRAME_HEADER_BYTES);
    let at = from;
    while (at < end && this.#headerBytes < FRAME_HEADER_BYTES) this.#header[this.#headerBytes++] = bytes[at++]!;
    if (this.#headerBytes < FRAME_HEADER_BYTES) return at;
    this.#headerBytes = 0;
    return this.#parseHeader(this.#header, 0, at, end);
  }

  /** Reads the header at `from`; its payload begins at `next` of the chunk. */
  #parseHeader(bytes: Uint8Array, from: number, next: number, end: number): number {
    const length = (bytes[from]! << 16) | (bytes[from + 1]! << 8) | bytes[from + 2]!;
    const type = bytes[from + 3]!;
    const flags = bytes[from + 4]!;
    const id = (bytes[from + 5]! << 24) | (bytes[from + 6]! << 16) | (bytes[from + 7]! << 8) | bytes[from + 8]!;
    if (this.state === READER_START) {
      // The beginning of this direction may have been missed.
      if (!isPlausible(length, type, flags, id)) return this.#failAt(end);
      this.certain = type === FRAME_SETTINGS && flags === 0;
    } else if (!this.isProven && !this.certain && !isPlausible(length, type, flags, id)) {
      return this.#failAt(end);
    }
    this.#type = type;
    this.#flags = flags;
    this.#left = length;
    this.streamId = id & 0x7fff_ffff;
    this.state = READER_PAYLOAD;
    if (!this.#beginFrame(length)) return this.#failAt(end);
    if (length === 0) this.#endFrame(undefined);
    return next;
  }

  #failAt(end: number): number {
    this.#break('malformed');
    return end;
  }

  /** RFC 9113 section 6. False: a connection error. */
  #beginFrame(length: number): boolean {
    const isContinuation = this.#type === FRAME_CONTINUATION;
    if (isContinuation !== (this.#block.continues !== 0) || (this.#isBound && length > this.#allowedFrameBytes))
      return false;
    switch (this.#type) {
      case FRAME_DATA:
        this.endsStream = (this.#flags & FLAG_END_STREAM) !== 0;
        if (this.streamId === 0) return false;
        this.#counter = this.#events.messages(this, length);
        if ((this.#flags & FLAG_PADDED) !== 0) this.#counter?.giveUp();
        return true;
      case FRAME_HEADERS:
        this.endsStream = (this.#flags & FLAG_END_STREAM) !== 0;
        return this.#beginBlock((this.#flags & FLAG_PRIORITY) !== 0 ? 5 : 0, false);
      case FRAME_PUSH_PROMISE:
        this.endsStream = false;
        return this.#beginBlock(4, true);
      case FRAME_CONTINUATION:
        return this.#block.goOn(length, this.streamId);
      case FRAME_RST_STREAM:
        return length === 4 && this.streamId !== 0;
      case FRAME_SETTINGS:
        this.#valueBytes = 0;
        this.#value = 0;
        if ((this.#flags & FLAG_ACK) !== 0 && length !== 0) return false;
        return length % 6 === 0 && this.streamId === 0;
      case FRAME_PING:
        return length === 8 && this.streamId === 0;
      case FRAME_GOAWAY:
        this.#valueBytes = 0;
        this.#value = 0;
        return length >= 8 && this.streamId === 0;
      case FRAME_WINDOW_UPDATE:
        return length === 4;
      case FRAME_PRIORITY:
        return this.streamId !== 0;
      default:
        return true;
    }
  }

  #beginBlock(prefixBytes: number, isPromise: boolean): boolean {
    this.isPromise = isPromise;
    this.hasBlocks = true;
    this.decoder.begin();
    const isPadded = (this.#flags & FLAG_PADDED) !== 0;
    return this.#block.begin(this.#left, prefixBytes, isPadded) && this.streamId !== 0;
  }

  #readPayload(bytes: Uint8Array, from: number, end: number): number {
    const to = Math.min(end, from + this.#left);
    switch (this.#type) {
      case FRAME_HEADERS:
      case FRAME_PUSH_PROMISE:
      case FRAME_CONTINUATION:
        if (!this.#block.read(this.decoder, bytes, from, to, this.#left)) return this.#failAt(end);
        break;
      case FRAME_DATA:
        this.#counter?.read(bytes, from, to);
        break;
      case FRAME_SETTINGS:
        this.#readSettings(bytes, from, to);
        break;
      case FRAME_GOAWAY:
        for (let at = from; at < to && this.#valueBytes < 4; at++, this.#valueBytes++) {
          this.#value = this.#value * 256 + bytes[at]!;
        }
        break;
    }
    this.#left -= to - from;
    if (this.#left === 0) this.#endFrame(undefined);
    return to;
  }

  #readSettings(bytes: Uint8Array, from: number, to: number): void {
    for (let at = from; at < to; at++) {
      this.#value = this.#value * 256 + bytes[at]!;
      if (++this.#valueBytes < 6) continue;
      this.#events.setting(this, Math.floor(this.#value / 2 ** 32), this.#value % 2 ** 32);
      this.#valueBytes = 0;
      this.#value = 0;
    }
  }

  /** `gap`: the last bytes of the payload are missing. */
  #endFrame(gap: GapCause | undefined): void {
    this.state = READER_HEADER;
    switch (this.#type) {
      case FRAME_DATA:
        this.#counter = undefined;
        if (this.endsStream) this.#events.streamEnd(this, gap === 'lost');
        break;
      case FRAME_HEADERS:
      case FRAME_PUSH_PROMISE:
      case FRAME_CONTINUATION:
        if ((this.#flags & FLAG_END_HEADERS) === 0) {
          this.#block.continues = this.streamId;
        } else {
          this.#block.continues = 0;
          this.#endBlock(gap);
        }
        break;
      case FRAME_SETTINGS:
        if ((this.#flags & FLAG_ACK) !== 0) break;
        this.hasSettings = true;
        this.#events.settings(this);
        break;
      case FRAME_RST_STREAM:
        this.#events.reset(this);
        break;
      case FRAME_GOAWAY:
        if (this.#valueBytes === 4) this.#events.goaway(this, this.#value % 2 ** 31);
        break;
    }
  }

  #endBlock(gap: GapCause | undefined): void {
    if (!this.decoder.end()) {
      this.#break('malformed');
      return;
    }
    this.#events.headers(this, gap);
    if (this.endsStream && !this.isPromise && this.state === READER_HEADER)
      this.#events.streamEnd(this, gap === 'lost');
  }

  /** Bytes of the current payload are missing. */
  #hide(): void {
    switch (this.#type) {
      case FRAME_DATA:
        this.#counter?.hide();
        break;
      case FRAME_HEADERS:
      case FRAME_PUSH_PROMISE:
      case FRAME_CONTINUATION:
        this.#block.hide();
        this.decoder.lose();
        break;
      case FRAME_SETTINGS:
        // They may have allowed anything; what follows in this frame is out of step.
        this.#type = FRAME_PING;
        this.certain = false;
        this.#events.settings(this);
        break;
      case FRAME_GOAWAY:
        if (this.#valueBytes < 4) this.#valueBytes = 5;
        break;
    }
  }

  #break(cause: Breakage): void {
    const opened = this.#block.continues !== 0 && cause !== 'malformed';
    if (opened) this.decoder.lose();
    const { certain } = this;
    this.state = cause === 'malformed' && certain ? READER_OPAQUE : READER_JOIN;
    this.certain = false;
    this.#counter = undefined;
    this.#block.continues = 0;
    this.#headerBytes = 0;
    // A header block of which the end is missing: its beginning may say enough.
    if (opened) this.#events.headers(this, cause as GapCause);
    this.decoder.forget();
    this.#events.broken(this, cause);
  }
}
