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
export async function startIn(
  t: TestContext,
  name: string,
  port: number,
  program: string,
  ...args: string[]
): Promise<Running> {
  const unit = makeUnit(t, name);
  const [command, ...rest] = unit.command(program, ...args);
  const child = start(t, command, rest);
  await until(`${name} listens`, async () => {
    assertRuns(name, child);
    return (await canConnect(port)) || undefined;
  });
  return { service: unit.name, port };
}

/** Returns when it has printed `ready`. */
export async function startReady(
  t: TestContext,
  name: string,
  port: number,
  program: string,
  ...args: string[]
): Promise<Running> {
  const unit = makeUnit(t, name);
  const [command, ...rest] = unit.command(program, ...args);
  const child = start(t, command, rest);
  await until(`${name} is ready`, () => {
    assertRuns(name, child);
    return child.stdout().includes('ready') || undefined;
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
