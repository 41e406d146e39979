/** Servers of other projects as child processes, each in a unit of its own, so that its name is its `service`. */

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { type Child, canConnect, PYTHON, start, until } from '../kernel/harness.ts';
import { makeUnit } from '../kernel/unit.ts';

export interface Running {
  readonly service: string;
  readonly port: number;
}

/** Returns when it accepts connections. */
export function startIn(
  t: TestContext,
  name: string,
  port: number,
  program: string,
  ...args: string[]
): Promise<Running> {
  return startWhen(t, name, port, [program, ...args], async () => canConnect(port));
}

/** Returns when it has printed `ready`. */
export function startReady(
  t: TestContext,
  name: string,
  port: number,
  program: string,
  ...args: string[]
): Promise<Running> {
  return startWhen(t, name, port, [program, ...args], async (child) => child.stdout().includes('ready'));
}

async function startWhen(
  t: TestContext,
  name: string,
  port: number,
  words: readonly [string, ...string[]],
  isReady: (child: Child) => Promise<boolean>,
): Promise<Running> {
  const unit = makeUnit(t, name);
  const [command, ...args] = unit.command(...words);
  const child = start(t, command, args);
  await until(`${name} is ready`, async () => {
    assertRuns(name, child);
    return (await isReady(child)) || undefined;
  });
  return { service: unit.name, port };
}

/**
 * A process that has Debian's OpenSSL mapped, for servers that do not: a library is attached when a process that maps it is
 * looked at, and a curl that lives for a few milliseconds may be gone by then.
 */
export async function mapOpenSsl(t: TestContext): Promise<void> {
  const child = start(t, PYTHON, ['-uc', 'import ssl, time; print("ready"); time.sleep(600)']);
  await until('OpenSSL is mapped', () => child.stdout().includes('ready') || undefined);
}

function assertRuns(name: string, child: Child): void {
  assert.equal(child.process.exitCode, null, `${name} has ended: ${child.stderr()}`);
}
