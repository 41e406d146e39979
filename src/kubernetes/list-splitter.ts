/**
 * Takes the items of a List out of its JSON while it arrives, one at a time: ten thousand objects are never in memory at
 * once, neither as text nor as objects. It finds where an item begins and ends (RFC 8259); what an item holds is read by
 * JSON.parse.
 *
 * Limits: 4 MiB an item (etcd keeps objects below 1.5 MiB), 256 KiB for everything that is no item.
 */

import { ApiError } from './api-error.ts';

export const MAX_OBJECT_BYTES = 4 * 1024 * 1024;
const MAX_HEAD_BYTES = 256 * 1024;

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Depth of what stands in `items`: the list's object, then the list of items. */
const ITEM_DEPTH = 2;

export class ListSplitter {
  readonly #onItem: (text: string) => void;
  readonly #item = new Gathered(MAX_OBJECT_BYTES);
  readonly #head = new Gathered(MAX_HEAD_BYTES);
  #depth = 0;
  #inString = false;
  #escaped = false;
  #inItems = false;
  #inItem = false;
  /** At depth 1: the next string is the name of a field. */
  #awaitsName = false;
  /** The last name at depth 1, as far as it may be `items`. */
  #name = '';
  #readsName = false;

  constructor(onItem: (text: string) => void) {
    this.#onItem = onItem;
  }

  /** @throws ApiError `too_large`, `malformed`, and what `onItem` throws. */
  push(chunk: Buffer): void {
    // Where what is not yet gathered begins.
    let from = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at]!;
      if (this.#inString) {
        this.#string(byte);
        continue;
      }
      switch (byte) {
        case QUOTE:
          this.#inString = true;
          this.#readsName = this.#depth === 1 && this.#awaitsName;
          if (this.#readsName) this.#name = '';
          this.#awaitsName = false;
          break;
        case OPEN_OBJECT:
        case OPEN_LIST:
          if (this.#inItems && this.#depth === ITEM_DEPTH && byte === OPEN_OBJECT) {
            this.#inItem = true;
            from = at;
          }
          this.#depth++;
          if (this.#depth === ITEM_DEPTH && byte === OPEN_LIST && this.#name === 'items') {
            this.#head.add(chunk, from, at + 1);
            this.#inItems = true;
          }
          this.#awaitsName = this.#depth === 1;
          break;
        case CLOSE_OBJECT:
        case CLOSE_LIST:
          this.#depth--;
          if (this.#inItem && this.#depth === ITEM_DEPTH) {
            this.#item.add(chunk, from, at + 1);
            this.#inItem = false;
            this.#onItem(this.#item.take());
          } else if (this.#inItems && this.#depth < ITEM_DEPTH) {
            this.#inItems = false;
            from = at;
          }
          break;
        case COMMA:
          this.#awaitsName = this.#depth === 1;
          break;
      }
    }
    if (this.#inItem) this.#item.add(chunk, from, chunk.length);
    else if (!this.#inItems) this.#head.add(chunk, from, chunk.length);
  }

  /**
   * The list without its items.
   * @throws ApiError `malformed` when it ended in the middle, or is no JSON.
   */
  end(): unknown {
    if (this.#depth !== 0) throw new ApiError('malformed');
    return parseJson(this.#head.take());
  }

  #string(byte: number): void {
    if (this.#escaped) {
      this.#escaped = false;
    } else if (byte === BACKSLASH) {
      this.#escaped = true;
    } else if (byte === QUOTE) {
      this.#inString = false;
      this.#readsName = false;
      return;
    }
    if (this.#readsName && this.#name.length < 16) this.#name += String.fromCharCode(byte);
  }
}

/** Lines of a watch. */
export class LineSplitter {
  readonly #onLine: (text: string) => void;
  readonly #line = new Gathered(MAX_OBJECT_BYTES);

  constructor(onLine: (text: string) => void) {
    this.#onLine = onLine;
  }

  /** @throws ApiError `too_large`, and what `onLine` throws. */
  push(chunk: Buffer): void {
    let from = 0;
    for (let at = chunk.indexOf(0x0a); at >= 0; at = chunk.indexOf(0x0a, from)) {
      this.#line.add(chunk, from, at);
      from = at + 1;
      const text = this.#line.take();
      if (text !== '') this.#onLine(text);
    }
    this.#line.add(chunk, from, chunk.length);
  }
}

/** @throws ApiError `malformed` */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The reason would quote what was received.
    throw new ApiError('malformed');
  }
}

/** Pieces of a text that came in chunks. */
class Gathered {
  readonly #limitBytes: number;
  #parts: Buffer[] = [];
  #sizeBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  add(chunk: Buffer, from: number, to: number): void {
    if (to <= from) return;
    this.#sizeBytes += to - from;
    if (this.#sizeBytes > this.#limitBytes) throw new ApiError('too_large');
    // A copy, not a view: the chunk is 64 KiB, what is left of it here may be little.
    this.#parts.push(Buffer.from(chunk.subarray(from, to)));
  }

  take(): string {
    const text =
      this.#parts.length === 1 ? this.#parts[0]!.toString('utf8') : Buffer.concat(this.#parts).toString('utf8');
    this.#parts = [];
    this.#sizeBytes = 0;
    return text;
  }
}
