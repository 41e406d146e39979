/**
 * What a request has become whose response is no mere answer: a tunnel (101, CONNECT), which has the connection from then
 * on, or a response of events (`text/event-stream`), which has a body that ends. Told of when it is over.
 */

import type { ConnectionInfo, Role, StreamKind, TransactionSink } from '../../stream/contract.ts';

export class OpenStream {
  readonly kind: StreamKind;
  /** First byte of the request. */
  readonly #timeNs: number;
  #lastTimeNs: number;
  /** Bit per direction. */
  #ended = 0;

  constructor(kind: StreamKind, timeNs: number, headTimeNs: number) {
    this.kind = kind;
    this.#timeNs = timeNs;
    this.#lastTimeNs = headTimeNs;
  }

  get isTunnel(): boolean {
    return this.kind !== 'sse';
  }

  moved(timeNs: number): void {
    this.#lastTimeNs = Math.max(this.#lastTimeNs, timeNs);
  }

  /** One direction is over. True: now both are. */
  ended(direction: number, timeNs: number): boolean {
    this.moved(timeNs);
    this.#ended |= 1 << direction;
    return this.#ended === 3;
  }

  /** The connection is gone at `timeNs`: that ends a stream which nobody has ended before. */
  endNs(timeNs: number): number {
    return this.#ended === 0 ? timeNs : this.#lastTimeNs;
  }

  tell(sink: TransactionSink, connection: ConnectionInfo, role: Role, endNs: number): void {
    const durationNs = Math.max(0, endNs - this.#timeNs);
    sink.stream?.({ connection, owner: connection.owner, role, kind: this.kind, timeNs: this.#timeNs, durationNs });
  }
}
