/**
 * The contracts of the pipeline: bytes with a clock go in (`ChunkSink`), finished HTTP transactions come out
 * (`TransactionSink`). Everything between is pure: no file system, no network, no timers, no addon.
 *
 * Times are nanoseconds of one monotonic clock as a double (exact to 1 ns up to 104 days of uptime, 2 ns beyond).
 * Bytes are views into a buffer that the caller reuses: whoever keeps bytes beyond the call copies them.
 */

/** What the traced process received. */
export const INGRESS = 0;
/** What the traced process sent. */
export const EGRESS = 1;
export type Direction = typeof INGRESS | typeof EGRESS;
export const DIRECTION_NAMES = ['ingress', 'egress'] as const;

export type Role = 'server' | 'client';
export type Scheme = 'http' | 'https';

/** The process that owns one end of a connection, with the labels its traffic is counted under. */
export interface Owner {
  readonly pid: number;
  readonly comm: string;
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly service: string;
}

/** Unique while the connection lives; a number from the kernel, a string from a capture file. */
export type ConnectionId = number | string;

export interface ConnectionInfo {
  readonly id: ConnectionId;
  /** May change while the connection lives: a socket can be handed to another process. */
  owner: Owner;
  readonly scheme: Scheme;
  /** `address:port`, `[v6]:port`; undefined where it is not proven. May be proven, or refuted, while it lives. */
  local: string | undefined;
  remote: string | undefined;
}

/** `orderly`: both sides said goodbye, so a body delimited by the close is whole. `reset`: it is not. */
export type CloseKind = 'orderly' | 'reset';

/** What a source of captured traffic (the kernel's events, a capture file) feeds. */
export interface ChunkSink {
  /** Announces a connection before its first chunk. May be missing: a join mid-stream. */
  open(info: ConnectionInfo, timeNs: number): void;
  /**
   * `lengthBytes` bytes moved at `position` of the direction (-1: follows the last chunk). Of them the first
   * `end - start` were captured in `bytes`; the rest is a known gap.
   */
  data(
    id: ConnectionId,
    pid: number,
    timeNs: number,
    direction: Direction,
    position: number,
    lengthBytes: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void;
  /** The addresses of a connection that was announced without; undefined: what was said before does not hold. */
  bound?(id: ConnectionId, timeNs: number, local: string | undefined, remote: string | undefined): void;
  /** One direction was ended in order (FIN, close_notify): nothing more comes in it. */
  end(id: ConnectionId, timeNs: number, direction: Direction): void;
  close(id: ConnectionId, timeNs: number, kind: CloseKind): void;
}

/** What a gRPC call adds to its HTTP request. */
export interface GrpcCall {
  /** `package.Service`. `unknown`: joined mid-stream; `other`: the path names no method. */
  readonly service: string;
  /** As `service`. */
  readonly method: string;
  /** `OK`, `Canceled`, ... as in src/http/grpc/codes.ts; `unknown`: no status was seen. */
  readonly code: string;
}

/** The trace that a request says it belongs to, as its headers have it: hexadecimal digits in small letters. */
export interface TraceContext {
  /** 32 digits; 16 where B3 has them so. */
  readonly traceId: string;
  /** 16 digits: the span of the client. */
  readonly spanId: string;
}

/**
 * A finished request with its response. Of a request that became a stream: its set-up, to the last byte of the response
 * head; the stream is told of when it ends.
 */
export interface Transaction {
  readonly connection: ConnectionInfo;
  /** The process that handled this request. */
  readonly owner: Owner;
  readonly role: Role;
  /** A registered HTTP method, else `OTHER`; `unknown` when joined mid-stream. Never a string that a client chose. */
  readonly method: string;
  /** 100..599; UNKNOWN_STATUS when joined mid-stream. */
  readonly status: number;
  /** `1.0` | `1.1` | `2` */
  readonly version: string;
  /** First byte of the request. */
  readonly timeNs: number;
  /** To the last byte of the response. Never negative. */
  readonly durationNs: number;
  /** Only for a gRPC call that is no stream. */
  readonly grpc?: GrpcCall | undefined;
  /** Only where the request carried one that is well-formed. */
  readonly trace?: TraceContext | undefined;
}

/** The status of a response whose status is not known. */
export const UNKNOWN_STATUS = 0;

export type StreamKind = 'sse' | 'websocket' | 'grpc' | 'connect';

/** A stream that has ended: what came of a request that was no mere question and answer. */
export interface FinishedStream {
  readonly connection: ConnectionInfo;
  /** The process that had it when it ended. */
  readonly owner: Owner;
  readonly role: Role;
  readonly kind: StreamKind;
  /** First byte of the request. */
  readonly timeNs: number;
  /** To the last byte of the stream, or its cancellation. Never negative. */
  readonly durationNs: number;
  /** Of kind `grpc`, when the call ended with a status of its own. */
  readonly grpc?: GrpcCall | undefined;
}

/** Why a message that was seen gave no transaction. A closed set: it is a metric label. */
export type IncompleteReason =
  /** the connection was closed in order before the response was whole */
  | 'closed'
  /** the connection was reset or its process died */
  | 'reset'
  /** a gap that the ring buffer or a full map caused hid the message's framing */
  | 'lost'
  /** the message head is larger than what is captured of one message */
  | 'truncated'
  /** not HTTP where a message head had to be */
  | 'malformed'
  /** a response without its request: the connection was joined between the two */
  | 'orphan'
  /** more requests outstanding than are kept */
  | 'pipeline'
  /** the connection was dropped from a full table */
  | 'evicted';

export interface TransactionSink {
  transaction(transaction: Transaction): void;
  incomplete(owner: Owner, role: Role | 'unknown', reason: IncompleteReason): void;
  stream?(stream: FinishedStream): void;
}

/** Why bytes are missing: not captured on purpose (`truncated`), or lost against our will (`lost`). */
export type GapCause = 'truncated' | 'lost';

/** One protocol's reading of one connection. Bytes of a direction arrive in order, each once. */
export interface Session {
  /** What was taken for this protocol was none: the connection is asked anew what it speaks. Absent: never. */
  readonly isMistaken?: boolean;
  data(direction: Direction, timeNs: number, bytes: Uint8Array, start: number, end: number): void;
  gap(direction: Direction, timeNs: number, lengthBytes: number, cause: GapCause): void;
  end(direction: Direction, timeNs: number): void;
  close(timeNs: number, kind: CloseKind | 'evicted'): void;
}

/** `more`: the bytes so far are a proper prefix of what the protocol begins with. */
export type Match = 'yes' | 'no' | 'more';

/** A protocol = one folder with one of these + one line in `http/registry.ts` + fixtures. */
export interface Protocol {
  readonly name: string;
  /** Do these bytes, the beginning of a chunk, begin a message of this protocol? Of 24 bytes or more never `more`. */
  matches(bytes: Uint8Array, start: number, end: number): Match;
  open(connection: ConnectionInfo, sink: TransactionSink): Session;
}

/** Who is at the other end of a connection, as far as an address tells. */
export interface Peer {
  readonly namespace: string;
  /** `node`: this node, no process known; `external`: anything else without a name. */
  readonly service: string;
  /** `agent`: ourselves, whom no graph shows. */
  readonly kind: 'workload' | 'node' | 'external' | 'agent';
  /** The address stands for others (a ClusterIP): the accepting end has another one. */
  readonly virtual?: boolean;
}

/** What a source of knowledge about addresses (this node's sockets, Kubernetes) answers. */
export interface PeerResolver {
  /** `address` as text (RFC 5952, IPv4 never mapped); `port` of a serving end, 0 for a client's. undefined: not known here. */
  resolvePeer(address: string, port: number): Peer | undefined;
}
