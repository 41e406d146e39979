/**
 * What is kept of a header field: a fact, one small number that holds the class of the name and, for the few names that
 * matter, what the value says. No other name or value is ever kept or even decoded into something that could be.
 */

import { grpcCode } from '../../grpc/codes.ts';
import { isGrpcPath, MAX_GRPC_PATH_BYTES } from '../../grpc/method-name.ts';
import { METHOD_OTHER, methodIndex } from '../../http1/methods.ts';
import { MAX_TRACE_VALUE_BYTES, TRACE_HEADERS } from '../../trace-headers.ts';

export const NAME_OTHER = 0;
export const NAME_METHOD = 1;
export const NAME_PATH = 2;
/** `:authority` and `:scheme`: they prove a request and say no more. */
export const NAME_REQUEST = 3;
/** Of an extended CONNECT (RFC 8441). */
export const NAME_PROTOCOL = 4;
export const NAME_STATUS = 5;
export const NAME_CONTENT_TYPE = 6;
export const NAME_GRPC_STATUS = 7;
/** The name is in an entry of the dynamic table that was inserted before the connection was joined. */
export const NAME_UNKNOWN = 8;
/** Begins with a colon and is none of the above: no message may have it (RFC 9113 section 8.3). */
export const NAME_BAD = 9;
/** The first of TRACE_HEADERS; the others follow. The text of the value is handed on beside the fact. */
export const NAME_TRACE = 10;

/** The last class that is a pseudo-header of a request, and of any message. */
export const LAST_REQUEST_PSEUDO = NAME_PROTOCOL;
export const LAST_PSEUDO = NAME_STATUS;

export const CONTENT_TYPE_OTHER = 0;
export const CONTENT_TYPE_GRPC = 1;
export const CONTENT_TYPE_EVENTS = 2;

/**
 * A fact is a name class and a value of that class. The value of a `:path` is 1 if it may be that of a gRPC call, that of a
 * trace header 1 if it is short enough: of these alone the text matters too.
 */
export function fact(name: number, value: number): number {
  return name | (value << 4);
}

export function factName(of: number): number {
  return of & 15;
}

/** Has the field a text that is kept? */
export function hasText(of: number): boolean {
  const name = factName(of);
  return (name === NAME_PATH || name >= NAME_TRACE) && factValue(of) === 1;
}

export function factValue(of: number): number {
  return of >> 4;
}

/** How many bytes of a name are needed to tell its class: one more than the longest that matters. */
export const NAME_BYTES = 'content-type'.length + 1;

/** By name class: how many bytes of the value are needed to judge it. A value that goes on behind them is another. */
export const VALUE_BYTES: readonly number[] = [
  0,
  24,
  MAX_GRPC_PATH_BYTES + 1,
  0,
  10,
  4,
  18,
  3,
  0,
  0,
  ...TRACE_HEADERS.map(() => MAX_TRACE_VALUE_BYTES),
];
/** Room for all of them. */
export const SCRATCH_BYTES = 264;

const NAMES: readonly { readonly bytes: Uint8Array; readonly name: number }[] = [
  { bytes: Buffer.from(':method'), name: NAME_METHOD },
  { bytes: Buffer.from(':path'), name: NAME_PATH },
  { bytes: Buffer.from(':authority'), name: NAME_REQUEST },
  { bytes: Buffer.from(':scheme'), name: NAME_REQUEST },
  { bytes: Buffer.from(':protocol'), name: NAME_PROTOCOL },
  { bytes: Buffer.from(':status'), name: NAME_STATUS },
  { bytes: Buffer.from('content-type'), name: NAME_CONTENT_TYPE },
  { bytes: Buffer.from('grpc-status'), name: NAME_GRPC_STATUS },
  ...TRACE_HEADERS.map((name, index) => ({ bytes: Buffer.from(name), name: NAME_TRACE + index })),
];

const GRPC_TYPE = Buffer.from('application/grpc');
const EVENTS_TYPE = Buffer.from('text/event-stream');
const WEBSOCKET = Buffer.from('websocket');

const COLON = 0x3a;
const PLUS = 0x2b;
const SEMICOLON = 0x3b;
const SPACE = 0x20;
const DELETE = 0x7f;

/** Does `word`, in small letters, begin `bytes[0, length)`? */
function begins(bytes: Uint8Array, length: number, word: Uint8Array): boolean {
  if (length < word.length) return false;
  for (let at = 0; at < word.length; at++) {
    const c = bytes[at]!;
    if ((c >= 0x41 && c <= 0x5a ? c + 0x20 : c) !== word[at]) return false;
  }
  return true;
}

/** The class of the name `bytes[0, length)`, of which up to NAME_BYTES are there. Names have no capitals in HTTP/2. */
export function nameClass(bytes: Uint8Array, length: number): number {
  for (let i = 0; i < NAMES.length; i++) {
    const { bytes: word, name } = NAMES[i]!;
    if (word.length === length && word[0] === bytes[0] && begins(bytes, length, word)) return name;
  }
  return length > 0 && bytes[0] === COLON ? NAME_BAD : NAME_OTHER;
}

/** The fact of a field; -1: no such value may be. `length` is that of the whole value, `bytes` has its first ones. */
export function classify(name: number, bytes: Uint8Array, length: number): number {
  switch (name) {
    case NAME_METHOD: {
      if (length === 0) return -1;
      const seen = Math.min(length, VALUE_BYTES[NAME_METHOD]!);
      for (let at = 0; at < seen; at++) if (bytes[at]! <= SPACE || bytes[at]! >= DELETE) return -1;
      return fact(name, length > seen ? METHOD_OTHER : methodIndex(bytes, 0, length));
    }
    case NAME_STATUS: {
      if (length !== 3) return -1;
      let status = 0;
      for (let at = 0; at < 3; at++) {
        const digit = bytes[at]! - 0x30;
        if (digit < 0 || digit > 9) return -1;
        status = status * 10 + digit;
      }
      return fact(name, status);
    }
    case NAME_PATH:
      return fact(name, isGrpcPath(bytes, length) ? 1 : 0);
    case NAME_PROTOCOL:
      return fact(name, length === WEBSOCKET.length && begins(bytes, length, WEBSOCKET) ? 1 : 0);
    case NAME_CONTENT_TYPE:
      return fact(name, contentType(bytes, length));
    case NAME_GRPC_STATUS:
      return fact(name, grpcCode(bytes, length));
    default:
      return fact(name, name >= NAME_TRACE && length <= MAX_TRACE_VALUE_BYTES ? 1 : 0);
  }
}

/** `application/grpc-web` is another protocol. */
function contentType(bytes: Uint8Array, length: number): number {
  if (begins(bytes, length, GRPC_TYPE)) {
    const next = bytes[GRPC_TYPE.length];
    if (length === GRPC_TYPE.length || next === PLUS || next === SEMICOLON || next === SPACE) return CONTENT_TYPE_GRPC;
  } else if (begins(bytes, length, EVENTS_TYPE)) {
    const next = bytes[EVENTS_TYPE.length];
    if (length === EVENTS_TYPE.length || next === SEMICOLON || next === SPACE) return CONTENT_TYPE_EVENTS;
  }
  return CONTENT_TYPE_OTHER;
}
