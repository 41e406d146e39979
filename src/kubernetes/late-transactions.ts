/**
 * Stands before the metrics: what comes of a pod that is known goes on with its labels, what comes of one that is not waits
 * for them, and what is out of scope ends here. Nothing is lost: what finds the queue full, or waits for a minute in vain, is
 * counted under the labels of the node, and why.
 *
 * Limit: 4096 transactions wait. Starts no timer: the caller runs release().
 */

import type {
  FinishedStream,
  IncompleteReason,
  Owner,
  Role,
  Transaction,
  TransactionSink,
} from '../stream/contract.ts';
import type { FallbackReason, Labelled } from './owners.ts';

const MAX_WAITING = 4096;

interface Waiting {
  readonly owner: Owner;
  readonly deliver: (owner: Owner) => void;
}

export class LateTransactions implements TransactionSink {
  readonly #sink: TransactionSink;
  readonly #label: (owner: Owner) => Labelled;
  readonly #max: number;
  readonly #fallbacks = new Map<FallbackReason, number>();
  #waiting: Waiting[] = [];
  #excluded = 0;

  constructor(options: { sink: TransactionSink; label: (owner: Owner) => Labelled; max?: number }) {
    this.#sink = options.sink;
    this.#label = options.label;
    this.#max = options.max ?? MAX_WAITING;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** What was counted under the labels of the node, by reason, since the start. */
  get fallbacks(): ReadonlyMap<FallbackReason, number> {
    return this.#fallbacks;
  }

  /** Transactions that are out of scope, since the start. The kernel copies of hardly any. */
  get excluded(): number {
    return this.#excluded;
  }

  transaction(transaction: Transaction): void {
    const { owner } = transaction;
    const { standing, owner: now } = this.#label(owner);
    if (standing === 'ready') {
      // So the next one of this connection has them from the start.
      if (now !== owner && transaction.connection.owner === owner) transaction.connection.owner = now;
      this.#sink.transaction(now === owner ? transaction : { ...transaction, owner: now });
    } else if (standing === 'excluded') {
      this.#excluded++;
    } else {
      this.#wait(owner, (owner) => this.#sink.transaction({ ...transaction, owner }));
    }
  }

  stream(stream: FinishedStream): void {
    const { standing, owner } = this.#label(stream.owner);
    if (standing === 'ready') this.#sink.stream?.({ ...stream, owner });
    else if (standing === 'excluded') this.#excluded++;
    else this.#wait(stream.owner, (owner) => this.#sink.stream?.({ ...stream, owner }));
  }

  incomplete(owner: Owner, role: Role | 'unknown', reason: IncompleteReason): void {
    const { standing, owner: now } = this.#label(owner);
    if (standing === 'ready') this.#sink.incomplete(now, role, reason);
    else if (standing === 'pending') this.#wait(owner, (owner) => this.#sink.incomplete(owner, role, reason));
  }

  /** Lets go what no longer waits for anything. To be called after the cluster has changed, and every second. */
  release(): void {
    if (this.#waiting.length === 0) return;
    const before = this.#waiting;
    this.#waiting = [];
    for (const waiting of before) {
      const { standing, owner } = this.#label(waiting.owner);
      if (standing === 'pending') {
        this.#waiting.push(waiting);
      } else if (standing === 'ready') {
        if (owner.pod === '') this.#count('unknown_pod');
        waiting.deliver(owner);
      } else {
        this.#excluded++;
      }
    }
  }

  /** The end: nothing waits any longer. */
  flush(): void {
    this.release();
    for (const { owner, deliver } of this.#waiting.splice(0)) {
      this.#count('stopped');
      deliver(this.#label(owner).owner);
    }
  }

  #wait(owner: Owner, deliver: (owner: Owner) => void): void {
    if (this.#waiting.length < this.#max) {
      this.#waiting.push({ owner, deliver });
      return;
    }
    this.#count('queue_full');
    deliver(this.#label(owner).owner);
  }

  #count(reason: FallbackReason): void {
    this.#fallbacks.set(reason, (this.#fallbacks.get(reason) ?? 0) + 1);
  }
}
