/**
 * The layout of HTTP/2 frames (RFC 9113 sections 4.1 and 6), and the judgement of whether bytes that nobody vouches for
 * begin with frames: at a join, or after bytes were lost.
 */

import type { Match } from '../../stream/contract.ts';

export const FRAME_DATA = 0;
export const FRAME_HEADERS = 1;
export const FRAME_PRIORITY = 2;
export const FRAME_RST_STREAM = 3;
export const FRAME_SETTINGS = 4;
export const FRAME_PUSH_PROMISE = 5;
export const FRAME_PING = 6;
export const FRAME_GOAWAY = 7;
export const FRAME_WINDOW_UPDATE = 8;
export const FRAME_CONTINUATION = 9;
/** RFC 9218 section 7. */
const FRAME_PRIORITY_UPDATE = 16;

/** Of DATA and HEADERS. */
export const FLAG_END_STREAM = 0x01;
/** Of SETTINGS and PING. */
export const FLAG_ACK = 0x01;
export const FLAG_END_HEADERS = 0x04;
export const FLAG_PADDED = 0x08;
export const FLAG_PRIORITY = 0x20;

export const FRAME_HEADER_BYTES = 9;
/** Until the receiver allows more (RFC 9113 section 6.5.2). */
export const DEFAULT_MAX_FRAME_BYTES = 16_384;

export const SETTING_HEADER_TABLE_SIZE = 1;
export const SETTING_MAX_FRAME_SIZE = 5;

/** What a client's connection begins with (RFC 9113 section 3.4). */
export const PREFACE: Uint8Array = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Nobody sends more settings or longer farewells than these bytes. */
const MAX_SETTINGS_BYTES = 32 * 6;
const MAX_GOAWAY_BYTES = 1024;
/** Servers that take larger DATA frames (gRPC does) rarely allow more. */
const MAX_JOINED_DATA_BYTES = 1 << 20;

/**
 * Could an endpoint in good order send a frame with this header? Stricter than a receiver may be: no unknown types, no
 * undefined flags, no frame that does nothing. Of random headers about one in 3 million passes.
 */
export function isPlausible(length: number, type: number, flags: number, streamId: number): boolean {
  if (streamId < 0 || streamId > 0x7fff_ffff) return false;
  const onStream = streamId !== 0;
  switch (type) {
    case FRAME_DATA:
      if ((flags & ~(FLAG_END_STREAM | FLAG_PADDED)) !== 0 || !onStream || length > MAX_JOINED_DATA_BYTES) return false;
      return length > 0 || flags === FLAG_END_STREAM;
    case FRAME_HEADERS: {
      if ((flags & ~(FLAG_END_STREAM | FLAG_END_HEADERS | FLAG_PADDED | FLAG_PRIORITY)) !== 0 || !onStream)
        return false;
      const least = 1 + ((flags & FLAG_PADDED) !== 0 ? 1 : 0) + ((flags & FLAG_PRIORITY) !== 0 ? 5 : 0);
      return length >= least && length <= DEFAULT_MAX_FRAME_BYTES;
    }
    case FRAME_PRIORITY:
      return flags === 0 && onStream && length === 5;
    case FRAME_RST_STREAM:
      return flags === 0 && onStream && length === 4;
    case FRAME_SETTINGS:
      if (onStream || length % 6 !== 0 || length > MAX_SETTINGS_BYTES) return false;
      return flags === 0 || (flags === FLAG_ACK && length === 0);
    case FRAME_PUSH_PROMISE:
      if ((flags & ~(FLAG_END_HEADERS | FLAG_PADDED)) !== 0 || streamId % 2 === 0) return false;
      return length > 5 && length <= DEFAULT_MAX_FRAME_BYTES;
    case FRAME_PING:
      return (flags === 0 || flags === FLAG_ACK) && !onStream && length === 8;
    case FRAME_GOAWAY:
      return flags === 0 && !onStream && length >= 8 && length <= MAX_GOAWAY_BYTES;
    case FRAME_WINDOW_UPDATE:
      return flags === 0 && length === 4;
    case FRAME_CONTINUATION:
      if ((flags & ~FLAG_END_HEADERS) !== 0 || !onStream) return false;
      return length > 0 && length <= DEFAULT_MAX_FRAME_BYTES;
    case FRAME_PRIORITY_UPDATE:
      return flags === 0 && !onStream && length >= 4 && length <= MAX_GOAWAY_BYTES;
    default:
      return false;
  }
}

/**
 * Do these bytes, all that was captured of a chunk or of its beginning, begin with a frame? Yes if plausible headers
 * follow each other to the very end, or if two of them are whole, or if the chunk is one header and nothing else. A header
 * block that goes on must do so with a CONTINUATION, and one of those never begins a run.
 */
export function beginsWithFrames(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  let count = 0;
  let continues = 0;
  while (end - at >= FRAME_HEADER_BYTES) {
    const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    const type = bytes[at + 3]!;
    const flags = bytes[at + 4]!;
    const streamId = (bytes[at + 5]! << 24) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 8) | bytes[at + 8]!;
    if (!isPlausible(length, type, flags, streamId)) return false;
    if ((type === FRAME_CONTINUATION) !== (continues !== 0) || (continues !== 0 && continues !== streamId))
      return false;
    const opens = type === FRAME_HEADERS || type === FRAME_PUSH_PROMISE || type === FRAME_CONTINUATION;
    continues = opens && (flags & FLAG_END_HEADERS) === 0 ? streamId : 0;
    count++;
    at += FRAME_HEADER_BYTES;
    if (at === end && count === 1) return true;
    at += length;
  }
  return count > 1 || (count === 1 && at === end);
}

/** How many of the first bytes are those of the preface. */
export function prefaceLength(bytes: Uint8Array, start: number, end: number): number {
  let at = 0;
  while (at < PREFACE.length && start + at < end && bytes[start + at] === PREFACE[at]) at++;
  return at;
}

export function matches(bytes: Uint8Array, start: number, end: number): Match {
  const length = prefaceLength(bytes, start, end);
  if (length === PREFACE.length) return 'yes';
  if (length > 0 && length === end - start) return 'more';
  return beginsWithFrames(bytes, start, end) ? 'yes' : 'no';
}
