/** What stands between captured bytes and a capture file. */

import type { ConnectionId, Direction } from '../stream/contract.ts';

/** A stretch of a direction as it may be written: `bytes` are its first bytes, the rest is a length only. */
export interface RedactedPiece {
  readonly lengthBytes: number;
  /** Valid until the next call. Never more than `lengthBytes`. */
  readonly bytes: Uint8Array;
}

/** Blanks what must not be written down. It is fed with the chunks that ChunkSink.data is fed with. */
export interface Redactor {
  /** The pieces of one chunk, in order; their lengths add up to that of the chunk, so that positions stay true. */
  redact(
    id: ConnectionId,
    direction: Direction,
    position: number,
    lengthBytes: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    timeNs: number,
  ): readonly RedactedPiece[];
  /** Forgets the connection. */
  close(id: ConnectionId): void;
}

/** Lets everything through; for whoever asked for the payload. */
export const KEEP_ALL: Redactor = {
  redact(_id, _direction, _position, lengthBytes, bytes, start, end) {
    return [{ lengthBytes, bytes: bytes.subarray(start, end) }];
  },
  close() {},
};
