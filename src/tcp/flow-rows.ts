/**
 * What was read last of each flow, by its key: numbers in a few typed arrays, which double as they fill, and no object of
 * their own for a flow. A row keeps its number until remove(). Limit: `max` rows.
 */

import { randomBytes } from 'node:crypto';

const FIRST_ROWS = 256;
const EMPTY = -1;

export interface RowShape {
  /** Of a key; a multiple of 4. */
  readonly keyBytes: number;
  /** Numbers of 64 and of 32 bits in a row. */
  readonly wide: number;
  readonly narrow: number;
}

export class FlowRows {
  readonly #shape: RowShape;
  readonly #max: number;
  readonly #words: number;
  /** An attacker can choose addresses, but not what they collide with. */
  readonly #seed = randomBytes(4).readUInt32LE();
  #capacity = 0;
  #size = 0;
  #keys = new Uint32Array(0);
  #index = new Int32Array(0);
  /** `shape.wide` per row. */
  wide = new Float64Array(0);
  /** `shape.narrow` per row. */
  narrow = new Uint32Array(0);
  /** Milliseconds of the caller's clock. */
  changedMs = new Float64Array(0);
  /** The number of the last reading that it was in. */
  reading = new Float64Array(0);

  constructor(shape: RowShape, max: number) {
    this.#shape = shape;
    this.#words = shape.keyBytes / 4;
    this.#max = max;
    this.#resize(Math.min(FIRST_ROWS, max));
  }

  get size(): number {
    return this.#size;
  }

  /** The key of row `row`. A view: good until the next add() or remove(). */
  key(row: number): Uint8Array {
    return new Uint8Array(this.#keys.buffer, row * this.#shape.keyBytes, this.#shape.keyBytes);
  }

  /** The row of the key in words `at` and the following of `keys`; -1 when there is none. */
  find(keys: Uint32Array, at: number): number {
    const mask = this.#index.length - 1;
    for (let place = this.#hash(keys, at) & mask; ; place = (place + 1) & mask) {
      const row = this.#index[place]!;
      if (row === EMPTY || this.#isAt(row, keys, at)) return row;
    }
  }

  /** A row of zeros for a key that has none; -1 when there is no room. */
  add(keys: Uint32Array, at: number): number {
    if (this.#size === this.#capacity) {
      if (this.#capacity >= this.#max) return -1;
      this.#resize(Math.min(2 * this.#capacity, this.#max));
    }
    const row = this.#size++;
    const { wide, narrow } = this.#shape;
    this.#keys.set(keys.subarray(at, at + this.#words), row * this.#words);
    this.wide.fill(0, row * wide, (row + 1) * wide);
    this.narrow.fill(0, row * narrow, (row + 1) * narrow);
    this.changedMs[row] = 0;
    this.reading[row] = 0;
    this.#enter(row);
    return row;
  }

  /** Removes the rows that `isGone` says; the others may get other numbers. `moved`: row `from` is now `to`. */
  remove(isGone: (row: number) => boolean, moved: (from: number, to: number) => void): void {
    const { wide, narrow } = this.#shape;
    let kept = 0;
    for (let row = 0; row < this.#size; row++) {
      if (isGone(row)) continue;
      if (row !== kept) {
        this.#keys.copyWithin(kept * this.#words, row * this.#words, (row + 1) * this.#words);
        this.wide.copyWithin(kept * wide, row * wide, (row + 1) * wide);
        this.narrow.copyWithin(kept * narrow, row * narrow, (row + 1) * narrow);
        this.changedMs[kept] = this.changedMs[row]!;
        this.reading[kept] = this.reading[row]!;
        moved(row, kept);
      }
      kept++;
    }
    if (kept === this.#size) return;
    this.#size = kept;
    this.#reindex();
  }

  #resize(capacity: number): void {
    const { wide, narrow } = this.#shape;
    this.#capacity = capacity;
    this.#keys = copied(new Uint32Array(capacity * this.#words), this.#keys);
    this.wide = copied(new Float64Array(capacity * wide), this.wide);
    this.narrow = copied(new Uint32Array(capacity * narrow), this.narrow);
    this.changedMs = copied(new Float64Array(capacity), this.changedMs);
    this.reading = copied(new Float64Array(capacity), this.reading);
    // Half empty at least, so that searches are short.
    this.#index = new Int32Array(2 ** Math.ceil(Math.log2(2 * capacity)));
    this.#reindex();
  }

  #reindex(): void {
    this.#index.fill(EMPTY);
    for (let row = 0; row < this.#size; row++) this.#enter(row);
  }

  #enter(row: number): void {
    const mask = this.#index.length - 1;
    let place = this.#hash(this.#keys, row * this.#words) & mask;
    while (this.#index[place] !== EMPTY) place = (place + 1) & mask;
    this.#index[place] = row;
  }

  #isAt(row: number, keys: Uint32Array, at: number): boolean {
    for (let i = 0; i < this.#words; i++) if (this.#keys[row * this.#words + i] !== keys[at + i]) return false;
    return true;
  }

  /** The words one after the other through the mix of MurmurHash3. */
  #hash(keys: Uint32Array, at: number): number {
    let hash = this.#seed;
    for (let i = 0; i < this.#words; i++) {
      hash = Math.imul(hash ^ keys[at + i]!, 0x85ebca6b);
      hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
      hash ^= hash >>> 16;
    }
    return hash;
  }
}

function copied<Numbers extends Float64Array | Uint32Array>(to: Numbers, from: Numbers): Numbers {
  to.set(from);
  return to;
}
