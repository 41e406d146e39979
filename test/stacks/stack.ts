/**
 * A stack of the matrix, described as data: a program that speaks HTTPS through some TLS library, how it is started in
 * each role, and what the agent is expected to make of it. A new one is an entry in one of the lists of registry.ts.
 */

import type { TestContext } from 'node:test';
import type { Certificate } from '../kernel/harness.ts';
import type { Unit } from '../kernel/unit.ts';
import type { Root } from './roots.ts';

export type Role = 'server' | 'client';

/** `METHOD STATUS` -> how many. */
export type Counts = Map<string, number>;

export interface Stage {
  readonly t: TestContext;
  /** Of this test alone; gone after it. */
  readonly folder: string;
  readonly certificate: Certificate;
  /** What is started in it carries the label `service` = its name. */
  readonly unit: Unit;
  /** The root of the stack's suite; undefined for stacks of this system. */
  readonly root: Root | undefined;
}

export interface Stack {
  readonly name: string;
  /** As the agent calls it; '' where it finds none. */
  readonly library: string;
  /** Debian packages of this system that it needs besides those of tools/setup.sh; the first gives the version. */
  readonly packages: readonly string[];
  /** Runs in a root of this Debian suite instead, in a mount namespace of its own. */
  readonly suite?: string;
  /** undefined: the version of the first package. */
  version?(stage: Pick<Stage, 'root'>): Promise<string>;
  /** Starts a server on the port; the promise ends when it listens. Answers /status/NNN with that status. */
  server?(stage: Stage, port: number): Promise<void>;
  /** Sends about COUNT requests to the server on the port, the first a second after its start. */
  client?(stage: Stage, port: number, count: number): Promise<Counts>;
  /** A server that knows less than the others: sends the requests that it understands. */
  traffic?(stage: Stage, port: number, count: number): Promise<Counts>;
  /** Why it has no such role, for the table. */
  readonly gaps?: Partial<Record<Role, string>>;
  /** What the agent says of it instead of counting it: the reason that /api/status gives. */
  readonly unsupported?: string;
}
