/**
 * Reads the header blocks of one direction (RFC 7541), cut anywhere, without ever holding one: a string is skipped by its
 * length unless its name or value matters or its decoded length is needed for the dynamic table.
 *
 * It survives a join: a reference to an entry that was inserted before gives a field of an unknown name, not an error.
 * Memory: the dynamic table, and up to SCRATCH_BYTES of a string that is cut by the end of a chunk.
 */

import { DEFAULT_TABLE_BYTES, DynamicTable, MISSING } from './dynamic-table.ts';
import {
  classify,
  fact,
  factName,
  hasText,
  NAME_BYTES,
  NAME_OTHER,
  NAME_UNKNOWN,
  nameClass,
  SCRATCH_BYTES,
  VALUE_BYTES,
} from './fields.ts';
import { HeaderBlock } from './header-block.ts';
import { HUFFMAN_ACCEPTS, HUFFMAN_START, HUFFMAN_STEPS, STEP_INVALID, STEP_SYMBOL } from './huffman.ts';
import { STATIC_COUNT, STATIC_FACTS, STATIC_NAME_LENGTHS } from './static-table.ts';

/** Between two fields. */
const STATE_FIELD = 0;
/** In an integer that goes on (RFC 7541 section 5.1). */
const STATE_INTEGER = 1;
const STATE_NAME_LENGTH = 2;
const STATE_NAME = 3;
const STATE_VALUE_LENGTH = 4;
const STATE_VALUE = 5;
/** Nothing of this block can be read any more. */
const STATE_SKIP = 6;

/** What an integer is. */
const INTEGER_INDEX = 0;
const INTEGER_NAME_INDEX = 1;
const INTEGER_RESIZE = 2;
const INTEGER_NAME = 3;
const INTEGER_VALUE = 4;

/** Integers of up to 28 bits: no index, table or string of a header block is larger. */
const MAX_SHIFT = 21;
/** RFC 7541 section 4.2: the smallest of several changes, and the last one. */
const MAX_RESIZES = 2;

/** Of the string that is being read, whoever reads it: nothing stays here between two calls. */
const scratch = Buffer.alloc(SCRATCH_BYTES);

export class HpackDecoder {
  readonly table = new DynamicTable();
  readonly block = new HeaderBlock();
  /** The largest table that the other side has ever allowed. */
  maxTableBytes = DEFAULT_TABLE_BYTES;
  #state = STATE_FIELD;
  #integerKind = INTEGER_INDEX;
  #integer = 0;
  #shift = 0;
  #resizes = 0;
  /** The field becomes an entry of the dynamic table. */
  #inserts = false;
  /** Name class of the field. */
  #name = NAME_OTHER;
  #nameLength = 0;
  #huffman = false;
  /** Bytes of the string that are to come. */
  #left = 0;
  /** How many bytes of it are needed. */
  #wanted = 0;
  /** How many of them are there. */
  #kept = 0;
  /** Length of the string as it is without the Huffman code. */
  #length = 0;
  #huffmanState = HUFFMAN_START;
  #held: Uint8Array | undefined;

  begin(): void {
    this.block.reset();
    this.#state = STATE_FIELD;
    this.#resizes = 0;
    this.#held = undefined;
  }

  /** False: this is no header block (a COMPRESSION_ERROR, RFC 9113 section 4.3). */
  feed(bytes: Uint8Array, from: number, to: number): boolean {
    if (this.#held !== undefined) {
      scratch.set(this.#held);
      this.#held = undefined;
    }
    let at = from;
    while (at < to) {
      switch (this.#state) {
        case STATE_FIELD:
          if (!this.#beginField(bytes[at++]!)) return false;
          break;
        case STATE_INTEGER: {
          const byte = bytes[at++]!;
          if (this.#shift > MAX_SHIFT) return false;
          this.#integer += (byte & 0x7f) << this.#shift;
          this.#shift += 7;
          if (byte < 0x80 && !this.#useInteger(this.#integer)) return false;
          break;
        }
        case STATE_NAME_LENGTH:
        case STATE_VALUE_LENGTH: {
          const byte = bytes[at++]!;
          this.#huffman = byte >= 0x80;
          const kind = this.#state === STATE_NAME_LENGTH ? INTEGER_NAME : INTEGER_VALUE;
          if (!this.#beginInteger(byte, 0x7f, kind)) return false;
          break;
        }
        case STATE_SKIP:
          return true;
        default:
          at = this.#readString(bytes, at, to);
          if (at < 0) return false;
      }
    }
    const inString = this.#state === STATE_NAME || this.#state === STATE_VALUE;
    if (inString && this.#kept > 0) this.#held = Uint8Array.prototype.slice.call(scratch, 0, this.#kept);
    return true;
  }

  /** The block is over. False: it ends in the middle of a field. */
  end(): boolean {
    return this.#state === STATE_FIELD || this.#state === STATE_SKIP;
  }

  /** Bytes of the current block are missing: of the rest nothing can be read, and what it inserted is not known. */
  lose(): void {
    if (this.#state !== STATE_SKIP) this.block.cutShort();
    this.#state = STATE_SKIP;
    this.#held = undefined;
    this.forget();
  }

  /** The direction is at its beginning (RFC 7541 section 2.2). */
  renew(): void {
    this.table.renew();
    this.maxTableBytes = DEFAULT_TABLE_BYTES;
  }

  /** Whole blocks may be missing. */
  forget(): void {
    this.table.forget();
    this.maxTableBytes = Number.POSITIVE_INFINITY;
  }

  /** RFC 7541 section 6. */
  #beginField(byte: number): boolean {
    if (byte >= 0x80) return this.#beginInteger(byte, 0x7f, INTEGER_INDEX);
    this.#inserts = byte >= 0x40;
    if (this.#inserts) return this.#beginInteger(byte, 0x3f, INTEGER_NAME_INDEX);
    if (byte >= 0x20) return this.#beginInteger(byte, 0x1f, INTEGER_RESIZE);
    return this.#beginInteger(byte, 0x0f, INTEGER_NAME_INDEX);
  }

  #beginInteger(byte: number, mask: number, kind: number): boolean {
    this.#integerKind = kind;
    const value = byte & mask;
    if (value < mask) return this.#useInteger(value);
    this.#integer = mask;
    this.#shift = 0;
    this.#state = STATE_INTEGER;
    return true;
  }

  #useInteger(value: number): boolean {
    switch (this.#integerKind) {
      case INTEGER_INDEX:
        return this.#useEntry(value);
      case INTEGER_NAME_INDEX:
        if (value === 0) {
          this.#state = STATE_NAME_LENGTH;
          return true;
        }
        this.#state = STATE_VALUE_LENGTH;
        return this.#useEntryName(value);
      case INTEGER_RESIZE:
        this.#state = STATE_FIELD;
        if (this.block.fields > 0 || ++this.#resizes > MAX_RESIZES || value > this.maxTableBytes) return false;
        this.table.resize(value);
        return true;
      default:
        return this.#beginString(value);
    }
  }

  #useEntry(index: number): boolean {
    this.#state = STATE_FIELD;
    if (index === 0) return false;
    if (index <= STATIC_COUNT) {
      this.block.add(STATIC_FACTS[index]!, undefined);
      return true;
    }
    const distance = index - STATIC_COUNT - 1;
    const of = this.table.factAt(distance);
    if (of === MISSING) return false;
    this.block.add(of, hasText(of) ? this.table.textAt(distance) : undefined);
    return true;
  }

  #useEntryName(index: number): boolean {
    if (index <= STATIC_COUNT) {
      this.#name = factName(STATIC_FACTS[index]!);
      this.#nameLength = STATIC_NAME_LENGTHS[index]!;
      return true;
    }
    const distance = index - STATIC_COUNT - 1;
    const of = this.table.factAt(distance);
    if (of === MISSING) return false;
    this.#name = factName(of);
    this.#nameLength = this.table.nameLengthAt(distance);
    return true;
  }

  #beginString(length: number): boolean {
    const isName = this.#integerKind === INTEGER_NAME;
    this.#state = isName ? STATE_NAME : STATE_VALUE;
    this.#wanted = isName ? NAME_BYTES : VALUE_BYTES[this.#name]!;
    this.#left = length;
    this.#kept = 0;
    this.#length = 0;
    this.#huffmanState = HUFFMAN_START;
    return length > 0 || this.#endString();
  }

  /** Returns where it stopped, -1 when the string is not valid. */
  #readString(bytes: Uint8Array, from: number, end: number): number {
    const to = Math.min(end, from + this.#left);
    this.#left -= to - from;
    if (!this.#huffman) {
      const kept = Math.min(to - from, this.#wanted - this.#kept);
      for (let i = 0; i < kept; i++) scratch[this.#kept + i] = bytes[from + i]!;
      this.#kept += Math.max(0, kept);
      this.#length += to - from;
    } else if (this.#wanted > 0 || this.#inserts) {
      if (!this.#readHuffman(bytes, from, to)) return -1;
    }
    if (this.#left === 0 && !this.#endString()) return -1;
    return to;
  }

  #readHuffman(bytes: Uint8Array, from: number, to: number): boolean {
    const wanted = this.#wanted;
    let state = this.#huffmanState;
    let length = this.#length;
    for (let at = from; at < to; at++) {
      const byte = bytes[at]!;
      const high = HUFFMAN_STEPS[state * 16 + (byte >> 4)]!;
      if ((high & STEP_SYMBOL) !== 0) {
        if (length < wanted) scratch[length] = (high >> 8) & 0xff;
        length++;
      }
      const low = HUFFMAN_STEPS[(high & 0xff) * 16 + (byte & 15)]!;
      if ((low & STEP_SYMBOL) !== 0) {
        if (length < wanted) scratch[length] = (low >> 8) & 0xff;
        length++;
      }
      if (((high | low) & STEP_INVALID) !== 0) return false;
      state = low & 0xff;
    }
    this.#huffmanState = state;
    this.#length = length;
    this.#kept = Math.min(length, wanted);
    return true;
  }

  #endString(): boolean {
    if (this.#huffman && HUFFMAN_ACCEPTS[this.#huffmanState] === 0) return false;
    if (this.#state === STATE_NAME) {
      this.#name = nameClass(scratch, this.#length);
      this.#nameLength = this.#length;
      this.#state = STATE_VALUE_LENGTH;
      return true;
    }
    this.#state = STATE_FIELD;
    const of = this.#name === NAME_UNKNOWN ? fact(NAME_UNKNOWN, 0) : classify(this.#name, scratch, this.#length);
    if (of < 0) return false;
    const text = hasText(of) ? scratch.toString('latin1', 0, this.#length) : undefined;
    this.block.add(of, text);
    if (this.#inserts) this.table.insert(of, this.#nameLength, this.#length, text);
    return true;
  }
}
