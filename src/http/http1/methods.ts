/**
 * The closed set of method labels: the registered HTTP methods, else `OTHER`. A method that a client made up never
 * becomes a string here.
 *
 * Source: the IANA HTTP Method Registry (RFC 9110 section 16.1) without its two reserved names, `*` and `PRI`, which
 * no HTTP/1 request carries; and QUERY (draft-ietf-httpbis-safe-method-w-body), which servers already accept.
 */

/** By index; 0 is every method that is not registered. Frequent ones first: the look-up walks one length's list. */
export const METHODS = [
  'OTHER',
  'GET',
  'POST',
  'HEAD',
  'PUT',
  'DELETE',
  'PATCH',
  'OPTIONS',
  'CONNECT',
  'TRACE',
  'QUERY',
  'ACL',
  'BASELINE-CONTROL',
  'BIND',
  'CHECKIN',
  'CHECKOUT',
  'COPY',
  'LABEL',
  'LINK',
  'LOCK',
  'MERGE',
  'MKACTIVITY',
  'MKCALENDAR',
  'MKCOL',
  'MKREDIRECTREF',
  'MKWORKSPACE',
  'MOVE',
  'ORDERPATCH',
  'PROPFIND',
  'PROPPATCH',
  'REBIND',
  'REPORT',
  'SEARCH',
  'UNBIND',
  'UNCHECKOUT',
  'UNLINK',
  'UNLOCK',
  'UPDATE',
  'UPDATEREDIRECTREF',
  'VERSION-CONTROL',
] as const;

export const METHOD_OTHER = 0;
export const METHOD_HEAD = METHODS.indexOf('HEAD');
export const METHOD_CONNECT = METHODS.indexOf('CONNECT');

/** No token longer than this is looked at: the window of the protocol detection (24 bytes) less one space. */
export const MAX_METHOD_BYTES = 23;

interface Entry {
  readonly index: number;
  readonly bytes: Uint8Array;
}

const byLength: Entry[][] = Array.from({ length: MAX_METHOD_BYTES + 1 }, () => []);
for (let index = 1; index < METHODS.length; index++) {
  const bytes = Buffer.from(METHODS[index]!, 'latin1');
  byLength[bytes.length]!.push({ index, bytes });
}

/** The index in METHODS of the token `bytes[from, to)`. Case matters (RFC 9110 section 9.1). */
export function methodIndex(bytes: Uint8Array, from: number, to: number): number {
  const length = to - from;
  if (length > MAX_METHOD_BYTES) return METHOD_OTHER;
  const entries = byLength[length]!;
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!;
    let at = 0;
    while (at < length && bytes[from + at] === entry.bytes[at]) at++;
    if (at === length) return entry.index;
  }
  return METHOD_OTHER;
}
