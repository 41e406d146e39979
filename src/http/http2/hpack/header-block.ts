/** What one header block (RFC 9113 section 4.3) says, as far as it matters and is certain. */

import { TraceHeaders } from '../../trace-headers.ts';
import {
  factName,
  factValue,
  LAST_PSEUDO,
  LAST_REQUEST_PSEUDO,
  NAME_BAD,
  NAME_CONTENT_TYPE,
  NAME_GRPC_STATUS,
  NAME_METHOD,
  NAME_OTHER,
  NAME_PATH,
  NAME_PROTOCOL,
  NAME_REQUEST,
  NAME_STATUS,
  NAME_TRACE,
  NAME_UNKNOWN,
} from './fields.ts';

/** There is no such field, as far as is known. */
export const ABSENT = -1;

export class HeaderBlock {
  /** An index in METHODS. */
  method = ABSENT;
  status = ABSENT;
  /** One of CONTENT_TYPE_. */
  contentType = ABSENT;
  /** A number of GRPC_CODES. */
  grpcStatus = ABSENT;
  /** Of an extended CONNECT; 1: WebSocket. */
  protocol = ABSENT;
  pathSeen = false;
  /** Only one that may be that of a gRPC call. */
  path: string | undefined;
  /** It has a pseudo-header of a request. */
  isRequest = false;
  /** Names of some fields are not known, so what is absent may be among them. */
  uncertain = false;
  /** The first field is such a one. In a response that is the place of `:status`. */
  firstUncertain = false;
  /** False: no endpoint may send it (RFC 9113 section 8.3). */
  valid = true;
  fields = 0;
  /** Of a request. */
  readonly trace = new TraceHeaders();
  #regular = false;

  reset(): void {
    this.method = ABSENT;
    this.status = ABSENT;
    this.contentType = ABSENT;
    this.grpcStatus = ABSENT;
    this.protocol = ABSENT;
    this.pathSeen = false;
    this.path = undefined;
    this.isRequest = false;
    this.uncertain = false;
    this.firstUncertain = false;
    this.valid = true;
    this.fields = 0;
    this.trace.reset();
    this.#regular = false;
  }

  /** Fields that follow cannot be read. */
  cutShort(): void {
    if (this.fields === 0) this.firstUncertain = true;
    this.uncertain = true;
  }

  /** `text`: where hasText(). */
  add(fact: number, text: string | undefined): void {
    const name = factName(fact);
    const value = factValue(fact);
    const first = this.fields++ === 0;
    if (name === NAME_OTHER || name >= NAME_TRACE) {
      if (name !== NAME_OTHER) this.trace.add(name - NAME_TRACE, text ?? '');
      this.#regular = true;
      return;
    }
    if (name <= LAST_PSEUDO) {
      // Pseudo-headers come first, each once.
      if (this.#regular) this.valid = false;
      if (name <= LAST_REQUEST_PSEUDO) this.isRequest = true;
      if (this.isRequest && (name === NAME_STATUS || this.status !== ABSENT)) this.valid = false;
    }
    switch (name) {
      case NAME_METHOD:
        if (this.method !== ABSENT) this.valid = false;
        this.method = value;
        break;
      case NAME_PATH:
        if (this.pathSeen) this.valid = false;
        this.pathSeen = true;
        this.path = text;
        break;
      case NAME_REQUEST:
        break;
      case NAME_PROTOCOL:
        this.protocol = value;
        break;
      case NAME_STATUS:
        if (this.status !== ABSENT) this.valid = false;
        this.status = value;
        break;
      case NAME_CONTENT_TYPE:
        this.contentType = value;
        this.#regular = true;
        break;
      case NAME_GRPC_STATUS:
        this.grpcStatus = value;
        this.#regular = true;
        break;
      case NAME_UNKNOWN:
        this.uncertain = true;
        if (first) this.firstUncertain = true;
        break;
      case NAME_BAD:
        this.valid = false;
        break;
    }
  }
}
