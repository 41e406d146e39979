/**
 * Holds the first transaction of a TLS connection whose peer is not known yet, for a moment: the last piece of evidence is
 * how its response leaves, and that is behind the call that ends the transaction. A connection that waited in vain waits
 * no more. Everything else passes at once; what was held may come behind later transactions.
 * Limit: 4096 at a time.
 */

import type {
  ConnectionInfo,
  FinishedStream,
  IncompleteReason,
  Owner,
  Role,
  Transaction,
  TransactionSink,
} from './contract.ts';

/** Between two looks at the ring lie at most 20 ms. */
const HOLD_MS = 50;
const MAX_HELD = 4096;

export class LatePeers implements TransactionSink {
  readonly #sink: TransactionSink;
  readonly #waited = new WeakSet<ConnectionInfo>();
  /** In the order in which they came. */
  #held: Transaction[] = [];
  /** Held since the tick before the last one, and of when that was. */
  #heldBefore: Transaction[] = [];
  #tickMs = 0;

  constructor(sink: TransactionSink) {
    this.#sink = sink;
  }

  transaction(transaction: Transaction): void {
    const { connection } = transaction;
    const waits = connection.scheme === 'https' && connection.remote === undefined && !this.#waited.has(connection);
    if (!waits || this.#held.length + this.#heldBefore.length >= MAX_HELD) {
      this.#sink.transaction(transaction);
      return;
    }
    this.#waited.add(connection);
    this.#held.push(transaction);
  }

  incomplete(owner: Owner, role: Role | 'unknown', reason: IncompleteReason): void {
    this.#sink.incomplete(owner, role, reason);
  }

  stream(stream: FinishedStream): void {
    this.#sink.stream?.(stream);
  }

  /** Hands on what has waited 50 to 100 ms. To be called more often than that. */
  tick(nowMs: number): void {
    if (nowMs - this.#tickMs < HOLD_MS) return;
    this.#tickMs = nowMs;
    this.#handOn(this.#heldBefore);
    this.#heldBefore = this.#held;
    this.#held = [];
  }

  /** Hands on everything: nothing more will come. */
  release(): void {
    this.#handOn([...this.#heldBefore, ...this.#held]);
    this.#heldBefore = [];
    this.#held = [];
  }

  #handOn(transactions: readonly Transaction[]): void {
    for (const transaction of transactions) this.#sink.transaction(transaction);
  }
}
