/** HTTP/2 (RFC 9113), with gRPC, as a protocol of the registry. */

import type { ConnectionInfo, Protocol, Session, TransactionSink } from '../../stream/contract.ts';
import { matches } from './frames.ts';
import { Http2Session, type UpgradedRequest } from './session.ts';

export const http2: Protocol = {
  name: 'http2',
  matches,
  open(connection: ConnectionInfo, sink: TransactionSink): Session {
    return new Http2Session(connection, sink);
  },
};

/**
 * What follows a 101 response to `Upgrade: h2c` (RFC 7540 section 3.2): the next byte of the request direction is the
 * first of the preface, that of the other direction is the first behind the response head.
 */
export function openUpgraded(connection: ConnectionInfo, sink: TransactionSink, request: UpgradedRequest): Session {
  return new Http2Session(connection, sink, request);
}
