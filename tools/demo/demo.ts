/**
 * `npm run demo`: the shop, the agent, and where to look. Ends with Ctrl-C, or when something of it ends. What is given to
 * it goes to `plainsight run`; without --listen the page is on port 9090, or on a free one where that is taken.
 */

import { createServer } from 'node:net';
import { freePort, openShop, type Shop, sleep } from './shop.ts';

const DEFAULT_PORT = 9090;
const FIRST_NUMBER_LIMIT_MS = 20_000;

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.on('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** The address that the agent says it has; undefined when it ends before it says any. */
function addressOf(agent: ReturnType<Shop['startAgent']>): Promise<string | undefined> {
  return new Promise((resolve) => {
    let text = '';
    agent.stderr?.on('data', (part) => process.stderr.write(part));
    agent.stdout?.on('data', (part) => {
      if (text.length > 65_536) return;
      text += part;
      const address = /(http:\/\/\S+)\/metrics/.exec(text)?.[1];
      if (address !== undefined) resolve(address);
    });
    agent.on('close', () => resolve(undefined));
  });
}

/** Milliseconds until the summary behind the page has a request; undefined when none came. */
async function firstNumber(base: string, sinceMs: number): Promise<number | undefined> {
  while (performance.now() - sinceMs < FIRST_NUMBER_LIMIT_MS) {
    const summary = await fetch(`${base}/api/summary`).then(
      (response) => response.json() as Promise<{ all?: { server: { total: { requests: number } } } }>,
      () => undefined,
    );
    if ((summary?.all?.server.total.requests ?? 0) > 0) return performance.now() - sinceMs;
    await sleep(50);
  }
  return undefined;
}

async function demo(args: readonly string[]): Promise<number> {
  const startedMs = performance.now();
  let interrupted: () => void = () => {};
  const interrupt = new Promise<undefined>((resolve) => {
    interrupted = () => resolve(undefined);
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupted);
  const shop = await openShop();
  try {
    shop.startCustomers();
    const listen = args.some((word) => word.startsWith('--listen'))
      ? []
      : ['--listen', `127.0.0.1:${(await isFree(DEFAULT_PORT)) ? DEFAULT_PORT : await freePort()}`];
    const agent = shop.startAgent(['run', '--log-level', 'warn', ...listen, ...args], 'pipe');
    const address = await Promise.race([addressOf(agent), interrupt]);
    if (address === undefined) {
      await Promise.race([shop.ended, interrupt]);
      return agent.exitCode ?? 0;
    }
    const rows = [...shop.description, ['page', `${address}/`], ['metrics', `${address}/metrics`]] as const;
    const width = Math.max(...rows.map(([name]) => name.length));
    console.log(`\nPlainsight watches a small shop on this machine:\n`);
    for (const [name, text] of rows) console.log(`  ${name.padEnd(width)}  ${text}`);
    const firstMs = await Promise.race([firstNumber(address, startedMs), interrupt]);
    if (firstMs !== undefined)
      console.log(`\nThe first number was on the page after ${(firstMs / 1000).toFixed(1)} s.`);
    console.log('Ctrl-C ends all of it.');
    const what = await Promise.race([shop.ended, interrupt]);
    if (what === undefined) return 0;
    console.error(`demo: ${what}; the rest is stopped`);
    return 1;
  } finally {
    await shop.stop();
  }
}

try {
  process.exitCode = await demo(process.argv.slice(2));
} catch (error) {
  console.error(`demo: ${(error as Error).message}`);
  process.exitCode = 1;
}
process.exit();
