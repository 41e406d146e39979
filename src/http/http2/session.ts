/**
 * One HTTP/2 connection: pairs responses with requests by their stream (RFC 9113 section 8.1).
 *
 * Which direction carries requests the client's preface tells, after a join the pseudo-headers of the first header block
 * that is certain.
 *
 *  - A request lasts from the chunk with the first byte of its HEADERS to the one with the last byte of the frame that ends
 *    the response. Interim responses end nothing.
 *  - What a join or a gap has hidden is `unknown`, never guessed: a method or status that stands in an unknown entry of the
 *    dynamic table. A header block without a pseudo-header of a request begins none, unless it has unknown fields
 *    and a stream that is newer than one whose request was seen: ids only grow.
 *  - A stream that was open while frames may have been hidden goes on; if its end is never seen it is counted incomplete
 *    for that reason, when the connection ends or 4096 newer ones are open.
 *  - A pushed response answers a request that no client made: PUSH_PROMISE is read for the dynamic table, and neither it nor
 *    its stream is counted.
 *  - A response becomes a stream with its head: `text/event-stream`, CONNECT (RFC 9113 section 8.5), WebSocket (RFC 8441).
 *    A gRPC call does when more than one message is proven in one direction (message-counter.ts) or when response
 *    messages come before the request has ended; one for which neither can be seen counts as a unary call.
 *  - GOAWAY: requests above its last stream get no response, they are counted `closed`.
 *
 * Memory: two readers, and at most MAX_STREAMS requests.
 */

import type {
  CloseKind,
  ConnectionInfo,
  Direction,
  GapCause,
  GrpcCall,
  IncompleteReason,
  Role,
  Session,
  StreamKind,
  TransactionSink,
} from '../../stream/contract.ts';
import { EGRESS, INGRESS, UNKNOWN_STATUS } from '../../stream/contract.ts';
import { GRPC_CODES } from '../grpc/codes.ts';
import { grpcMethodName, OTHER_GRPC_METHOD, UNKNOWN_GRPC_METHOD } from '../grpc/method-name.ts';
import { METHOD_CONNECT, METHODS } from '../http1/methods.ts';
import type { Breakage, FrameEvents } from './frame-reader.ts';
import { FrameReader, READER_JOIN, READER_OPAQUE, READER_PREFACE, READER_START } from './frame-reader.ts';
import { CONTENT_TYPE_EVENTS, CONTENT_TYPE_GRPC } from './hpack/fields.ts';
import type { HeaderBlock } from './hpack/header-block.ts';
import { ABSENT } from './hpack/header-block.ts';
import type { MessageCounter } from './message-counter.ts';
import {
  giveBack,
  IS_GRPC,
  IS_ORPHAN,
  IS_REQUEST_ENDED,
  IS_STREAMING,
  IS_WEBSOCKET,
  METHOD_UNKNOWN,
  type RequestStream,
  STATUS_NONE,
  takeStream,
} from './stream.ts';

/** Open requests of one connection. Servers allow 100 to 1000. */
export const MAX_STREAMS = 4096;

const MAX_STATUS = 599;
const UNKNOWN = 'unknown';

/** A connection that an HTTP/1.1 request has upgraded (RFC 7540 section 3.2): it is answered on stream 1. */
export interface UpgradedRequest {
  /** The direction of the request. */
  readonly direction: Direction;
  readonly timeNs: number;
  /** An index in METHODS. */
  readonly method: number;
}

export class Http2Session implements Session, FrameEvents {
  readonly #connection: ConnectionInfo;
  readonly #sink: TransactionSink;
  readonly #ingress = new FrameReader(INGRESS, this);
  readonly #egress = new FrameReader(EGRESS, this);
  readonly #streams = new Map<number, RequestStream>();
  #isUpgraded = false;
  #requests: FrameReader | undefined;
  #responses: FrameReader | undefined;
  /** A transaction was seen: the directions are certain. */
  #proven = false;
  /** The newest stream of which anything is known. */
  #newest = 0;
  /** The newest stream whose request was seen; 0: none. */
  #newestRequest = 0;
  /** Between these two, streams may be open whose request was not seen. */
  #hiddenAfter = 0;
  #hiddenBefore = Number.POSITIVE_INFINITY;
  /** Requests above it are not answered. */
  #lastStream = Number.POSITIVE_INFINITY;

  constructor(connection: ConnectionInfo, sink: TransactionSink, upgraded?: UpgradedRequest) {
    this.#connection = connection;
    this.#sink = sink;
    if (upgraded !== undefined) this.#upgrade(upgraded);
  }

  /** A join that nothing has come of. */
  get isMistaken(): boolean {
    if (this.#proven || this.#streams.size > 0) return false;
    return this.#ingress.state === READER_JOIN && this.#egress.state === READER_JOIN;
  }

  data(direction: Direction, timeNs: number, bytes: Uint8Array, start: number, end: number): void {
    (direction === INGRESS ? this.#ingress : this.#egress).data(timeNs, bytes, start, end);
  }

  gap(direction: Direction, timeNs: number, lengthBytes: number, cause: GapCause): void {
    (direction === INGRESS ? this.#ingress : this.#egress).gap(timeNs, lengthBytes, cause);
  }

  end(direction: Direction, timeNs: number): void {
    const reader = direction === INGRESS ? this.#ingress : this.#egress;
    if (reader === this.#responses) this.#finishAll(timeNs, 'closed');
    reader.becomeOpaque();
  }

  close(timeNs: number, kind: CloseKind | 'evicted'): void {
    this.#finishAll(timeNs, kind === 'orderly' ? 'closed' : kind);
    this.#ingress.becomeOpaque();
    this.#egress.becomeOpaque();
  }

  preface(reader: FrameReader): void {
    const other = reader === this.#ingress ? this.#egress : this.#ingress;
    this.#learn(reader);
    this.#hiddenAfter = 0;
    this.#hiddenBefore = 0;
    reader.trust();
    // The server's SETTINGS may have come first; a header block cannot have.
    if (other.hasBlocks) return;
    if (other.state === READER_JOIN) other.start(READER_START);
    other.trust();
    if (!other.hasSettings) other.certain = false;
    this.settings(reader);
  }

  headers(reader: FrameReader, cause: GapCause | undefined): void {
    const { block } = reader.decoder;
    if (cause !== undefined) block.uncertain = true;
    const id = reader.streamId;
    // Streams with even ids are the server's own.
    if (reader.isPromise || id % 2 === 0) return;
    const { isRequest } = block;
    if (isRequest || block.status !== ABSENT) {
      const requests = isRequest === (reader === this.#ingress) ? this.#ingress : this.#egress;
      const known = this.#proven || this.#ingress.certain || this.#egress.certain;
      if ((requests !== this.#requests && known) || (!block.valid && !reader.certain)) {
        reader.fail();
        return;
      }
      if (requests !== this.#requests) this.#learn(requests);
    }
    if (reader === this.#requests) this.#requestHead(reader, block, id);
    else if (reader === this.#responses) this.#responseHead(reader, block, id);
  }

  messages(reader: FrameReader, payloadBytes: number): MessageCounter | undefined {
    const stream = this.#streams.get(reader.streamId);
    if (stream === undefined || (stream.is & IS_GRPC) === 0) return undefined;
    const isResponse = reader === this.#responses;
    const counter = isResponse ? stream.received : stream.sent;
    counter.add(payloadBytes);
    // A unary call is answered when all of it is there. Where frames were missed, its end may be among them.
    const early = isResponse && payloadBytes > 0 && (stream.is & IS_REQUEST_ENDED) === 0 && stream.doubt === undefined;
    if (early && stream.status !== STATUS_NONE) stream.is |= IS_STREAMING;
    this.#judgeCall(stream);
    return counter;
  }

  streamEnd(reader: FrameReader, hidden: boolean): void {
    const stream = this.#streams.get(reader.streamId);
    if (stream === undefined) return;
    if (reader === this.#requests) {
      stream.is |= IS_REQUEST_ENDED;
      return;
    }
    this.#streams.delete(stream.id);
    if ((stream.is & IS_ORPHAN) === 0) {
      if (hidden) this.#incomplete('lost');
      else this.#finish(stream, reader.timeNs);
    }
    giveBack(stream);
  }

  reset(reader: FrameReader): void {
    const stream = this.#streams.get(reader.streamId);
    if (stream === undefined) return;
    this.#streams.delete(stream.id);
    this.#cutOff(stream, reader.timeNs, 'reset');
  }

  goaway(reader: FrameReader, lastStreamId: number): void {
    if (reader !== this.#responses) return;
    this.#lastStream = Math.min(this.#lastStream, lastStreamId);
    for (const stream of this.#streams.values()) {
      if (stream.id <= lastStreamId) continue;
      this.#streams.delete(stream.id);
      this.#cutOff(stream, reader.timeNs, 'closed');
    }
  }

  setting(reader: FrameReader, id: number, value: number): void {
    (reader === this.#ingress ? this.#egress : this.#ingress).allow(id, value);
  }

  settings(_reader: FrameReader): void {
    for (const [sender, receiver] of [
      [this.#ingress, this.#egress],
      [this.#egress, this.#ingress],
    ] as const) {
      const hasMore = this.#isUpgraded && sender === this.#responses;
      sender.bind(receiver.certain && receiver.hasSettings && !hasMore);
    }
  }

  broken(reader: FrameReader, cause: Breakage): void {
    this.settings(reader);
    if (reader.state === READER_OPAQUE) {
      if (this.#streams.size === 0) this.#incomplete(cause);
      this.#finishAll(reader.timeNs, cause);
      this.#ingress.becomeOpaque();
      this.#egress.becomeOpaque();
      return;
    }
    const isRequests = reader === this.#requests;
    for (const stream of this.#streams.values()) {
      stream.doubt ??= cause;
      (isRequests ? stream.sent : stream.received).hide();
    }
    if (!isRequests) return;
    this.#hiddenAfter = this.#newest;
    this.#hiddenBefore = Number.POSITIVE_INFINITY;
  }

  #upgrade({ direction, timeNs, method }: UpgradedRequest): void {
    const requests = direction === INGRESS ? this.#ingress : this.#egress;
    this.#learn(requests);
    requests.start(READER_PREFACE);
    this.#responses!.start(READER_START);
    this.#responses!.trust();
    // The client's first settings are in a header of the request (RFC 7540 section 3.2.1).
    this.#isUpgraded = true;
    this.#hiddenBefore = 0;
    this.#newest = 1;
    this.#newestRequest = 1;
    const stream = takeStream();
    stream.begin(1, timeNs, IS_REQUEST_ENDED);
    stream.method = method;
    this.#streams.set(1, stream);
    this.settings(requests);
  }

  #learn(requests: FrameReader): void {
    if (this.#requests !== undefined && this.#requests !== requests) this.#finishAll(requests.timeNs, 'malformed');
    this.#requests = requests;
    this.#responses = requests === this.#ingress ? this.#egress : this.#ingress;
  }

  #requestHead(reader: FrameReader, block: HeaderBlock, id: number): void {
    // Trailers, of a stream that is open or one that is over.
    if (id <= this.#newest) return;
    const begun = block.isRequest || (block.uncertain && this.#newestRequest > 0) || reader.certain;
    if (!begun) return;
    this.#newest = id;
    this.#newestRequest = id;
    if (this.#hiddenBefore === Number.POSITIVE_INFINITY) this.#hiddenBefore = id;
    if (!block.valid || (block.method === ABSENT && !block.uncertain)) {
      this.#incomplete('malformed');
      return;
    }
    if (id > this.#lastStream) {
      this.#incomplete('closed');
      return;
    }
    const stream = this.#add(id, reader.startTimeNs, block.contentType === CONTENT_TYPE_GRPC ? IS_GRPC : 0);
    stream.method = block.method === ABSENT ? METHOD_UNKNOWN : block.method;
    stream.path = block.path;
    stream.pathSeen = block.pathSeen;
    stream.trace = block.trace.context;
    if (block.protocol === 1) stream.is |= IS_WEBSOCKET;
    if (this.#responses!.inStep) return;
    stream.doubt = 'lost';
    stream.received.hide();
  }

  #responseHead(reader: FrameReader, block: HeaderBlock, id: number): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      const hidden = id > this.#newest || (id > this.#hiddenAfter && id < this.#hiddenBefore);
      if (!hidden || block.status === ABSENT) return;
      this.#incomplete('orphan');
      this.#newest = Math.max(this.#newest, id);
      if (!reader.endsStream) this.#add(id, reader.startTimeNs, IS_ORPHAN);
      return;
    }
    if ((stream.is & IS_ORPHAN) !== 0) return;
    const { status } = block;
    const isInterim = status >= 100 && status < 200;
    const isFinal = status !== ABSENT && !isInterim;
    const isTwice = isFinal && stream.status > UNKNOWN_STATUS;
    if (
      !block.valid ||
      isTwice ||
      (isFinal && (status < 200 || status > MAX_STATUS)) ||
      (isInterim && reader.endsStream)
    ) {
      this.#streams.delete(id);
      this.#cutOff(stream, reader.timeNs, 'malformed');
      return;
    }
    if (block.grpcStatus !== ABSENT) stream.grpcStatus = block.grpcStatus;
    if (block.contentType === CONTENT_TYPE_GRPC && (stream.is & IS_GRPC) === 0) {
      stream.is |= IS_GRPC;
      stream.sent.hide();
    }
    const isHead = isFinal || (block.firstUncertain && stream.status === STATUS_NONE);
    if (!isHead) return;
    stream.status = isFinal ? status : UNKNOWN_STATUS;
    stream.headTimeNs = reader.timeNs;
    if (!reader.endsStream) this.#judgeHead(stream, block);
  }

  /** A response head came, and more is to follow. */
  #judgeHead(stream: RequestStream, block: HeaderBlock): void {
    const isGood = stream.status === UNKNOWN_STATUS || stream.status < 300;
    if (isGood && stream.method === METHOD_CONNECT) {
      this.#becomeStream(stream, (stream.is & IS_WEBSOCKET) !== 0 ? 'websocket' : 'connect');
    } else if (isGood && block.contentType === CONTENT_TYPE_EVENTS) {
      this.#becomeStream(stream, 'sse');
    } else {
      this.#judgeCall(stream);
    }
  }

  /** Is a gRPC call a stream? From the response head on its set-up is known. */
  #judgeCall(stream: RequestStream): void {
    if ((stream.is & IS_GRPC) === 0 || stream.kind !== undefined) return;
    if (stream.sent.isMany || stream.received.isMany) stream.is |= IS_STREAMING;
    if ((stream.is & IS_STREAMING) !== 0 && stream.status !== STATUS_NONE) this.#becomeStream(stream, 'grpc');
  }

  #becomeStream(stream: RequestStream, kind: StreamKind): void {
    if (stream.kind !== undefined) return;
    stream.kind = kind;
    this.#tell(stream, stream.headTimeNs, undefined);
  }

  /** The last byte of the response was seen. */
  #finish(stream: RequestStream, timeNs: number): void {
    this.#judgeCall(stream);
    if (stream.kind !== undefined) this.#tellStream(stream, timeNs);
    else if (stream.status === STATUS_NONE) this.#incomplete(stream.doubt ?? 'malformed');
    // Where frames were missed, nobody can tell a unary call from a stream.
    else if (stream.doubt !== undefined && (stream.is & IS_GRPC) !== 0) this.#incomplete(stream.doubt);
    else this.#tell(stream, timeNs, (stream.is & IS_GRPC) !== 0 ? grpcCall(stream) : undefined);
  }

  /** No more of it comes. */
  #cutOff(stream: RequestStream, timeNs: number, reason: IncompleteReason): void {
    if ((stream.is & IS_ORPHAN) === 0) {
      this.#judgeCall(stream);
      if (stream.kind === undefined) this.#incomplete(stream.doubt ?? reason);
      else if (reason === 'closed' || reason === 'reset') this.#tellStream(stream, timeNs);
      else this.#incomplete(reason);
    }
    giveBack(stream);
  }

  #finishAll(timeNs: number, reason: IncompleteReason): void {
    for (const stream of this.#streams.values()) this.#cutOff(stream, timeNs, reason);
    this.#streams.clear();
  }

  #add(id: number, timeNs: number, is: number): RequestStream {
    if (this.#streams.size >= MAX_STREAMS) this.#evictOldest();
    const stream = takeStream();
    stream.begin(id, timeNs, is);
    this.#streams.set(id, stream);
    return stream;
  }

  #evictOldest(): void {
    for (const stream of this.#streams.values()) {
      this.#streams.delete(stream.id);
      this.#cutOff(stream, stream.timeNs, 'evicted');
      return;
    }
  }

  #tell(stream: RequestStream, endNs: number, grpc: GrpcCall | undefined): void {
    this.#proven = true;
    this.#ingress.isProven = true;
    this.#egress.isProven = true;
    this.#sink.transaction({
      connection: this.#connection,
      owner: this.#connection.owner,
      role: this.#role() as Role,
      method: stream.method === METHOD_UNKNOWN ? UNKNOWN : METHODS[stream.method]!,
      status: stream.status,
      version: '2',
      timeNs: stream.timeNs,
      durationNs: Math.max(0, endNs - stream.timeNs),
      grpc,
      trace: stream.trace,
    });
  }

  #tellStream(stream: RequestStream, endNs: number): void {
    const hasCode = stream.kind === 'grpc' && stream.grpcStatus !== ABSENT;
    this.#sink.stream?.({
      connection: this.#connection,
      owner: this.#connection.owner,
      role: this.#role() as Role,
      kind: stream.kind!,
      timeNs: stream.timeNs,
      durationNs: Math.max(0, endNs - stream.timeNs),
      grpc: hasCode ? grpcCall(stream) : undefined,
    });
  }

  #role(): Role | 'unknown' {
    if (this.#requests === undefined) return UNKNOWN;
    return this.#requests === this.#ingress ? 'server' : 'client';
  }

  #incomplete(reason: IncompleteReason): void {
    this.#sink.incomplete(this.#connection.owner, this.#role(), reason);
  }
}

function grpcCall({ path, pathSeen, grpcStatus }: RequestStream): GrpcCall {
  const seen = pathSeen ? OTHER_GRPC_METHOD : UNKNOWN_GRPC_METHOD;
  const { service, method } = path === undefined ? seen : grpcMethodName(path);
  return { service, method, code: grpcStatus === ABSENT ? UNKNOWN : GRPC_CODES[grpcStatus]! };
}
