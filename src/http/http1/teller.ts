/** What a connection of HTTP/1 tells of its requests and streams, under the role that its first start line has shown. */

import type { ConnectionInfo, IncompleteReason, Role, TransactionSink } from '../../stream/contract.ts';
import type { OpenStream } from './open-stream.ts';
import type { RequestQueue } from './request-queue.ts';

const MAX_STATUS = 599;

export class Teller {
  readonly connection: ConnectionInfo;
  readonly sink: TransactionSink;
  /** Known before anything but `incomplete` is told. */
  role: Role | undefined;

  constructor(connection: ConnectionInfo, sink: TransactionSink) {
    this.connection = connection;
    this.sink = sink;
  }

  incomplete(reason: IncompleteReason): void {
    this.sink.incomplete(this.connection.owner, this.role ?? 'unknown', reason);
  }

  /** The oldest request of the queue has its response, whose last byte was seen at `endNs`. */
  transaction(queue: RequestQueue, status: number, endNs: number): void {
    // A status beyond the defined classes says nothing that could be counted (RFC 9110 section 15).
    if (status > MAX_STATUS) this.incomplete('malformed');
    else this.sink.transaction(queue.answered(this.connection, this.role!, status, endNs));
  }

  stream(stream: OpenStream, endNs: number): void {
    stream.tell(this.sink, this.connection, this.role!, endNs);
  }
}
