/**
 * A stream that is written to, seen from a subcommand. A reader that goes away (`| head`) is an ordinary end, not an
 * error. What a slow reader leaves waiting is bounded: `offer` drops lines and counts them, `ready` waits.
 */

import type { Writable } from 'node:stream';
import { PlainsightError } from '../errors.ts';

/** Some seconds of a busy `tail`; a terminal is never this far behind. */
const WAITING_LIMIT_BYTES = 1024 * 1024;
/** Below this, lines are collected until the event loop has gone round once: one write for all of them. */
const BATCH_BYTES = 32 * 1024;

export class Output {
  readonly #stream: Writable;
  /** Resolves when nothing more can be written. */
  readonly broken: Promise<void>;
  #error: NodeJS.ErrnoException | undefined;
  #batch = '';
  #scheduled = false;
  #droppedLines = 0;

  constructor(stream: Writable) {
    this.#stream = stream;
    this.broken = new Promise((resolve) => {
      stream.on('error', (error: NodeJS.ErrnoException) => {
        this.#error ??= error;
        resolve();
      });
    });
  }

  get isBroken(): boolean {
    return this.#error !== undefined;
  }

  /** Lines that `offer` did not take because the reader was too slow. */
  get droppedLines(): number {
    return this.#droppedLines;
  }

  /** For texts whose number and size are bounded, or with `ready` in between. */
  write(text: string): void {
    this.#batch += text;
    if (this.#batch.length >= BATCH_BYTES) this.#pass();
    else if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.#pass();
      });
    }
  }

  /** Writes the line unless too much is waiting already. */
  offer(line: string): void {
    if (this.#stream.writableLength + this.#batch.length > WAITING_LIMIT_BYTES) this.#droppedLines++;
    else this.write(line);
  }

  /** Resolves when there is room for more. */
  async ready(): Promise<void> {
    while (!this.isBroken && this.#stream.writableNeedDrain) {
      await Promise.race([new Promise((resolve) => this.#stream.once('drain', resolve)), this.broken]);
    }
  }

  /**
   * Resolves when everything has been handed over, or the reader has gone away.
   * @throws PlainsightError FILE when it could not be written for another reason.
   */
  async flush(): Promise<void> {
    this.#pass();
    if (!this.isBroken) {
      const written = new Promise<void>((resolve) => this.#stream.write('', () => resolve()));
      await Promise.race([written, this.broken]);
    }
    if (this.#error !== undefined && this.#error.code !== 'EPIPE') {
      throw new PlainsightError('FILE', `the output cannot be written (${this.#error.code}); what came after is lost`, {
        cause: this.#error,
      });
    }
  }

  #pass(): void {
    const batch = this.#batch;
    this.#batch = '';
    if (batch !== '' && !this.isBroken) this.#stream.write(batch);
  }
}
