/**
 * A Go server and client whose stacks grow and shrink with every request, under a collector that never rests, live through a
 * minute of probes that come and go, and of agents that are killed: both end with 0, all is answered, nothing is logged.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { sleep, startAgent } from '../kernel/harness.ts';
import { openProber } from '../kernel/prober.ts';
import { buildGo } from './programs.ts';
import { startServer, toCounts, total } from './scenario.ts';
import { type GoVersion, goToolchain } from './toolchains.ts';

const DURATION_MS = 60_000;
const ROUNDS = 50;
/** The probes are there for so long, and gone for half of it; attaching and detaching takes longer. */
const ROUND_MS = 200;
const UNCOMFORTABLE = ['-collect', '-deepen=2000'];

interface Load {
  /** Of the servers. */
  readonly pids: readonly number[];
  /** Both have ended well, and count the same: how many requests. */
  end(): Promise<number>;
}

async function startLoad(t: TestContext, version: GoVersion): Promise<Load> {
  const toolchain = await goToolchain(version);
  const build = { variant: 'plain', stripped: true } as const;
  const client = await buildGo(toolchain, 'client', build);
  const { server } = await startServer(t, await buildGo(toolchain, 'server', build), UNCOMFORTABLE);
  const flags = [`-url=https://${server.address}`, `-duration=${DURATION_MS}ms`, '-connections=8', ...UNCOMFORTABLE];
  const child = spawn(client, flags, { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  const closed = once(child, 'close');
  return {
    pids: [server.process.pid!],
    async end() {
      assert.deepEqual(await closed, [0, null], stderr.slice(0, 500));
      assert.equal(stderr, '');
      const counts = toCounts(JSON.parse(stdout));
      assert.deepEqual(toCounts(await server.stop()), counts);
      assert.equal(server.log, '');
      return total(counts);
    },
  };
}

/** The oldest and the newest at once. */
async function startLoads(t: TestContext): Promise<Load> {
  const loads = [await startLoad(t, '1.19'), await startLoad(t, '1.27')] as const;
  return {
    pids: loads.flatMap(({ pids }) => pids),
    async end() {
      const counts = await Promise.all(loads.map((load) => load.end()));
      return counts[0]! + counts[1]!;
    },
  };
}

/** Repeats `action` until the load has ended. @returns how often */
async function during(load: Load, action: () => Promise<void>): Promise<{ rounds: number; answered: number }> {
  let answered: number | undefined;
  const ended = load.end().then((count) => {
    answered = count;
  });
  // What is wrong with the load is said when the round is over.
  ended.catch(() => {
    answered = 0;
  });
  let rounds = 0;
  for (; answered === undefined; rounds++) await action();
  await ended;
  return { rounds, answered };
}

test(`probes come and go ${ROUNDS} times in a minute`, async (t) => {
  const load = await startLoads(t);
  const prober = await openProber(t);
  const { rounds, answered } = await during(load, () => prober.round(load.pids, ROUND_MS));
  t.diagnostic(`${rounds} rounds, ${prober.attached} attachments, ${answered} requests`);
  assert.ok(prober.attached >= ROUNDS * load.pids.length, `only ${prober.attached} attachments`);
  assert.ok(answered > 1000);
});

test('agents are killed and started again for a minute', async (t) => {
  const load = await startLoads(t);
  let blind = 0;
  const { rounds, answered } = await during(load, async () => {
    const agent = await startAgent(t);
    await sleep(1000);
    const seen = (await agent.scrape()).sum('http_request_duration_seconds_count', { scheme: 'https' });
    if (seen === 0) blind++;
    assert.deepEqual(await agent.stop('SIGKILL'), { code: null, signal: 'SIGKILL' });
  });
  t.diagnostic(`${rounds} agents, ${answered} requests`);
  // The last one may have come too late.
  assert.ok(rounds >= 5 && blind <= 1, `${blind} of ${rounds} agents saw nothing`);
  assert.ok(answered > 1000);
});
