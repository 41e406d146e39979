/** What the tests of Go programs under the agent share: our server and client in units of their own, and what they count. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { type RunningAgent, until } from '../kernel/harness.ts';
import { makeUnit, type Unit } from '../kernel/unit.ts';
import { GoServer } from './server.ts';

/** `METHOD STATUS` -> how many. */
export type Counts = Map<string, number>;

export function toCounts(counts: Readonly<Record<string, number>>): Counts {
  return new Map(Object.entries(counts).sort());
}

export function total(counts: Counts): number {
  return [...counts.values()].reduce((a, b) => a + b, 0);
}

export interface InUnit {
  readonly unit: Unit;
  readonly server: GoServer;
}

/** GOMAXPROCS is a variable of the process: the unit's command takes none. */
function withProcessors(processors: number, path: string, flags: readonly string[]): [string, ...string[]] {
  return ['/usr/bin/env', `GOMAXPROCS=${processors}`, path, ...flags];
}

/** Ended with the test, when nothing has ended it before. */
export async function startServer(
  t: TestContext,
  path: string,
  flags: readonly string[],
  processors = 2,
): Promise<InUnit> {
  const unit = makeUnit(t, 'server');
  const [command, ...args] = unit.command(...withProcessors(processors, path, flags));
  return { unit, server: await GoServer.start(command, args) };
}

/** Our client. It begins when the agent says that it is `state`. Throws when a request failed. */
export async function runClient(
  agent: RunningAgent,
  unit: Unit,
  path: string,
  flags: readonly string[],
  { processors = 2, state = 'attached' } = {},
): Promise<Counts> {
  const [command, ...args] = unit.command(...withProcessors(processors, path, ['-wait', ...flags]));
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  const closed = once(child, 'close');
  await until(`the client is ${state}`, async () => {
    if (child.exitCode !== null) throw new Error(`${path} ended with ${child.exitCode}: ${stderr}`);
    return (await processesOf(agent, unit)).some((seen) => seen.library === 'go' && seen.state === state) || undefined;
  });
  child.stdin.end();
  const [status] = await closed;
  if (status !== 0 || stderr !== '') throw new Error(`${path} ended with ${status}: ${stderr.slice(0, 500)}`);
  return toCounts(JSON.parse(stdout) as Record<string, number>);
}

export interface SeenProcess {
  readonly service: string;
  readonly library: string;
  readonly state: string;
  readonly reason: string;
  readonly version: string;
}

/** What the agent says of the processes of a unit. */
export async function processesOf(agent: RunningAgent, unit: Unit): Promise<SeenProcess[]> {
  const status = (await (await fetch(`${agent.url}/api/status`)).json()) as { processes: SeenProcess[] };
  return status.processes.filter(({ service }) => service === unit.name);
}
