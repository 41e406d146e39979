/**
 * One HTTP/1.x connection: pairs the responses of one direction with the requests of the other, first in, first out.
 *
 * Which direction carries requests is learnt from the first start line, and unlearnt when a start line contradicts it
 * before the first transaction: a body that was joined midway can look like anything.
 *
 * A response pairs with the oldest outstanding request, as far as the order can be relied on (order.ts).
 *
 * A response whose framing a gap has hidden ends where body.ts says, or where the next response begins if one more request
 * has started (a client that does not pipeline has by then read it all). Gaps inside a body of known framing lose
 * nothing. No status, method or time is ever guessed; times are those of the chunks that held the first and the last byte.
 *
 * A request may become a stream (open-stream.ts), or a connection of HTTP/2 that another session reads from then on.
 *
 * Memory is constant but for the outstanding requests: at most 1024.
 */

import type {
  CloseKind,
  ConnectionInfo,
  Direction,
  GapCause,
  IncompleteReason,
  Session,
  TransactionSink,
} from '../../stream/contract.ts';
import { EGRESS, INGRESS } from '../../stream/contract.ts';
import { openUpgraded } from '../http2/protocol.ts';
import { BODY_LOST, BODY_NONE, BODY_UNTIL_CLOSE } from './body.ts';
import { EarlyResponse } from './early-response.ts';
import { requestBody, responseBody } from './framing.ts';
import type { HeadParser, HeadParserPool } from './head-parser.ts';
import { CODING_OTHER, UPGRADE_H2C, UPGRADE_WEBSOCKET } from './head-parser.ts';
import type { Breakage, MessageEvents } from './message-reader.ts';
import { MessageReader, READER_BODY, READER_HEAD, READER_START } from './message-reader.ts';
import { METHOD_CONNECT, METHOD_HEAD, METHOD_OTHER } from './methods.ts';
import { OpenStream } from './open-stream.ts';
import { Order } from './order.ts';
import { RequestQueue } from './request-queue.ts';
import { KIND_ANY, KIND_REQUEST, KIND_RESPONSE } from './start-line.ts';
import { Teller } from './teller.ts';
import type { ByteTrace } from './trace.ts';

/** What the message of the response direction is to us. */
const ANSWER_NONE = 0;
/** It answers the oldest outstanding request. */
const ANSWER_PAIRED = 1;
/** 1xx: another response follows (RFC 9110 section 15.2). */
const ANSWER_INTERIM = 2;
/** Its request is not known. */
const ANSWER_STRAY = 3;

export class Http1Session implements Session, MessageEvents {
  readonly #told: Teller;
  readonly #ingress: MessageReader;
  readonly #egress: MessageReader;
  readonly #queue = new RequestQueue();
  readonly #order = new Order();
  readonly #early = new EarlyResponse();
  #requests: MessageReader | undefined;
  #responses: MessageReader | undefined;
  /** A transaction was seen: the directions are certain. */
  #proven = false;
  #answer = ANSWER_NONE;
  #status = 0;
  #lostCause: GapCause = 'lost';
  #requestEndNs = 0;
  /** A response of events answers the oldest outstanding request; a tunnel has outlived its request. */
  #stream: OpenStream | undefined;
  /** The connection speaks HTTP/2 now. */
  #upgraded: Session | undefined;

  constructor(connection: ConnectionInfo, sink: TransactionSink, pool: HeadParserPool) {
    this.#told = new Teller(connection, sink);
    this.#ingress = new MessageReader(INGRESS, KIND_ANY, this, pool);
    this.#egress = new MessageReader(EGRESS, KIND_ANY, this, pool);
  }

  /** Has what each byte is taken for told from now on. */
  watch(ingress: ByteTrace, egress: ByteTrace): void {
    this.#ingress.trace = ingress;
    this.#egress.trace = egress;
  }

  data(direction: Direction, timeNs: number, bytes: Uint8Array, start: number, end: number): void {
    this.#stream?.moved(timeNs);
    let at = start;
    if (this.#upgraded === undefined) {
      at = (direction === INGRESS ? this.#ingress : this.#egress).data(timeNs, bytes, start, end);
    }
    // What follows the head that has switched protocols.
    if (at < end) this.#upgraded?.data(direction, timeNs, bytes, at, end);
  }

  gap(direction: Direction, timeNs: number, lengthBytes: number, cause: GapCause): void {
    this.#stream?.moved(timeNs);
    if (this.#upgraded !== undefined) this.#upgraded.gap(direction, timeNs, lengthBytes, cause);
    else (direction === INGRESS ? this.#ingress : this.#egress).gap(timeNs, lengthBytes, cause);
  }

  end(direction: Direction, timeNs: number): void {
    if (this.#upgraded !== undefined) {
      this.#upgraded.end(direction, timeNs);
      return;
    }
    if (this.#stream?.isTunnel === true) {
      if (this.#stream.ended(direction, timeNs)) this.#tellStream(timeNs);
      return;
    }
    const reader = direction === INGRESS ? this.#ingress : this.#egress;
    if (reader === this.#responses) this.#finish(timeNs, 'closed', true);
    else if (reader.inHead) this.#told.incomplete('closed');
    reader.becomeOpaque();
  }

  close(timeNs: number, kind: CloseKind | 'evicted'): void {
    this.#upgraded?.close(timeNs, kind);
    const reason = kind === 'orderly' ? 'closed' : kind;
    if (this.#requests?.inHead) this.#told.incomplete(reason);
    this.#finish(timeNs, reason, kind === 'orderly');
    this.#ingress.becomeOpaque();
    this.#egress.becomeOpaque();
  }

  startLine(reader: MessageReader, parser: HeadParser): boolean {
    const isRequest = parser.startLine.kind === KIND_REQUEST;
    const requests = isRequest === (reader === this.#ingress) ? this.#ingress : this.#egress;
    if (requests !== this.#requests) {
      if (this.#proven) return false;
      this.#learn(requests, reader);
    }
    if (isRequest) this.#requestStarts();
    return true;
  }

  head(reader: MessageReader, parser: HeadParser): void {
    if (reader === this.#requests) this.#requestHead(reader, parser);
    else this.#responseHead(reader, parser);
  }

  message(reader: MessageReader): void {
    if (reader === this.#requests) {
      this.#requestEndNs = reader.lastTimeNs;
      return;
    }
    const answer = this.#answer;
    this.#answer = ANSWER_NONE;
    if (answer === ANSWER_PAIRED) this.#complete(reader.lastTimeNs);
    if (answer !== ANSWER_STRAY) return;
    this.#order.owed = false;
    this.#early.endNs = reader.lastTimeNs;
  }

  endHidden(reader: MessageReader): void {
    if (reader === this.#requests) return;
    if (this.#answer === ANSWER_PAIRED) {
      this.#queue.shift();
      this.#stream = undefined;
      this.#told.incomplete('lost');
    } else if (this.#answer === ANSWER_STRAY) {
      this.#order.owed = false;
    }
    this.#answer = ANSWER_NONE;
  }

  broken(reader: MessageReader, cause: Breakage, inHead: boolean): void {
    if (reader === this.#responses) {
      // Bytes after the last response that are none: nothing was owed, nothing is lost.
      if (cause === 'malformed' && this.#queue.count === 0) this.#answer = ANSWER_NONE;
      else this.#dropOutstanding(cause);
      return;
    }
    if (inHead) this.#told.incomplete(cause);
    if (reader !== this.#requests) return;
    // A chunk goes on behind a request that has no response yet.
    if (cause === 'truncated' && !inHead && this.#queue.count > 0) this.#order.pipelined = true;
    this.#hideRequests(cause);
  }

  framingLost(reader: MessageReader, cause: GapCause): void {
    if (reader !== this.#responses) {
      if (cause === 'lost') this.#hideRequests(cause);
      return;
    }
    if (cause === 'lost' || this.#queue.count > 1) {
      this.#dropOutstanding(cause);
      reader.rejoin();
    } else {
      this.#lostCause = cause;
    }
  }

  isOver(reader: MessageReader, begins: boolean): boolean {
    if (reader === this.#requests) return this.#queue.count === 0;
    if (this.#answer === ANSWER_STRAY) {
      if (this.#queue.count === 0) return false;
      this.#order.owed = false;
    } else if (this.#queue.count < 2) {
      return false;
    } else if (begins) {
      this.#complete(reader.lastTimeNs);
    } else {
      this.#order.pipelined = true;
      this.#dropOutstanding(this.#lostCause);
    }
    this.#answer = ANSWER_NONE;
    return true;
  }

  #learn(requests: MessageReader, reader: MessageReader): void {
    const relearnt = this.#requests !== undefined;
    if (relearnt) {
      this.#dropOutstanding('malformed');
      this.#order.reset();
    }
    this.#requests = requests;
    this.#responses = requests === this.#ingress ? this.#egress : this.#ingress;
    this.#told.role = requests === this.#ingress ? 'server' : 'client';
    if (relearnt) (reader === this.#ingress ? this.#egress : this.#ingress).rejoin();
  }

  /** A response that answers nobody knows what is over when the next request starts. */
  #requestStarts(): void {
    const responses = this.#responses!;
    if (responses.state !== READER_BODY || this.#early.status !== 0) return;
    const lost = responses.body.kind === BODY_LOST;
    if (this.#answer === ANSWER_STRAY) this.#order.owed = false;
    else if (!lost || (this.#queue.count < 2 && !this.#order.pipelined)) return;
    else this.#dropOutstanding(this.#lostCause);
    if (!lost) return;
    this.#answer = ANSWER_NONE;
    responses.rejoin();
  }

  /** RFC 9112 section 6.3, rules 3 to 7 for requests. */
  #requestHead(reader: MessageReader, parser: HeadParser): void {
    if (parser.coding === CODING_OTHER) {
      // Rule 4: the length cannot be known, and a server must refuse the request.
      this.#told.incomplete('malformed');
      this.#hideRequests('malformed');
      reader.rejoin();
      return;
    }
    const taken = this.#enqueue(reader, parser);
    if (parser.startLine.method === METHOD_CONNECT) {
      if (taken) reader.wait();
      else reader.rejoin();
    } else {
      reader.startBody(requestBody(parser), parser.contentLength);
    }
  }

  /** False: its response will not be known, and it has been counted. */
  #enqueue(reader: MessageReader, { startLine, trace }: HeadParser): boolean {
    const queue = this.#queue;
    const order = this.#order;
    const afterOrphan = order.orphanSince;
    order.orphanSince = false;
    if (order.answered) {
      order.answered = false;
      return false;
    }
    const early = this.#early.take();
    if (early > 0 && startLine.method === METHOD_CONNECT) {
      this.#told.incomplete('orphan');
      return false;
    }
    if (early > 0) {
      queue.push(Math.min(reader.startTimeNs, this.#early.startNs), startLine, false, trace.context);
      this.#answerEarly(early, startLine.method);
      return true;
    }
    if (order.unsure !== undefined) {
      if (queue.count > 0 || !order.isClean(this.#responses!)) {
        this.#told.incomplete(order.unsure);
        return false;
      }
      order.unsure = undefined;
    }
    if (queue.count > 0 && reader.startTimeNs === this.#requestEndNs) order.pipelined = true;
    if (queue.count === 1 && queue.afterOrphan && this.#answer === ANSWER_NONE) {
      this.#dropOutstanding('lost');
      this.#told.incomplete('lost');
      order.owed = true;
      return false;
    }
    if (queue.full) {
      this.#told.incomplete('pipeline');
      order.unsure = 'pipeline';
      order.pipelined = true;
      return false;
    }
    queue.push(reader.startTimeNs, startLine, afterOrphan, trace.context);
    return true;
  }

  /** The request at the head of the queue has its response, whole or its beginning. */
  #answerEarly(status: number, method: number): void {
    const responses = this.#responses!;
    this.#status = status;
    if (this.#answer === ANSWER_STRAY && method !== METHOD_HEAD) {
      this.#answer = ANSWER_PAIRED;
      responses.uncertain = false;
      return;
    }
    // What was taken for the body of an answer to HEAD is none.
    if (this.#answer === ANSWER_STRAY) responses.rejoin();
    this.#answer = ANSWER_NONE;
    this.#complete(this.#early.endNs || responses.lastTimeNs);
  }

  /** RFC 9112 section 6.3, rules 1 to 5 and 8 for responses. */
  #responseHead(reader: MessageReader, parser: HeadParser): void {
    const { status } = parser.startLine;
    if (status < 200 && status !== 101) {
      this.#answer = ANSWER_INTERIM;
      reader.startBody(BODY_NONE, 0);
      return;
    }
    let method = METHOD_OTHER;
    if (this.#queue.count > 0) {
      this.#answer = ANSWER_PAIRED;
      this.#status = status;
      method = this.#queue.method;
    } else {
      this.#stray(reader, status !== 101 && !parser.isEventStream ? status : 0);
    }
    const tunnel = method === METHOD_CONNECT && status >= 200 && status < 300;
    if (status === 101 || tunnel) {
      this.#switchProtocol(reader, tunnel ? 0 : parser.upgrade);
      return;
    }
    if (method === METHOD_CONNECT) this.#requests!.rejoin();
    reader.startBody(responseBody(parser, method, status), parser.contentLength);
    const hasEvents = parser.isEventStream && status < 300 && !reader.body.done;
    if (hasEvents && this.#answer === ANSWER_PAIRED) this.#becomeStream('sse', reader.lastTimeNs);
  }

  /** Behind this head there is no HTTP/1 any more, in either direction. */
  #switchProtocol(reader: MessageReader, upgrade: number): void {
    const queue = this.#queue;
    if (this.#answer === ANSWER_PAIRED) {
      const { direction, state } = this.#requests!;
      if (upgrade === UPGRADE_H2C && state === READER_START) {
        const request = { direction, timeNs: queue.timeNs, method: queue.method };
        this.#upgraded = openUpgraded(this.#told.connection, this.#told.sink, request);
      } else {
        this.#becomeStream(upgrade === UPGRADE_WEBSOCKET ? 'websocket' : 'connect', reader.lastTimeNs);
      }
      queue.shift();
    }
    this.#answer = ANSWER_NONE;
    this.#ingress.becomeOpaque();
    this.#egress.becomeOpaque();
  }

  /** The set-up is over, and so is what counts as the request. */
  #becomeStream(kind: OpenStream['kind'], headTimeNs: number): void {
    this.#stream = new OpenStream(kind, this.#queue.timeNs, headTimeNs);
    this.#tell(headTimeNs);
  }

  #tellStream(endNs: number): void {
    if (this.#stream !== undefined) this.#told.stream(this.#stream, endNs);
    this.#stream = undefined;
  }

  /** `status`: 0 where it cannot be kept for its request. */
  #stray(reader: MessageReader, status: number): void {
    this.#answer = ANSWER_STRAY;
    reader.uncertain = true;
    if (this.#order.unsure !== undefined) {
      this.#order.orphanSince = true;
      return;
    }
    const inOrder = this.#proven || this.#requests!.state === READER_HEAD;
    const isKept = inOrder && !this.#order.answered && status > 0 && this.#told.connection.scheme === 'http';
    if (isKept && this.#early.keep(status, reader.startTimeNs)) return;
    this.#dropEarly();
    this.#order.orphanSince = true;
    this.#told.incomplete('orphan');
    this.#order.answered = inOrder;
  }

  /** Its request does not come. */
  #dropEarly(): void {
    if (this.#early.take() === 0) return;
    this.#order.orphanSince = true;
    this.#told.incomplete('orphan');
  }

  #complete(endNs: number): void {
    const queue = this.#queue;
    if (queue.count > 1 && queue.secondTimeNs <= this.#responses!.startTimeNs) this.#order.pipelined = true;
    if (this.#stream === undefined) this.#tell(endNs);
    else this.#tellStream(endNs);
    queue.shift();
  }

  /** Of the oldest outstanding request. */
  #tell(endNs: number): void {
    if (!this.#proven) {
      this.#proven = true;
      this.#requests!.expectedKind = KIND_REQUEST;
      this.#responses!.expectedKind = KIND_RESPONSE;
    }
    this.#told.transaction(this.#queue, this.#status, endNs);
  }

  /** No response comes any more. */
  #finish(timeNs: number, reason: IncompleteReason, orderly: boolean): void {
    const responses = this.#responses;
    if (this.#answer === ANSWER_PAIRED && responses?.state === READER_BODY && orderly) {
      if (responses.body.kind === BODY_UNTIL_CLOSE) {
        this.#complete(responses.lastTimeNs);
      } else if (responses.body.kind === BODY_LOST && this.#stream === undefined) {
        this.#queue.shift();
        this.#told.incomplete(this.#lostCause);
      }
    }
    const stream = this.#stream;
    if (stream !== undefined) {
      if (!stream.isTunnel) this.#queue.shift();
      if (reason === 'closed' || reason === 'reset') this.#tellStream(stream.endNs(timeNs));
      else this.#told.incomplete(reason);
    }
    this.#giveUp(reason);
  }

  #giveUp(reason: IncompleteReason): void {
    this.#dropEarly();
    for (let i = this.#queue.count; i > 0; i--) this.#told.incomplete(reason);
    this.#queue.clear();
    this.#stream = undefined;
    this.#answer = ANSWER_NONE;
  }

  /** Rule 1. */
  #dropOutstanding(reason: IncompleteReason): void {
    this.#giveUp(reason);
    this.#order.unsure = reason;
  }

  /** Rule 2. */
  #hideRequests(reason: IncompleteReason): void {
    this.#dropEarly();
    this.#order.hideRequests(reason);
  }
}
