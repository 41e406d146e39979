/**
 * What each byte of a direction was taken for, told while it is read. Only the redactor listens; bytes that are not told
 * of are body, or were not understood.
 */

/** A head begins with the next byte. */
export const REGION_HEAD_START = 0;
/** Bytes of a message head. */
export const REGION_HEAD = 1;
/** The byte at which a head or the framing of a body broke. */
export const REGION_FAILED = 2;
/** Digits of a chunk size. */
export const REGION_CHUNK_SIZE = 3;
/** Line ends, chunk extensions, trailers, empty lines before a start line. */
export const REGION_LINE = 4;
/** Bytes whose framing is lost, up to the end of the chunk. */
export const REGION_LOST = 5;

export interface ByteTrace {
  region(region: number, from: number, to: number): void;
}
