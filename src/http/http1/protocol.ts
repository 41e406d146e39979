/** HTTP/1.0 and HTTP/1.1 (RFC 9112) as a protocol of the registry. All its connections share the parsers made here. */

import type { ConnectionInfo, Protocol, Session, TransactionSink } from '../../stream/contract.ts';
import { HeadParserPool } from './head-parser.ts';
import { Http1Session } from './session.ts';
import { matches } from './start-line.ts';

/** Heads that may be incomplete at one time; each parser takes about 1 KiB. */
export const MAX_HELD_PARSERS = 4096;

let pool: HeadParserPool | undefined;

/** One for the process: llhttp has one memory. Made at first use, which compiles llhttp in about 1 ms. */
export function headParserPool(): HeadParserPool {
  pool ??= new HeadParserPool(MAX_HELD_PARSERS);
  return pool;
}

export const http1: Protocol = {
  name: 'http1',
  matches,
  open(connection: ConnectionInfo, sink: TransactionSink): Session {
    return new Http1Session(connection, sink, headParserPool());
  },
};
