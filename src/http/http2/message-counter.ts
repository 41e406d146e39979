/**
 * Tells whether one direction of a gRPC call carries more than one message, without reading any: a message is a flag, a
 * length of 4 bytes, and so many bytes (the gRPC over HTTP/2 protocol). If the first length is known, the number of DATA
 * bytes shows whether there is more behind that message.
 *
 * It never guesses: when the first 5 bytes were not captured, or DATA is padded, nothing is proven.
 */

const PREFIX_BYTES = 5;

export class MessageCounter {
  /** More than one message has been seen. */
  isMany = false;
  #dataBytes = 0;
  #prefixBytes = 0;
  #messageBytes = 0;
  #hidden = false;

  reset(): void {
    this.isMany = false;
    this.#dataBytes = 0;
    this.#prefixBytes = 0;
    this.#messageBytes = 0;
    this.#hidden = false;
  }

  /** A DATA frame of this length begins. */
  add(payloadBytes: number): void {
    this.#dataBytes += payloadBytes;
    this.#judge();
  }

  /** Payload of DATA. Once the prefix is there it looks at nothing. */
  read(bytes: Uint8Array, from: number, to: number): void {
    if (this.#hidden || this.#prefixBytes === PREFIX_BYTES) return;
    for (let at = from; at < to && this.#prefixBytes < PREFIX_BYTES; at++) {
      if (this.#prefixBytes++ > 0) this.#messageBytes = this.#messageBytes * 256 + bytes[at]!;
    }
    this.#judge();
  }

  /** Payload is missing. Behind the first length that hides nothing. */
  hide(): void {
    if (this.#prefixBytes < PREFIX_BYTES) this.#hidden = true;
  }

  /** Frames hold less than they count for. */
  giveUp(): void {
    this.#hidden = true;
  }

  #judge(): void {
    if (this.#hidden || this.#prefixBytes < PREFIX_BYTES) return;
    if (this.#dataBytes > PREFIX_BYTES + this.#messageBytes) this.isMany = true;
  }
}
