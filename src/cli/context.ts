/**
 * What a subcommand has of the outside: streams, environment, signals, and the two things that need a kernel (the agent
 * and the addon), loaded only when asked for. Tests hand in their own.
 */

import type { Readable, Writable } from 'node:stream';
import type { Native } from '../native.ts';
import type { StartAgent } from './agent-contract.ts';

export type SignalName = 'SIGTERM' | 'SIGINT' | 'SIGHUP';

export interface Context {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly signals: {
    on(signal: SignalName, listener: () => void): unknown;
    off(signal: SignalName, listener: () => void): unknown;
  };
  /** Ends the process at once, whatever is still open. */
  exit(code: number): void;
  readonly startAgent: StartAgent;
  /** @throws PlainsightError NOT_BUILT */
  native(): Promise<Native>;
  /** In front of the /proc and /sys of `doctor`; empty but in tests. */
  readonly hostRoot: string;
}
