/**
 * The kernel matrix: `npm run test:kernels [-- KERNEL...]` runs test/kernel/ on every kernel of kernels.json, with --core
 * those files that each kernel must pass by itself, with --stats (`npm run bpf:stats`, `.ci/run`) only the verifier. Everything a guest brought back is in build/vm/KERNEL/. A kernel that
 * cannot be fetched is reported as not run and fails nothing; a program that the verifier refuses fails its row. A run
 * of the whole matrix writes test/kernels.md and the README's table, except with CI set, where it only writes
 * build/vm/kernels.md.
 *
 * PLAINSIGHT_TEST_SCALE (0.05) is passed to the tests: a factor for counts. PLAINSIGHT_VM_LIMIT (1500): seconds a guest has.
 */

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fromRoot } from '../../src/root.ts';
import { ARCHITECTURES, type Architecture } from './architecture.ts';
import { makeRootImage, withProject } from './guest.ts';
import { endAllWithThisProcess, NotFetched, NotPossible, say, setUpHost } from './host.ts';
import { fetchKernel, type Kernel, type KernelRow, readRows } from './kernels.ts';
import { type Guest, runGuest } from './machine.ts';
import { kernelsDocument, type RowReport, readmeWith, statsTable, summaryTable } from './report.ts';
import { readFindings } from './results.ts';

const GUESTS_AT_ONCE = 2;
const MEMORY_MEBIBYTES = 1536;
const LIMIT_SECONDS = Number(process.env.PLAINSIGHT_VM_LIMIT ?? 1500);
/** Emulated processors are some twenty times slower. */
const TEST_SCALE = process.env.PLAINSIGHT_TEST_SCALE ?? '0.05';
const TEST_TIMEOUT_MS = 600_000;

interface Prepared {
  readonly row: KernelRow;
  readonly kernel: Kernel | undefined;
  readonly rootImage: string | undefined;
  readonly notRun: string | undefined;
}

const NOTHING = { programs: [], doctor: undefined, features: [], tests: [] };

/** Files of test/kernel/ for which guests lack something: the demo's own files, hey, a compiler, an unhurried clock. */
const WANT_MORE = ['demo', 'go', 'io-uring', 'seccomp', 'start-orders'];
/** What they ask of a kernel, others ask too, or nothing. */
const ASK_LITTLE = ['canary', 'hostile-files', 'pipelines', 'record', 'refusals'];

/** What the front ends of a kernel are for: both ends of HTTP and HTTPS, attached and detached. */
const CORE = ['capabilities', 'clients', 'doctor', 'lifecycle', 'nginx', 'python', 'tcp'];

type Scope = 'all' | 'core' | 'verifier';

function testsInGuests(scope: Scope): readonly string[] {
  if (scope === 'core') return CORE;
  const files = readdirSync(fromRoot('build/test/kernel')).filter((name) => name.endsWith('.test.js'));
  return files
    .map((name) => basename(name, '.test.js'))
    .filter((name) => ![...WANT_MORE, ...ASK_LITTLE].includes(name));
}

/** One after the other: they share package lists, and fetching is quick beside running. */
async function prepare(rows: readonly KernelRow[]): Promise<Prepared[]> {
  const prepared: Prepared[] = [];
  for (const row of rows) {
    let kernel: Kernel | undefined;
    try {
      kernel = await fetchKernel(row);
      prepared.push({
        row,
        kernel,
        rootImage: await makeRootImage(ARCHITECTURES[row.architecture]),
        notRun: undefined,
      });
    } catch (error) {
      if (!(error instanceof NotFetched)) throw error;
      say(`${row.name}: not run: ${error.message}`);
      prepared.push({ row, kernel, rootImage: undefined, notRun: error.message });
    }
  }
  return prepared;
}

async function runRow(row: KernelRow, guest: Guest, scope: Scope): Promise<RowReport> {
  const { release } = guest.kernel;
  const results = fromRoot(`build/vm/${row.name}`);
  const started = Date.now();
  say(`${row.name}: boots ${release}`);
  const { exitCode, problem, console } = await runGuest(guest, {
    script: readFileSync(fromRoot('test/vm/suite.sh'), 'utf8'),
    environment: {
      STATS_ONLY: scope === 'verifier' ? 'yes' : 'no',
      TESTS: (row.tests ?? testsInGuests(row.core ? 'core' : scope)).join(' '),
      TESTS_ONLY: row.tests ? 'yes' : 'no',
      PLAINSIGHT_TEST_SCALE: TEST_SCALE,
      TEST_TIMEOUT_MS: String(TEST_TIMEOUT_MS),
    },
    limitSeconds: LIMIT_SECONDS,
    results,
  });
  const findings = readFindings(results);
  const problems: string[] = [];
  if (problem !== undefined) problems.push(`${problem}; the end of its console:\n${console}`);
  else if (exitCode === 124 || exitCode === 137) problems.push(`its time was over after ${LIMIT_SECONDS} s`);
  else if (exitCode !== 0) problems.push(`the suite ended with ${exitCode}`);
  if (!row.tests && findings.programs.length === 0) problems.push('the verifier was not asked');
  if (scope !== 'verifier' && findings.tests.length === 0) problems.push('no test ran');
  for (const { name, outcome } of findings.tests) if (outcome === 'failed') problems.push(`failed: ${name}`);
  for (const { object, program, state, error } of findings.programs) {
    if (state === 'refused') problems.push(`${object} ${program} is refused: ${error}`);
  }
  say(
    `${row.name}: ${problems.length === 0 ? 'passed' : 'failed'} after ${Math.round((Date.now() - started) / 1000)} s`,
  );
  return { name: row.name, architecture: row.architecture, release, notRun: undefined, problems, findings };
}

/** In the order of the rows, so many at a time. */
async function runAll(prepared: readonly Prepared[], architecture: Architecture, scope: Scope): Promise<RowReport[]> {
  const reports: RowReport[] = [];
  const queue = [...prepared.entries()];
  await withProject(architecture, async (project) => {
    const work = async () => {
      for (let next = queue.shift(); next; next = queue.shift()) {
        const [index, { row, kernel, rootImage, notRun }] = next;
        if (kernel && rootImage) {
          const guest = { kernel, rootImage, project, memoryMebibytes: MEMORY_MEBIBYTES };
          reports[index] = await runRow(row, guest, scope);
        } else {
          const { name, architecture } = row;
          reports[index] = { name, architecture, release: undefined, notRun, problems: [], findings: NOTHING };
        }
      }
    };
    await Promise.all(Array.from({ length: GUESTS_AT_ONCE }, work));
  });
  return reports;
}

function write(path: string, text: string): void {
  writeFileSync(fromRoot(path), text);
  say(`wrote ${path}`);
}

async function main(args: readonly string[]): Promise<number> {
  const scope = args.includes('--stats') ? 'verifier' : args.includes('--core') ? 'core' : 'all';
  const names = args.filter((arg) => arg !== '--stats' && arg !== '--core');
  const all = readRows();
  const unknown = names.find((name) => !all.some((row) => row.name === name));
  if (unknown !== undefined) {
    process.stderr.write(`there is no kernel ${unknown}; the kernels are ${all.map(({ name }) => name).join(', ')}\n`);
    return 64;
  }
  const rows = all.filter(
    ({ name, tests }) => (names.length === 0 || names.includes(name)) && !(scope === 'verifier' && tests),
  );
  endAllWithThisProcess();
  const reports: RowReport[] = [];
  for (const architecture of Object.values(ARCHITECTURES)) {
    const own = rows.filter((row) => row.architecture === architecture.debian);
    if (own.length === 0) continue;
    await setUpHost(architecture);
    reports.push(...(await runAll(await prepare(own), architecture, scope)));
  }

  const ran = reports.filter(({ notRun }) => notRun === undefined);
  mkdirSync(fromRoot('build/vm'), { recursive: true });
  process.stdout.write(`\n${statsTable(reports)}\n`);
  if (scope !== 'verifier') process.stdout.write(`\n${summaryTable(reports)}\n`);
  if (scope !== 'verifier' && ran.length > 0) {
    write('build/vm/kernels.md', kernelsDocument(reports));
    if (scope === 'all' && names.length === 0 && !process.env.CI) {
      write('test/kernels.md', kernelsDocument(reports));
      write('README.md', readmeWith(readFileSync(fromRoot('README.md'), 'utf8'), reports));
    }
  }
  for (const { name, notRun, problems } of reports) {
    if (notRun !== undefined) process.stdout.write(`\n${name}: NOT RUN: ${notRun}\n`);
    if (problems.length > 0) process.stdout.write(`\n${name}:\n  ${problems.join('\n  ')}\n`);
  }
  const failed = ran.filter(({ problems }) => problems.length > 0).length;
  const left = reports.length - ran.length;
  process.stdout.write(`\n${ran.length - failed} passed, ${failed} failed${left > 0 ? `, ${left} not run` : ''}\n`);
  return failed > 0 ? 1 : 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof NotFetched || error instanceof NotPossible)) throw error;
  say(error.message);
  process.exitCode = 2;
}
