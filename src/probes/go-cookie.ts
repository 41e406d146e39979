/**
 * The 64-bit attach cookie of the sites of Go's crypto/tls: the site, and how a probe gets from a tls.Conn to its descriptor in
 * the build that the site is in. bpf/go-call.h decodes the same:
 *
 * | bits   | what                                                                                               |
 * |--------|----------------------------------------------------------------------------------------------------|
 * | 0..1   | the operation, as in cookie.ts                                                                     |
 * | 2      | an entry site that is passed again when the stack has grown                                        |
 * | 3      | the rest is known; else it is 0                                                                    |
 * | 4..10  | crypto/tls.Conn.conn, an interface; this and the next three are offsets in units of 8 bytes        |
 * | 11..17 | of Read in the table of methods of that interface                                                  |
 * | 18..24 | net.TCPConn.conn.fd                                                                                |
 * | 25..31 | net.netFD.pfd.Sysfd                                                                                |
 * | 32..63 | how far net.(*TCPConn).Read is behind the site, signed                                             |
 */

import { PROBE_OPERATIONS, type ProbeOperation } from './cookie.ts';

/** From a tls.Conn to the descriptor of the TCP connection below it. Offsets in bytes. */
export interface GoConnPath {
  readonly conn: number;
  readonly readMethod: number;
  readonly fd: number;
  readonly sysfd: number;
  /** Address of net.(*TCPConn).Read less that of the site. */
  readonly tcpReadDistance: number;
}

export interface GoCookie {
  readonly operation: ProbeOperation;
  readonly repeats: boolean;
  /** undefined: what is below a connection is not looked at. One that does not fit into a cookie counts as that. */
  readonly path: GoConnPath | undefined;
}

const REPEATS_BIT = 0x4n;
const PATH_BIT = 0x8n;
/** The fields of GoConnPath that are offsets, in the order of their bits. */
const OFFSETS = ['conn', 'readMethod', 'fd', 'sysfd'] as const;
const OFFSET_SHIFT = 4;
const OFFSET_BITS = 7;
const OFFSET_UNIT_BYTES = 8;
const MAX_OFFSET = ((1 << OFFSET_BITS) - 1) * OFFSET_UNIT_BYTES;
const DISTANCE_SHIFT = 32n;
const MAX_DISTANCE = 2 ** 31 - 1;

function fits(path: GoConnPath): boolean {
  const isOffset = (offset: number) => offset >= 0 && offset <= MAX_OFFSET && offset % OFFSET_UNIT_BYTES === 0;
  return OFFSETS.every((name) => isOffset(path[name])) && Math.abs(path.tcpReadDistance) <= MAX_DISTANCE;
}

export function encodeGoCookie({ operation, repeats, path }: GoCookie): bigint {
  let cookie = BigInt(PROBE_OPERATIONS.indexOf(operation)) | (repeats ? REPEATS_BIT : 0n);
  if (!path || !fits(path)) return cookie;
  cookie |= PATH_BIT | (BigInt.asUintN(32, BigInt(path.tcpReadDistance)) << DISTANCE_SHIFT);
  for (const [i, name] of OFFSETS.entries()) {
    cookie |= BigInt(path[name] / OFFSET_UNIT_BYTES) << BigInt(OFFSET_SHIFT + i * OFFSET_BITS);
  }
  return cookie;
}
