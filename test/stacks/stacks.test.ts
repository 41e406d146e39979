/**
 * The matrix of TLS stacks: one scenario for each stack of registry.ts in each role that it has. Run by
 * `npm run test:matrix`, which may install Debian packages and unpack others into the cache folder; a stack whose packages
 * cannot be fetched is `not run` and fails nothing. STACK=regular-expression chooses stacks by name, and then, or with CI
 * set, no table is written.
 */

import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import {
  freePort,
  makeCertificate,
  type RunningAgent,
  readCounts,
  sleep,
  startAgent,
  startPythonServer,
  temporaryFolder,
} from '../kernel/harness.ts';
import { makeUnit } from '../kernel/unit.ts';
import { NotFetched } from '../vm/host.ts';
import { type Row, writeTable } from './matrix-table.ts';
import { installPackages, versionOf } from './packages.ts';
import { STACKS } from './registry.ts';
import { openRoot, type Root } from './roots.ts';
import { pythonClient } from './scenario.ts';
import type { Counts, Role, Stack, Stage } from './stack.ts';

const COUNT = 1000;
const wanted = new RegExp(process.env.STACK ?? '', 'i');
const stacks = STACKS.filter(({ name }) => wanted.test(name));
const rows: Row[] = [];
let failures = new Map<string, string>();

before(async () => {
  const tools = stacks.some(({ suite }) => suite !== undefined) ? ['mmdebstrap'] : [];
  failures = await installPackages([...new Set([...tools, ...stacks.flatMap((stack) => stack.packages)])]);
});

after(() => {
  if (process.env.STACK === undefined && !process.env.CI) writeTable(fromRoot('test/support-matrix.md'), rows);
});

for (const stack of stacks) {
  for (const role of ['server', 'client'] as const) {
    test(`${stack.name}, ${role}`, (t) => runStack(t, stack, role));
  }
}

async function runStack(t: TestContext, stack: Stack, role: Role): Promise<void> {
  const row = { stack: stack.name, role, version: '', library: '', sent: 0, counted: 0, result: 'failed' };
  rows.push(row);
  const gap = stack.gaps?.[role];
  if (gap !== undefined) {
    row.result = `none: ${gap}`;
    return;
  }
  assert.ok(stack[role], `${stack.name} has neither the role ${role} nor a reason`);
  const missing = stack.packages.find((name) => failures.has(name));
  let root: Root | undefined;
  try {
    if (missing !== undefined) throw new NotFetched(failures.get(missing));
    root = stack.suite === undefined ? undefined : await openRoot(stack.suite);
  } catch (error) {
    if (!(error instanceof NotFetched)) throw error;
    row.result = 'not run: its packages could not be fetched';
    t.diagnostic(error.message);
    return;
  }
  row.version = stack.version ? await stack.version({ root }) : await versionOf(stack.packages[0]!);
  const folder = temporaryFolder(t);
  const stage = { t, folder, certificate: await makeCertificate(folder), unit: makeUnit(t, role), root };
  const { agent, sent, seen } = await (role === 'server' ? asServer(stack, stage) : asClient(stack, stage));
  const labels = { service: stage.unit.name, scheme: 'https' };
  row.sent = total(sent);
  row.library = [...new Set(seen.map(({ library }) => library))].join(' ');
  if (stack.unsupported !== undefined) {
    row.result = `unsupported: ${stack.unsupported}`;
    assert.deepEqual((await agent.scrape()).transactions(role, labels), new Map());
    const states = seen.map(({ library, state, reason }) => `${library} ${state} ${reason}`);
    assert.ok(states.includes(`${stack.library} unsupported ${stack.unsupported}`), states.join(', '));
    return;
  }
  assert.ok(row.sent >= COUNT, `only ${row.sent} requests were sent`);
  const counts = async () => (await agent.scrape()).transactions(role, labels);
  for (let i = 0; i < 50 && total(await counts()) < row.sent; i++) await sleep(40);
  const exposition = await agent.scrape();
  row.counted = total(exposition.transactions(role, labels));
  const incomplete = exposition.samples.filter(
    ({ name, value, labels: own }) =>
      name === 'http_requests_incomplete_total' && own.service === stage.unit.name && own.role === role && value > 0,
  );
  const losses = {
    lost: exposition.lost(),
    incomplete: incomplete.map(({ labels: { reason }, value }) => [reason, value]),
  };
  assert.deepEqual({ ...losses, counted: row.counted }, { lost: 0, incomplete: [], counted: row.sent });
  assert.deepEqual(exposition.transactions(role, labels), new Map([...sent].sort()));
  assert.ok(row.library.split(' ').includes(stack.library), row.library);
  row.result = 'ok';
}

interface Seen {
  readonly service: string;
  readonly library: string;
  readonly state: string;
  readonly reason: string;
}

interface Sent {
  readonly agent: RunningAgent;
  readonly sent: Counts;
  /** What the agent said of the unit's processes while they ran. */
  readonly seen: readonly Seen[];
}

/** The server is there before the agent, its client comes after it. */
async function asServer(stack: Stack, stage: Stage): Promise<Sent> {
  const port = await freePort();
  await stack.server!(stage, port);
  const agent = await startAgent(stage.t);
  const send = async () =>
    stack.traffic
      ? stack.traffic(stage, port, COUNT)
      : readCounts(await pythonClient(`https://127.0.0.1:${port}`, COUNT));
  return { agent, ...(await watching(agent, stage, send)) };
}

async function asClient(stack: Stack, stage: Stage): Promise<Sent> {
  const { port } = await startPythonServer(stage.t, stage.certificate);
  const agent = await startAgent(stage.t);
  return { agent, ...(await watching(agent, stage, () => stack.client!(stage, port, COUNT))) };
}

async function watching(agent: RunningAgent, stage: Stage, send: () => Promise<Counts>) {
  const seen = new Map<string, Seen>();
  const look = async () => {
    const status = (await (await fetch(`${agent.url}/api/status`)).json()) as { processes: Seen[] };
    for (const one of status.processes) {
      if (one.service === stage.unit.name) seen.set(`${one.library} ${one.state} ${one.reason}`, one);
    }
  };
  let done = false;
  const looking = (async () => {
    while (!done) {
      await look();
      await sleep(50);
    }
  })();
  try {
    return { sent: await send(), seen: [...seen.values()] };
  } finally {
    done = true;
    await looking;
  }
}

function total(counts: Counts): number {
  return [...counts.values()].reduce((a, b) => a + b, 0);
}
