/**
 * What `run`, `tail` and `record` share: the checks before the start, the agent from its start to its stop, and the table
 * of `doctor` where it cannot start.
 */

import { existsSync } from 'node:fs';
import { type Config, loadConfig } from '../config.ts';
import { PlainsightError } from '../errors.ts';
import { Log } from '../log.ts';
import type { AgentHandle, StartOptions } from './agent-contract.ts';
import { type Arguments, parsePid } from './arguments.ts';
import type { Context } from './context.ts';
import { checksTable, exitCodeOf, judge } from './host-checks.ts';
import { readHostFacts, requireReadable } from './host-facts.ts';
import type { Lifetime } from './lifetime.ts';

/** A reader of stderr that far behind gets the later messages only. */
const LOG_WAITING_LIMIT_BYTES = 1024 * 1024;

export interface Prepared {
  readonly config: Config;
  readonly log: Log;
  /** Of `--pid`. */
  readonly onlyPid: number | undefined;
}

/** @throws PlainsightError USAGE */
export async function prepare(args: Arguments, context: Context): Promise<Prepared> {
  const config = await loadConfig({ flags: args.values, env: context.env });
  requireReadable('proc-root', config.procRoot, 'folder');
  if (config.btfPath !== undefined) requireReadable('btf-path', config.btfPath, 'file');
  const onlyPid = parsePid(args.values.get('pid'));
  if (onlyPid !== undefined && !existsSync(`${config.procRoot}/${onlyPid}`)) {
    throw new PlainsightError('USAGE', `--pid: there is no process ${onlyPid}`);
  }
  return { config, log: createLog(config, context), onlyPid };
}

export function createLog(config: Config, context: Context): Log {
  let lost = 0;
  const write = (line: string) => {
    if (context.stderr.writableLength > LOG_WAITING_LIMIT_BYTES) {
      lost++;
      return;
    }
    if (lost > 0) context.stderr.write(`plainsight: ${lost} log lines were lost: stderr was not read\n`);
    lost = 0;
    context.stderr.write(line);
  };
  return new Log({ level: config.logLevel, format: config.logFormat, write });
}

/**
 * Runs the agent until `lifetime` ends. Returns the exit code: 0, or 2 with the table of `doctor` on stderr when this
 * host cannot run it.
 * @throws PlainsightError as startAgent
 */
export async function runAgent(
  context: Context,
  { config, onlyPid }: Prepared,
  options: StartOptions,
  lifetime: Lifetime,
  started: (handle: AgentHandle) => void,
): Promise<number> {
  if (await explainUnfit(context, config, false)) return 2;
  const starting = context.startAgent(config, onlyPid === undefined ? options : { ...options, onlyPid });
  // Whoever stops it during the start does not care how the start ends.
  starting.catch(() => {});
  let handle: AgentHandle | undefined;
  try {
    handle = await Promise.race([starting, lifetime.ended.then(() => undefined)]);
  } catch (error) {
    if (error instanceof PlainsightError && error.code === 'UNSUPPORTED') await explainUnfit(context, config, true);
    throw error;
  }
  if (handle) {
    started(handle);
    await lifetime.ended;
  } else {
    handle = await starting.catch(() => undefined);
  }
  await handle?.stop();
  return 0;
}

/** Prints the table when something the agent cannot do without is missing, or when it has been refused already. */
async function explainUnfit(context: Context, config: Config, refused: boolean): Promise<boolean> {
  const { procRoot, btfPath } = config;
  const native = refused ? () => context.native() : undefined;
  const facts = { hostRoot: context.hostRoot, architecture: process.arch, procRoot, btfPath, native };
  const checks = judge(await readHostFacts(facts));
  const unfit = exitCodeOf(checks) === 2;
  if (unfit || refused) context.stderr.write(checksTable(checks));
  if (unfit && !refused) {
    const names = checks.filter(({ status }) => status === 'missing').map(({ name }) => name);
    context.stderr.write(`plainsight: cannot run on this host: ${names.join(', ')}\n`);
  }
  return unfit;
}
