/**
 * Which bytes of HEADERS, PUSH_PROMISE and CONTINUATION frames are header block (RFC 9113 sections 6.2, 6.6 and 6.10):
 * without padding, priority and promised stream. It refuses blocks above MAX_BLOCK_BYTES or MAX_CONTINUATIONS.
 */

import type { HpackDecoder } from './hpack/decoder.ts';

/** What servers allow of a request's headers is 8 KiB to 64 KiB; each frame of them may be padded. */
export const MAX_BLOCK_BYTES = 256 * 1024;
/** A block of that size in frames of 2 KiB. */
export const MAX_CONTINUATIONS = 128;

export class BlockFraming {
  /** The stream whose header block goes on in the next frame; 0: none. */
  continues = 0;
  #prefixLeft = 0;
  #padLengthNext = false;
  #paddingBytes = 0;
  #continuations = 0;
  #blockBytes = 0;

  /** A frame that begins a block; `prefixBytes` come before it, behind the pad length. False: it cannot be. */
  begin(payloadBytes: number, prefixBytes: number, isPadded: boolean): boolean {
    this.#prefixLeft = prefixBytes;
    this.#padLengthNext = isPadded;
    this.#paddingBytes = 0;
    this.#continuations = 0;
    this.#blockBytes = payloadBytes;
    return payloadBytes <= MAX_BLOCK_BYTES && payloadBytes >= prefixBytes + (isPadded ? 1 : 0);
  }

  /** A CONTINUATION frame. False: it cannot be. */
  goOn(payloadBytes: number, streamId: number): boolean {
    this.#prefixLeft = 0;
    this.#padLengthNext = false;
    this.#paddingBytes = 0;
    this.#blockBytes += payloadBytes;
    this.#continuations++;
    if (streamId !== this.continues || this.#continuations > MAX_CONTINUATIONS) return false;
    return this.#blockBytes <= MAX_BLOCK_BYTES;
  }

  /** Bytes of the payload, of which `left` are to come with these. False: the frame or the block is not valid. */
  read(decoder: HpackDecoder, bytes: Uint8Array, from: number, to: number, left: number): boolean {
    let at = from;
    let rest = left;
    if (this.#padLengthNext) {
      this.#padLengthNext = false;
      this.#paddingBytes = bytes[at++]!;
      rest--;
      if (this.#paddingBytes + this.#prefixLeft > rest) return false;
    }
    const prefix = Math.min(this.#prefixLeft, to - at);
    this.#prefixLeft -= prefix;
    at += prefix;
    rest -= prefix;
    const fragment = Math.min(to - at, rest - this.#paddingBytes);
    return fragment <= 0 || decoder.feed(bytes, at, at + fragment);
  }

  /** Bytes of the payload are missing: the decoder reads no more of the block. */
  hide(): void {
    this.#padLengthNext = false;
  }
}
