/** Which body follows a message head (RFC 9112 section 6.3), by what the head says. */

import { BODY_CHUNKED, BODY_LENGTH, BODY_NONE, BODY_UNTIL_CLOSE } from './body.ts';
import type { HeadParser } from './head-parser.ts';
import { CODING_CHUNKED, CODING_NONE, LENGTH_NONE } from './head-parser.ts';
import { METHOD_HEAD } from './methods.ts';

/** Rules 3, 5 to 7; rule 4 is the session's: a request of another coding is refused. */
export function requestBody({ coding, contentLength }: HeadParser): number {
  if (coding === CODING_CHUNKED) return BODY_CHUNKED;
  return contentLength === LENGTH_NONE ? BODY_NONE : BODY_LENGTH;
}

/** Rules 1 and 3 to 8; rule 2 is the session's: it makes a tunnel. `method`: of the request, an index in METHODS. */
export function responseBody({ coding, contentLength }: HeadParser, method: number, status: number): number {
  if (method === METHOD_HEAD || status === 204 || status === 304) return BODY_NONE;
  if (coding === CODING_CHUNKED) return BODY_CHUNKED;
  return coding !== CODING_NONE || contentLength === LENGTH_NONE ? BODY_UNTIL_CLOSE : BODY_LENGTH;
}
