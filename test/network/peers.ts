/** The two ends of TCP connections: fixtures/servers/tcp-peer.py, each in a network namespace and in a unit of its own. */

import type { TestContext } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import { PYTHON, start, until } from '../kernel/harness.ts';
import { makeUnit, runInUnit, type Unit } from '../kernel/unit.ts';
import type { End } from './namespaces.ts';

export const PEER = fromRoot('fixtures/servers/tcp-peer.py');

export async function serve(t: TestContext, at: End, address: string, port: number): Promise<Unit> {
  const unit = makeUnit(t, 'server');
  const [program, ...enter] = at.enter;
  const [command, ...args] = unit.command(program, ...enter, PYTHON, PEER, 'server', address, String(port));
  const child = start(t, command, args);
  await until('the server listens', () => (child.stdout().includes('ready') ? true : undefined));
  return unit;
}

/** Runs a mode of the fixture to its end. Returns what it counted. */
export async function peer(
  unit: Unit,
  at: End,
  ...args: readonly (string | number)[]
): Promise<Record<string, number>> {
  const [program, ...enter] = at.enter;
  const words = [PYTHON, PEER, ...args.map(String)];
  return JSON.parse(await runInUnit(unit, [program, ...enter, ...words])) as Record<string, number>;
}
