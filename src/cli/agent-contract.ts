/** What the subcommands want of the agent; `src/agent.ts` provides it. */

import type { Config } from '../config.ts';
import type { Log } from '../log.ts';
import type { ChunkSink, Owner, TransactionSink } from '../stream/contract.ts';

/** Gets a copy of everything that the streams get. */
export interface Recorder extends ChunkSink {
  /** Announces an owner that no `open` announces: a connection joined in the middle, or handed to another process. */
  process(owner: Owner): void;
}

export interface SummaryLine {
  readonly label: string;
  readonly value: string;
}

export interface AgentHandle {
  /** Drains, detaches, closes. A second call waits for the first. */
  stop(): Promise<void>;
  /** What /api/status shows: plain JSON. */
  status(): unknown;
  /** What is enabled, and what is not with its reason. */
  summary(): readonly SummaryLine[];
  /** Added to the monotonic time of a transaction it gives nanoseconds of Unix time. */
  readonly wallOffsetNs: bigint;
  /** Undefined when started without web. */
  readonly webAddress?: { readonly host: string; readonly port: number };
  /** Takes over the options that are marked reloadable. */
  reload?(config: Config): void;
}

export interface StartOptions {
  readonly web: boolean;
  readonly sinks?: readonly TransactionSink[];
  readonly recorder?: Recorder;
  readonly onlyPid?: number;
  readonly log: Log;
}

export type StartAgent = (config: Config, options: StartOptions) => Promise<AgentHandle>;
