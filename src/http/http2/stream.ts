/** What is kept of a request whose response is not over. Records are used again: a request allocates none. */

import type { IncompleteReason, StreamKind, TraceContext } from '../../stream/contract.ts';
import { MessageCounter } from './message-counter.ts';

/** An index in METHODS stands for the method; this for one that was not seen. */
export const METHOD_UNKNOWN = -1;

/** No response head has been seen. */
export const STATUS_NONE = -1;

/** `RequestStream.is`, bits. */
export const IS_ORPHAN = 1;
export const IS_REQUEST_ENDED = 2;
export const IS_GRPC = 4;
/** More than a question and an answer, for what is gRPC. */
export const IS_STREAMING = 8;
export const IS_WEBSOCKET = 16;

export class RequestStream {
  id = 0;
  /** First byte of the request. */
  timeNs = 0;
  method = METHOD_UNKNOWN;
  /** STATUS_NONE, UNKNOWN_STATUS or a final status. */
  status = STATUS_NONE;
  is = 0;
  /** Chunk with the end of the response head. */
  headTimeNs = 0;
  /** Of the request, if it may be that of a gRPC call. */
  path: string | undefined;
  pathSeen = false;
  grpcStatus = -1;
  trace: TraceContext | undefined;
  /** It has become a stream, and its request is counted. */
  kind: StreamKind | undefined;
  /** Why its response may have been missed. */
  doubt: IncompleteReason | undefined;
  /** Of a gRPC call. */
  readonly sent = new MessageCounter();
  readonly received = new MessageCounter();

  begin(id: number, timeNs: number, is: number): void {
    this.id = id;
    this.timeNs = timeNs;
    this.method = METHOD_UNKNOWN;
    this.status = STATUS_NONE;
    this.is = is;
    this.headTimeNs = 0;
    this.path = undefined;
    this.pathSeen = false;
    this.grpcStatus = -1;
    this.trace = undefined;
    this.kind = undefined;
    this.doubt = undefined;
    this.sent.reset();
    this.received.reset();
  }
}

/** More than are open at most times; the rest is left to the garbage collector. */
const MAX_SPARE = 1024;
const spare: RequestStream[] = [];

export function takeStream(): RequestStream {
  return spare.pop() ?? new RequestStream();
}

export function giveBack(stream: RequestStream): void {
  if (spare.length < MAX_SPARE) spare.push(stream);
}
