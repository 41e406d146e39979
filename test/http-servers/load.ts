/** h2load as the client of the real servers: what it counted, and what it measured. In a unit, so that it has labels of its own. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type RunningAgent, sleep, startAgent, until } from '../kernel/harness.ts';
import { makeUnit, runInUnit, type Unit } from '../kernel/unit.ts';
import { mapOpenSsl } from './programs.ts';
import { total } from './rows.ts';
import type { Row } from './table.ts';

export const CLIENTS = 4;
/** Requests that are open at a time on each connection. */
export const STREAMS = 100;

export interface Load {
  /** In turn; each as often as the others: `requests` is a multiple of CLIENTS times their number. */
  readonly paths: readonly string[];
  readonly requests: number;
  /** What each path is answered with. */
  readonly statuses: readonly number[];
  readonly method?: string;
  /** At a time, on each connection. */
  readonly streams?: number;
  /** HTTP/2 without it. */
  readonly version?: '1.1';
  /** File of the request body. */
  readonly body?: string;
}

/** What a client has sent, and how long it waited in all. */
export class Sent {
  readonly counts = new Map<string, number>();
  seconds = 0;

  add(key: string, count: number): void {
    this.counts.set(key, (this.counts.get(key) ?? 0) + count);
  }

  get total(): number {
    return total(this.counts);
  }

  /** With what was sent before. */
  after(before: ReadonlyMap<string, number>): Map<string, number> {
    const sum = new Map(before);
    for (const [key, count] of this.counts) sum.set(key, (sum.get(key) ?? 0) + count);
    return sum;
  }
}

/** Busy servers and clients may keep the agent from its turn for long on two processors. */
const RING_BYTES = 64 * 1024 * 1024;

export const startAgentUnderLoad = (t: TestContext) => startAgent(t, '--ring-size', String(RING_BYTES));

/** Of the durations that the client has measured. */
const TOLERANCE = 0.02;

/** h2load makes a hundred requests, each with its own beginning, before it writes the first: so long each of them waits for that. */
const BATCH_SECONDS = 0.0001;

const SETTLE_ROUNDS = 150;

const UNITS: Readonly<Record<string, number>> = { us: 1e-6, ms: 1e-3, s: 1, m: 60 };

/** Runs h2load once and adds what it sent. */
export async function load(unit: Unit, sent: Sent, base: string, what: Load): Promise<void> {
  const { paths, requests, statuses, method = what.body ? 'POST' : 'GET', streams = STREAMS } = what;
  assert.equal(requests % (CLIENTS * paths.length), 0);
  const args = ['-n', String(requests), '-c', String(CLIENTS), '-m', String(streams)];
  if (what.version === '1.1') args.push('--h1');
  if (method !== 'GET' && !what.body) args.push('-H', `:method: ${method}`);
  if (what.body) args.push('-d', what.body);
  const text = await runInUnit(unit, ['h2load', ...args, ...paths.map((path) => base + path)]);
  const done = /(\d+) total, \d+ started, (\d+) done, \d+ succeeded, \d+ failed, (\d+) errored/.exec(text);
  assert.deepEqual(done?.slice(1), [String(requests), String(requests), '0'], text);
  const mean = /time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s|m)\s/.exec(text);
  assert.ok(mean, text);
  sent.seconds += Number(mean[1]) * UNITS[mean[2]!]! * requests;
  for (const status of statuses) sent.add(`${method} ${status}`, requests / paths.length);
}

/** Files of the sizes 0 B to 10 MB in a folder. Returns it. */
export const SIZES = [0, 1, 100, 255, 256, 4096, 16384, 100_000] as const;
export const LARGE = 10_000_000;

export function writeFiles(folder: string): string {
  const root = join(folder, 'root');
  mkdirSync(root);
  for (const size of [...SIZES, LARGE]) writeFileSync(join(root, `f${size}`), randomBytes(size));
  return root;
}

/**
 * Sends loads until one is counted whole on both sides: their TLS libraries have probes. Returns what the server has been
 * counted for till then; the client was another than the one whose requests count.
 */
export async function warmUp(
  t: TestContext,
  agent: RunningAgent,
  server: string,
  base: string,
  what: Load,
): Promise<Map<string, number>> {
  if (base.startsWith('https:')) await mapOpenSsl(t);
  return until('both sides are seen', async () => {
    const unit = makeUnit(t, 'warm');
    const before = total((await agent.scrape()).transactions('server', { service: server }));
    await load(unit, new Sent(), base, what);
    await sleep(300);
    const exposition = await agent.scrape();
    const served = exposition.transactions('server', { service: server });
    const asked = exposition.transactions('client', { service: unit.name });
    return total(served) === before + what.requests && total(asked) === what.requests ? served : undefined;
  });
}

/** Both sides have counted what was sent, and the client's durations are those that it measured itself. */
export async function expectBoth(
  t: TestContext,
  row: Row,
  agent: RunningAgent,
  sent: Sent,
  before: ReadonlyMap<string, number>,
  server: string,
  client: string,
  scheme: string,
): Promise<void> {
  const expected = sent.after(before);
  // The agent reads behind 10 MB responses while others use the processors.
  for (let i = 0; i < SETTLE_ROUNDS; i++) {
    const exposition = await agent.scrape();
    const served = total(exposition.transactions('server', { service: server, scheme }));
    const asked = total(exposition.transactions('client', { service: client, scheme }));
    if (served >= total(expected) && asked >= sent.total) break;
    await sleep(100);
  }
  const now = await agent.scrape();
  row.sent = sent.total;
  row.served = total(now.transactions('server', { service: server, scheme })) - total(before);
  row.asked = total(now.transactions('client', { service: client, scheme }));
  await agent.expect('server', { service: server, scheme }, expected);
  const after = await agent.expect('client', { service: client, scheme }, sent.counts);
  assert.equal(after.lost(), 0);
  assert.equal(after.sum('http_requests_incomplete_total', { service: client }), 0);
  const measured = after.sum('http_client_request_duration_seconds_sum', { service: client, scheme });
  const ratio = measured / sent.seconds;
  row.difference = ratio - 1;
  t.diagnostic(
    `${sent.total} requests; sum of durations: client ${sent.seconds.toFixed(3)} s, ours ${measured.toFixed(3)} s ` +
      `(${((ratio - 1) * 100).toFixed(2)} %)`,
  );
  const allowed = Math.max(TOLERANCE * sent.seconds, BATCH_SECONDS * sent.total);
  assert.ok(Math.abs(measured - sent.seconds) <= allowed, `${measured} s instead of ${sent.seconds} s`);
}
