/**
 * The dynamic table of one direction (RFC 7541 section 2.3.2) as one who listens sees it. An entry is found by its distance
 * from the newest one, so after a join (or after bytes that were lost) everything inserted since is certain, whatever was
 * before; the rest is unknown until it can be proven to be evicted.
 *
 * An entry takes 12 bytes, whatever its header was, and up to 258 characters of a path that may be that of a gRPC call,
 * or of a trace header.
 * Limit: MAX_ENTRIES; what was inserted before them is unknown.
 */

import { NAME_UNKNOWN } from './fields.ts';

/** What a table of 64 KiB, the largest that common endpoints ask for, can hold. */
export const MAX_ENTRIES = 2048;
/** What an entry counts beyond its name and value (RFC 7541 section 4.1). */
export const ENTRY_OVERHEAD = 32;
/** Until the encoder changes it (RFC 9113 section 6.5.2). */
export const DEFAULT_TABLE_BYTES = 4096;

/** No such entry can be. */
export const MISSING = -1;

const FIRST_CAPACITY = 16;
const FACT = 0;
const NAME_LENGTH = 1;
const SIZE = 2;
const FIELDS = 3;

export class DynamicTable {
  /** Entries that are known. */
  count = 0;
  /** As the encoder counts them, without those that are not known. */
  sizeBytes = 0;
  /** Infinity: not known. */
  maxBytes = DEFAULT_TABLE_BYTES;
  /** There is no entry beyond those that are known. */
  complete = true;
  /** A ring, a power of two of entries long. Made at the first insertion. */
  #ring: Int32Array | undefined;
  #texts: (string | undefined)[] = [];
  /** The place of the newest entry. */
  #newest = 0;

  /** The fact of the entry `distance` before the newest one; NAME_UNKNOWN, MISSING. */
  factAt(distance: number): number {
    if (distance >= this.count) return this.complete ? MISSING : NAME_UNKNOWN;
    return this.#ring![this.#place(distance) * FIELDS + FACT]!;
  }

  /** Bytes of the name of a known entry, 0 of another. */
  nameLengthAt(distance: number): number {
    if (distance >= this.count) return 0;
    return this.#ring![this.#place(distance) * FIELDS + NAME_LENGTH]!;
  }

  textAt(distance: number): string | undefined {
    return distance < this.count ? this.#texts[this.#place(distance)] : undefined;
  }

  /** RFC 7541 section 4.4. */
  insert(fact: number, nameLength: number, valueLength: number, text: string | undefined): void {
    const sizeBytes = nameLength + valueLength + ENTRY_OVERHEAD;
    this.#evictTo(this.maxBytes - sizeBytes);
    if (sizeBytes > this.maxBytes) return;
    if (this.count === MAX_ENTRIES) {
      this.#evictOldest();
      this.complete = false;
    }
    if (this.#ring === undefined || this.count * FIELDS === this.#ring.length) this.#grow();
    const ring = this.#ring!;
    this.#newest = (this.#newest + 1) & (ring.length / FIELDS - 1);
    const at = this.#newest * FIELDS;
    ring[at + FACT] = fact;
    ring[at + NAME_LENGTH] = nameLength;
    ring[at + SIZE] = sizeBytes;
    // A connection without gRPC has no list of texts.
    if (text !== undefined || this.#texts.length > 0) this.#texts[this.#newest] = text;
    this.count++;
    this.sizeBytes += sizeBytes;
  }

  /** RFC 7541 section 4.3. */
  resize(maxBytes: number): void {
    this.maxBytes = maxBytes;
    this.#evictTo(maxBytes);
    if (maxBytes < ENTRY_OVERHEAD) this.complete = true;
  }

  /** Insertions may have been missed: nothing is certain any more. */
  forget(): void {
    this.count = 0;
    this.sizeBytes = 0;
    this.maxBytes = Number.POSITIVE_INFINITY;
    this.complete = false;
    this.#ring = undefined;
    this.#texts = [];
  }

  /** Empty, and known to be. */
  renew(): void {
    this.forget();
    this.maxBytes = DEFAULT_TABLE_BYTES;
    this.complete = true;
  }

  #place(distance: number): number {
    return (this.#newest - distance) & (this.#ring!.length / FIELDS - 1);
  }

  /** What goes is older than what stays: once a known entry is evicted, so is every one that is not known. */
  #evictTo(sizeBytes: number): void {
    if (this.sizeBytes <= sizeBytes) return;
    this.complete = true;
    while (this.count > 0 && this.sizeBytes > sizeBytes) this.#evictOldest();
  }

  #evictOldest(): void {
    const place = this.#place(this.count - 1);
    this.sizeBytes -= this.#ring![place * FIELDS + SIZE]!;
    if (this.#texts.length > 0) this.#texts[place] = undefined;
    this.count--;
  }

  #grow(): void {
    const capacity = this.#ring === undefined ? FIRST_CAPACITY : (this.#ring.length / FIELDS) * 2;
    const ring = new Int32Array(capacity * FIELDS);
    const texts: (string | undefined)[] = [];
    for (let i = 0; i < this.count; i++) {
      const from = this.#place(this.count - 1 - i);
      for (let field = 0; field < FIELDS; field++) ring[i * FIELDS + field] = this.#ring![from * FIELDS + field]!;
      if (this.#texts.length > 0) texts[i] = this.#texts[from];
    }
    this.#ring = ring;
    this.#texts = texts;
    this.#newest = (this.count - 1) & (capacity - 1);
  }
}
