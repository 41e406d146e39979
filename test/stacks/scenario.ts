/** What the stacks share: requests of known methods and statuses, and how they are sent. */

import { fromRoot } from '../../src/root.ts';
import { type Child, canConnect, PYTHON, run, start, until } from '../kernel/harness.ts';
import type { Unit } from '../kernel/unit.ts';

export const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'HEAD'] as const;
export const STATUSES = [200, 204, 301, 404, 500, 201, 503] as const;

export interface Request {
  readonly method: string;
  readonly status: number;
  readonly body: string;
}

/** Methods and statuses in turn. */
export function requests(count: number): Request[] {
  return Array.from({ length: count }, (_, i) => {
    const method = METHODS[i % METHODS.length]!;
    const body = method === 'POST' || method === 'PUT' ? 'b'.repeat(i % 400) : '';
    return { method, status: STATUSES[i % STATUSES.length]!, body };
  });
}

export function fixture(name: string): string {
  return fromRoot(`fixtures/servers/${name}`);
}

/** Our own client, in no unit. It waits a second before its first request. */
export async function pythonClient(base: string, count: number): Promise<string> {
  const { stdout } = await run(PYTHON, [fixture('client.py'), base, String(count), '1']);
  return stdout;
}

export async function startIn(
  t: Parameters<typeof start>[0],
  unit: Unit,
  program: [string, ...string[]],
): Promise<Child> {
  const [command, ...args] = unit.command(...program);
  return start(t, command, args);
}

export async function listens(port: number): Promise<void> {
  await until(`something listens on port ${port}`, async () => (await canConnect(port)) || undefined);
}

export async function startReady(
  t: Parameters<typeof start>[0],
  unit: Unit,
  program: [string, ...string[]],
): Promise<void> {
  const child = await startIn(t, unit, program);
  await until(`${program[0]} is ready`, () => {
    if (child.process.exitCode !== null) throw new Error(`${program.join(' ')} ended: ${child.stderr()}`);
    return child.stdout().includes('ready') || undefined;
  });
}
