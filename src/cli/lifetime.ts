/**
 * How long a subcommand that runs on and on runs: to the first SIGTERM or SIGINT, or until it is ended from inside. From
 * then on it has a time limit; a second signal does not wait for it.
 */

import type { Log } from '../log.ts';
import type { Context } from './context.ts';

/** What happens when stopping takes longer than a limit. */
export interface StopLimit {
  readonly ms: number;
  readonly exitCode: number;
  /** What is said then. */
  readonly warning: string;
}

/**
 * The promise is 2 s; the rest is for the process to end. The kernel detaches everything that belongs to a process when the
 * process is gone.
 */
const STOP_LIMIT: StopLimit = {
  ms: 1800,
  exitCode: 0,
  warning: 'stopping took too long; leaving the rest to the kernel',
};
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

export class Lifetime {
  /** Resolves once, when it is time to stop. */
  readonly ended: Promise<void>;
  readonly #context: Context;
  readonly #log: Log;
  readonly #stopLimit: StopLimit;
  #resolve: () => void = () => {};
  #hasEnded = false;
  #limit: NodeJS.Timeout | undefined;
  readonly #onInterrupt = () => this.#signal('SIGINT');
  readonly #onTerminate = () => this.#signal('SIGTERM');

  constructor(context: Context, log: Log, stopLimit = STOP_LIMIT) {
    this.#context = context;
    this.#log = log;
    this.#stopLimit = stopLimit;
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    context.signals.on('SIGINT', this.#onInterrupt);
    context.signals.on('SIGTERM', this.#onTerminate);
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const { ms, exitCode, warning } = this.#stopLimit;
    this.#limit = setTimeout(() => {
      this.#log.warn(warning);
      this.#context.exit(exitCode);
    }, ms);
    this.#resolve();
  }

  /** Gives the signals back. */
  dispose(): void {
    clearTimeout(this.#limit);
    this.#context.signals.off('SIGINT', this.#onInterrupt);
    this.#context.signals.off('SIGTERM', this.#onTerminate);
  }

  #signal(name: keyof typeof EXIT_CODES): void {
    if (this.#hasEnded) this.#context.exit(EXIT_CODES[name]);
    else this.end();
  }
}
