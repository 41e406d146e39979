/** The static table of HPACK (RFC 7541 appendix A), as facts and lengths of names. */

import { classify, nameClass } from './fields.ts';

/** `name` or `name=value`, in the order of the appendix; values only where they are part of the table. */
export const STATIC_FIELDS: readonly string[] = [
  ':authority',
  ...[':method=GET', ':method=POST', ':path=/', ':path=/index.html', ':scheme=http', ':scheme=https'],
  ...['200', '204', '206', '304', '400', '404', '500'].map((status) => `:status=${status}`),
  ...['accept-charset', 'accept-encoding=gzip, deflate', 'accept-language', 'accept-ranges', 'accept'],
  ...['access-control-allow-origin', 'age', 'allow', 'authorization', 'cache-control'],
  ...['disposition', 'encoding', 'language', 'length', 'location', 'range', 'type'].map((name) => `content-${name}`),
  ...['cookie', 'date', 'etag', 'expect', 'expires', 'from', 'host', 'if-match', 'if-modified-since'],
  ...['if-none-match', 'if-range', 'if-unmodified-since', 'last-modified', 'link', 'location', 'max-forwards'],
  ...['proxy-authenticate', 'proxy-authorization', 'range', 'referer', 'refresh', 'retry-after', 'server'],
  ...['set-cookie', 'strict-transport-security', 'transfer-encoding', 'user-agent', 'vary', 'via', 'www-authenticate'],
];

/** Indexes begin at 1; the first of the dynamic table follows the last of this one. */
export const STATIC_COUNT = 61;

/** By index. Of an entry without a value: its name class. */
export const STATIC_FACTS = new Int32Array(STATIC_COUNT + 1);
/** By index. */
export const STATIC_NAME_LENGTHS = new Uint8Array(STATIC_COUNT + 1);

STATIC_FIELDS.forEach((field, index) => {
  const [name = '', value] = field.split('=');
  const bytes = Buffer.from(name);
  const kind = nameClass(bytes, bytes.length);
  STATIC_NAME_LENGTHS[index + 1] = bytes.length;
  STATIC_FACTS[index + 1] = value === undefined ? kind : classify(kind, Buffer.from(value), value.length);
});
