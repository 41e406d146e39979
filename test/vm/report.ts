/** The tables of the kernel matrix: Markdown for test/kernels.md, and the verifier's figures. Pure: findings in, text out. */

import type { GuestFindings, ProgramStats, TestOutcome } from './results.ts';

export interface RowReport {
  /** As in kernels.json. */
  readonly name: string;
  readonly architecture: string;
  /** As uname -r says it; undefined when the kernel could not be fetched. */
  readonly release: string | undefined;
  /** Why the row was not run, undefined when it was. */
  readonly notRun: string | undefined;
  /** What is wrong, empty when nothing is. */
  readonly problems: readonly string[];
  readonly findings: GuestFindings;
}

const HEAD = `# Kernels

Written by \`npm run test:kernels\` from what the guests reported. Each row is a kernel of Debian in a virtual machine.

- *programs*: BPF programs that load, of those that the kernel has the tracepoints and functions for.
- *TLS* and *plain HTTP*: the front end that an agent chooses there without any option.
- –: not for this kernel. arm64 runs only what each kernel must pass by itself.
`;

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}

function count(tests: readonly TestOutcome[], outcome: TestOutcome['outcome']): number {
  return tests.filter((test) => test.outcome === outcome).length;
}

/** Nothing is said of it. */
const NONE = '–';

function tlsFrontEnd({ features }: GuestFindings): string {
  const tls = features.find(({ name }) => name === 'tls');
  if (!tls) return NONE;
  if (!tls.enabled) return `off: ${tls.reason}`;
  return features.some(({ name, enabled }) => name === 'uprobe_multi' && enabled)
    ? 'uprobe_multi'
    : 'perf-event uprobes';
}

function plainFrontEnd({ features }: GuestFindings): string {
  const chosen = features.find(({ name, enabled }) => (name === 'socket' || name === 'syscall') && enabled);
  if (chosen) return chosen.name === 'socket' ? 'socket tracepoints' : 'system calls';
  const off = features.filter(({ name }) => name === 'socket' || name === 'syscall');
  return off.length === 0 ? NONE : `off: ${off.map(({ name, reason }) => `${name} ${reason}`).join(', ')}`;
}

const DOCTOR: Readonly<Record<number, string>> = { 0: 'all features', 1: 'degraded', 2: 'cannot run' };

function summaryCells({ name, architecture, release, notRun, findings }: RowReport): string[] {
  const start = [name, release ?? '', architecture];
  if (notRun !== undefined) return [...start, 'not run', '', '', '', ''];
  const possible = findings.programs.filter(({ state }) => state !== 'unavailable');
  const loaded = possible.filter(({ state }) => state === 'loaded');
  const passed = count(findings.tests, 'passed');
  const failed = count(findings.tests, 'failed');
  const skipped = count(findings.tests, 'skipped');
  return [
    ...start,
    possible.length === 0 ? NONE : `${loaded.length} of ${possible.length}`,
    tlsFrontEnd(findings),
    plainFrontEnd(findings),
    findings.doctor === undefined ? 'unknown' : (DOCTOR[findings.doctor] ?? `exit ${findings.doctor}`),
    `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`,
  ];
}

export function summaryTable(rows: readonly RowReport[]): string {
  const header = ['kernel', 'release', 'architecture', 'programs', 'TLS', 'plain HTTP', 'doctor', 'tests'];
  return table(header, rows.map(summaryCells));
}

/** A line per test, a column per kernel. */
export function testTable(rows: readonly RowReport[]): string {
  const names = [...new Set(rows.flatMap(({ findings }) => findings.tests.map(({ name }) => name)))];
  const cell = (name: string, { findings, notRun, problems }: RowReport) => {
    if (notRun !== undefined) return 'not run';
    return findings.tests.find((test) => test.name === name)?.outcome ?? (problems.length > 0 ? 'not reached' : NONE);
  };
  return table(
    ['test', ...rows.map(({ name }) => name)],
    names.map((name) => [name, ...rows.map((row) => cell(name, row))]),
  );
}

/** test/kernels.md */
export function kernelsDocument(rows: readonly RowReport[]): string {
  return `${HEAD}\n${summaryTable(rows)}\n\n## Tests\n\n${testTable(rows)}\n`;
}

/**
 * The README with another table between its marks.
 * @throws Error where it has no such marks.
 */
export function readmeWith(readme: string, rows: readonly RowReport[]): string {
  const [open, close] = ['<!-- kernels -->', '<!-- /kernels -->'];
  const [start, end] = [readme.indexOf(open), readme.indexOf(close)];
  if (start < 0 || end < start) throw new Error(`README.md has no ${open} … ${close} to write into`);
  return `${readme.slice(0, start)}${open}\n${summaryTable(rows)}\n\n[Each test](test/kernels.md).\n${readme.slice(end)}`;
}

/** Instructions that the verifier processed and bytes of stack, a line per program, a column per kernel. */
export function statsTable(rows: readonly RowReport[]): string {
  const key = ({ object, program }: ProgramStats) => `${object} ${program}`;
  const names = [...new Set(rows.flatMap(({ findings }) => findings.programs.map(key)))];
  const cell = (name: string, { findings, notRun }: RowReport) => {
    if (notRun !== undefined) return 'not run';
    const stats = findings.programs.find((program) => key(program) === name);
    if (!stats) return '';
    return stats.state === 'loaded' ? `${stats.instructions} (${stats.stackBytes} B)` : stats.state;
  };
  return table(
    ['program', ...rows.map(({ name }) => name)],
    names.map((name) => [name, ...rows.map((row) => cell(name, row))]),
  );
}
