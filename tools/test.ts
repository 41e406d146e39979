/**
 * Runs the checks and the tests in order and adds them up: `node build/tools/test.js [SUITE...]`, all suites without an
 * argument. A suite that finds no test file fails, and so does a skipped test where the kernel can run it. Kernel suites
 * are left out, with the reason, only where BPF cannot be used at all. Builds nothing: tools/setup.sh has.
 */

import { spawn } from 'node:child_process';
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readSummary, type Totals } from './test-summary.ts';

// This file runs as build/tools/test.js.
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const TESTS = 'build/test';
const BIOME = 'node_modules/.bin/biome';

interface Command {
  readonly title: string;
  readonly command: readonly [string, ...string[]];
}

interface Suite {
  readonly title: string;
  /** Folders of test/ whose files belong to it; undefined: all that no other suite claims. */
  readonly folders: readonly string[] | undefined;
  readonly concurrency: number;
  /** A file that takes longer hangs. */
  readonly timeoutSeconds: number;
  readonly needsKernel: boolean;
}

const CHECKS: readonly Command[] = [
  { title: 'generated files', command: [process.execPath, 'build/tools/abi/generate.js'] },
  { title: 'list of files', command: [process.execPath, 'build/tools/architecture.js'] },
  { title: 'dashboards', command: [process.execPath, 'build/tools/dashboards/generate.js'] },
  { title: 'reference pages', command: [process.execPath, 'build/tools/reference/generate.js'] },
  { title: 'format and lint (TypeScript)', command: [BIOME, 'check', '--error-on-warnings', '.'] },
  { title: 'format (C and C++)', command: [process.execPath, 'tools/check-format.js'] },
];

const SUITES: Readonly<Record<string, Suite>> = {
  unit: { title: 'unit tests', folders: undefined, concurrency: 2, timeoutSeconds: 120, needsKernel: false },
  native: { title: 'addon tests', folders: ['native'], concurrency: 1, timeoutSeconds: 240, needsKernel: false },
  kernel: { title: 'kernel tests', folders: ['kernel', 'e2e'], concurrency: 1, timeoutSeconds: 300, needsKernel: true },
};

/** Folders of test/ with commands of their own. */
const ELSEWHERE = ['vm', 'go', 'stacks', 'deploy', 'page', 'containers', 'network', 'http-servers'];

/** Bits of CapEff (include/uapi/linux/capability.h). */
const CAP_SYS_ADMIN = 1n << 21n;
const CAP_PERFMON_AND_BPF = (1n << 38n) | (1n << 39n);

/** Why BPF cannot be used here, undefined when it can. */
function kernelObstacle(): string | undefined {
  const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const effective = BigInt(`0x${capabilities}`);
  if (process.geteuid?.() !== 0) return 'they need root';
  if ((effective & CAP_SYS_ADMIN) === 0n && (effective & CAP_PERFMON_AND_BPF) !== CAP_PERFMON_AND_BPF) {
    return 'root lacks CAP_BPF and CAP_PERFMON here (a container?)';
  }
  try {
    accessSync('/sys/kernel/btf/vmlinux', constants.R_OK);
  } catch {
    return 'this kernel shows no BTF (/sys/kernel/btf/vmlinux cannot be read)';
  }
  return undefined;
}

function testFiles(suite: Suite): string[] {
  const claimed = [...Object.values(SUITES).flatMap(({ folders }) => folders ?? []), ...ELSEWHERE];
  return readdirSync(join(ROOT, TESTS), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.js'))
    .filter((path) => {
      const folder = path.split('/')[0] ?? '';
      return suite.folders ? suite.folders.includes(folder) : !claimed.includes(folder);
    })
    .map((path) => join(TESTS, path))
    .sort();
}

/** Exit status and, where wanted, what it wrote to stdout. */
function run(command: readonly [string, ...string[]], capture: boolean): Promise<{ status: number; output: string }> {
  const [program, ...args] = command;
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(program, args, { cwd: ROOT, env, stdio: ['ignore', capture ? 'pipe' : 'inherit', 'inherit'] });
  const chunks: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    process.stdout.write(chunk);
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ status: code ?? 1, output: Buffer.concat(chunks).toString() }));
  });
}

/** @returns what is wrong with the suite, undefined when nothing is. */
async function runSuite(suite: Suite, canUseBpf: boolean, totals: Totals): Promise<string | undefined> {
  const files = testFiles(suite);
  if (files.length === 0) return 'there is no test file';
  const { status, output } = await run(
    [
      process.execPath,
      '--test',
      '--test-reporter=spec',
      `--test-concurrency=${suite.concurrency}`,
      `--test-timeout=${suite.timeoutSeconds * 1000}`,
      ...files,
    ],
    true,
  );
  const summary = readSummary(output);
  if (!summary) return `the test runner ended without a summary (exit status ${status})`;
  totals.passed += summary.passed;
  totals.failed += summary.failed;
  totals.skipped += summary.skipped;
  if (summary.failed > 0) return `${summary.failed} failed`;
  if (status !== 0) return `exit status ${status}`;
  if (summary.passed === 0) return 'no test ran';
  if (canUseBpf && summary.skipped > 0) return `${summary.skipped} skipped, although this kernel can run them`;
  return undefined;
}

function heading(title: string): void {
  console.log(`\n== ${title}`);
}

async function main(wanted: readonly string[]): Promise<number> {
  const known = ['checks', ...Object.keys(SUITES)];
  const unknown = wanted.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    console.error(`there is no suite ${unknown}; the suites are ${known.join(', ')}`);
    return 64;
  }
  const chosen = (name: string) => wanted.length === 0 || wanted.includes(name);
  const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
  const problems: string[] = [];
  const notRun: string[] = [];

  for (const { title, command } of chosen('checks') ? CHECKS : []) {
    heading(title);
    const { status } = await run(command, false);
    if (status === 0) totals.passed++;
    else {
      totals.failed++;
      problems.push(`${title}: exit status ${status}`);
    }
  }

  const obstacle = kernelObstacle();
  for (const [name, suite] of Object.entries(SUITES)) {
    if (!chosen(name)) continue;
    heading(suite.title);
    if (suite.needsKernel && obstacle !== undefined) {
      console.log(`NOT RUN: ${obstacle}`);
      notRun.push(`${suite.title} were not run: ${obstacle}`);
      continue;
    }
    const problem = await runSuite(suite, obstacle === undefined, totals);
    if (problem !== undefined) problems.push(`${suite.title}: ${problem}`);
  }

  heading('result');
  for (const line of [...notRun, ...problems]) console.log(line);
  console.log(
    `${totals.passed} passed, ${totals.failed} failed${totals.skipped > 0 ? `, ${totals.skipped} skipped` : ''}`,
  );
  return problems.length > 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
