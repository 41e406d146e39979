/** `doctor`: a line for each thing the agent needs of this host, with the fix. Reads; changes nothing. */

import { loadConfig } from '../config.ts';
import type { Arguments } from './arguments.ts';
import type { Context } from './context.ts';
import { type Check, checksTable, exitCodeOf, judge } from './host-checks.ts';
import { readHostFacts } from './host-facts.ts';
import { Output } from './output.ts';

const VERDICTS = ['all features', 'degraded: runs, but not with everything', 'cannot run on this host'] as const;

export async function doctor(args: Arguments, context: Context): Promise<number> {
  const { procRoot, btfPath } = await loadConfig({ flags: args.values, env: context.env });
  const { hostRoot } = context;
  const native = () => context.native();
  const facts = await readHostFacts({ hostRoot, architecture: process.arch, procRoot, btfPath, native });
  const checks = judge(facts);
  const output = new Output(context.stdout);
  output.write(args.switches.has('json') ? reportJson(checks) : reportText(checks));
  await output.flush();
  return exitCodeOf(checks);
}

export function reportText(checks: readonly Check[]): string {
  return `${checksTable(checks)}\n${VERDICTS[exitCodeOf(checks)]}\n`;
}

function reportJson(checks: readonly Check[]): string {
  const status = (['ok', 'degraded', 'missing'] as const)[exitCodeOf(checks)];
  return `${JSON.stringify({ status, checks }, undefined, 2)}\n`;
}
