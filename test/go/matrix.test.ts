/**
 * Go programs under the agent: our server and client built by each Go version in each form, and programs that Debian ships.
 * Run by `npm run test:go`. What cannot be fetched is `not run` and fails nothing. With WRITE_TABLE=1 the tables of
 * test/support-matrix-go.md are written, unless something was not run or failed; else they are printed.
 */

import assert from 'node:assert/strict';
import { after, type TestContext, test } from 'node:test';
import { goBuildInfo } from '../../src/elf/go-build-info.ts';
import { fromRoot } from '../../src/root.ts';
import { type RunningAgent, startAgent } from '../kernel/harness.ts';
import { makeUnit, type Unit } from '../kernel/unit.ts';
import { NotFetched } from '../vm/host.ts';
import { load } from './binaries.ts';
import { DEBIAN_CASES, type Traffic } from './debian-cases.ts';
import { type BuildRow, type Cell, type ProgramRow, renderTables, writeTables } from './matrix-table.ts';
import { type BuildOptions, buildGo } from './programs.ts';
import { type Counts, processesOf, runClient, startServer, toCounts, total } from './scenario.ts';
import { debianProgram, debianVersion, goToolchain, TESTED_GO_VERSIONS, type Toolchain } from './toolchains.ts';

const FORMS: Readonly<Record<string, BuildOptions>> = {
  plain: { variant: 'plain', stripped: false },
  '-s -w': { variant: 'plain', stripped: true },
  'PIE, -s -w': { variant: 'pie', stripped: true },
  'cgo, external linking, -s -w': { variant: 'cgo', stripped: true },
};
const FLAGS = ['-requests=1000', '-connections=50'];
const NOT_RUN = 'not run: it could not be fetched';

const builds: BuildRow[] = [];
const programs: ProgramRow[] = [];

after(() => {
  const rows = [...builds, ...programs];
  if (process.env.WRITE_TABLE === '1' && rows.every(({ result }) => result === 'ok')) {
    writeTables(fromRoot('test/support-matrix-go.md'), builds, programs);
  } else {
    process.stdout.write(renderTables(builds, programs));
  }
});

function goReleaseOf(path: string): string {
  const { file, bytes } = load(path);
  return goBuildInfo(file, bytes)?.version ?? '';
}

/** undefined: it could not be fetched, which is said in the output. */
async function fetching<T>(t: TestContext, action: () => Promise<T>): Promise<T | undefined> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof NotFetched)) throw error;
    t.diagnostic(`NOT RUN: ${error.message}`);
    return undefined;
  }
}

/**
 * The transactions of a unit are those that were sent, with nothing lost and nothing left over.
 * @param hasOther The program has HTTP/2 connections besides, which may be cut off.
 */
async function assertCounted(
  agent: RunningAgent,
  unit: Unit,
  role: 'server' | 'client',
  sent: Counts,
  hasOther = false,
): Promise<Cell> {
  const exposition = await agent.expect(role, { service: unit.name, scheme: 'https' }, sent);
  const incomplete = exposition.samples.filter(
    ({ name, labels, value }) =>
      name === 'http_requests_incomplete_total' && labels.service === unit.name && labels.role === role && value > 0,
  );
  if (!hasOther)
    assert.deepEqual(
      incomplete.map(({ labels, value }) => [labels.reason, value]),
      [],
    );
  assert.equal(exposition.lost(), 0);
  return { sent: total(sent), counted: total(exposition.transactions(role, { service: unit.name, scheme: 'https' })) };
}

async function runBuild(t: TestContext, toolchain: Toolchain, build: BuildOptions, processors: number) {
  const server = await buildGo(toolchain, 'server', build);
  const client = await buildGo(toolchain, 'client', build);
  // The server is there before the agent, the client comes after it.
  const running = await startServer(t, server, [], processors);
  const agent = await startAgent(t);
  const unit = makeUnit(t, 'client');
  const flags = [`-url=https://${running.server.address}`, ...FLAGS];
  const sent = await runClient(agent, unit, client, flags, { processors });
  const [state, ...others] = await processesOf(agent, running.unit);
  assert.deepEqual([state?.library, state?.state, others], ['go', 'attached', []]);
  assert.deepEqual(toCounts(await running.server.stop()), sent);
  assert.equal(running.server.log, '');
  assert.equal(total(sent), 1000);
  const cells = {
    server: await assertCounted(agent, running.unit, 'server', sent),
    client: await assertCounted(agent, unit, 'client', sent),
  };
  const exposition = await agent.scrape();
  const bound = (result: string) => exposition.sum('plainsight_socket_binding_total', { method: 'offset', result });
  assert.ok(bound('bound') >= 50, `only ${bound('bound')} connections are bound by their fields`);
  assert.equal(bound('conflict'), 0);
  return cells;
}

for (const version of TESTED_GO_VERSIONS) {
  for (const [form, build] of Object.entries(FORMS)) {
    const row = { release: `go${version}`, form, cells: new Map<string, Cell>(), result: 'failed' };
    builds.push(row);
    for (const processors of [1, 2]) {
      test(`Go ${version}, ${form}, GOMAXPROCS ${processors}`, async (t) => {
        const toolchain = await fetching(t, () => goToolchain(version));
        if (!toolchain) {
          row.result = NOT_RUN;
          return;
        }
        row.release = toolchain.release;
        const cells = await runBuild(t, toolchain, build, processors);
        for (const role of ['server', 'client'] as const) row.cells.set(`${role} ${processors}`, cells[role]);
        if (row.cells.size === 4) row.result = 'ok';
      });
    }
  }
}

for (const { name, program, run } of DEBIAN_CASES) {
  test(`${name}, as Debian ships it`, async (t) => {
    const base = { program: name, version: '', role: '', against: '', sent: 0, counted: 0, result: 'failed' };
    const at = programs.push(base) - 1;
    const path = await fetching(t, () => debianProgram(program));
    const toolchain = path === undefined ? undefined : await fetching(t, () => goToolchain('1.27'));
    if (path === undefined || toolchain === undefined) {
      base.result = NOT_RUN;
      return;
    }
    base.version = `${debianVersion(program)} (${goReleaseOf(path)})`;
    const build = { variant: 'plain', stripped: false } as const;
    const ours = {
      server: await buildGo(toolchain, 'server', build),
      client: await buildGo(toolchain, 'client', build),
    };
    const { agent, traffic } = await run({ t, path, ours });
    const counted: ProgramRow[] = [];
    for (const one of traffic) counted.push(await countTraffic(agent, one, base));
    programs.splice(at, 1, ...counted);
  });
}

async function countTraffic(agent: RunningAgent, traffic: Traffic, base: ProgramRow): Promise<ProgramRow> {
  const { unit, role, sent, against, hasOther = false } = traffic;
  assert.ok(total(sent) >= 1000, `only ${total(sent)} requests`);
  return { ...base, role, against, ...(await assertCounted(agent, unit, role, sent, hasOther)), result: 'ok' };
}
