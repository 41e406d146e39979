/** `run`: the agent, from start to signal. Says where to look and what it does not see. */

import { isIPv6 } from 'node:net';
import { type Config, loadConfig, mergeReloaded } from '../config.ts';
import { PlainsightError } from '../errors.ts';
import type { Log } from '../log.ts';
import { packageVersion } from '../root.ts';
import type { AgentHandle } from './agent-contract.ts';
import type { Arguments } from './arguments.ts';
import type { Context } from './context.ts';
import { Lifetime } from './lifetime.ts';
import { Output } from './output.ts';
import { prepare, runAgent } from './start.ts';

export async function run(args: Arguments, context: Context): Promise<number> {
  const prepared = await prepare(args, context);
  const { log } = prepared;
  const lifetime = new Lifetime(context, log);
  const output = new Output(context.stdout);
  let onHangup = () => {};
  try {
    return await runAgent(context, prepared, { web: true, log }, lifetime, (handle) => {
      output.write(greeting(handle));
      let config = prepared.config;
      onHangup = () => {
        void reload(args, context, config, handle, log).then((next) => {
          config = next;
        });
      };
      context.signals.on('SIGHUP', onHangup);
    });
  } finally {
    context.signals.off('SIGHUP', onHangup);
    await output.flush();
    lifetime.dispose();
  }
}

/** Nobody can open the address that stands for all addresses. */
const WILDCARDS: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

function greeting(handle: AgentHandle): string {
  const rows: [string, string][] = [];
  if (handle.webAddress) {
    const { host, port } = handle.webAddress;
    const reachable = WILDCARDS[host] ?? host;
    const base = `http://${isIPv6(reachable) ? `[${reachable}]` : reachable}:${port}`;
    rows.push(['page', `${base}/`], ['metrics', `${base}/metrics`], ['status', `${base}/api/status`]);
  }
  for (const { label, value } of handle.summary()) rows.push([label, value]);
  const width = Math.max(0, ...rows.map(([label]) => label.length));
  const lines = rows.map(([label, value]) => `  ${label.padEnd(width)}  ${value}`);
  return [`plainsight ${packageVersion()} is running`, ...lines, ''].join('\n');
}

/** Returns the configuration that holds from now on; an unreadable one changes nothing. */
async function reload(
  args: Arguments,
  context: Context,
  config: Config,
  handle: AgentHandle,
  log: Log,
): Promise<Config> {
  try {
    const merged = mergeReloaded(config, await loadConfig({ flags: args.values, env: context.env }));
    log.setLevel(merged.config.logLevel);
    handle.reload?.(merged.config);
    log.info('configuration read again', { applied: merged.applied.join(',') || 'nothing' });
    if (merged.restart.length > 0) log.warn('restart to apply', { options: merged.restart.join(',') });
    return merged.config;
  } catch (error) {
    const reason = error instanceof PlainsightError ? error.message : String(error);
    log.error('the configuration stays as it was', { reason });
    return config;
  }
}
