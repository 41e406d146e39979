/**
 * `inspect`: the TLS libraries of a process or a file, what the agent would do with them, or why it would not. Reads files;
 * attaches nothing.
 */

import { release } from 'node:os';
import { type Config, loadConfig, quoteValue } from '../config.ts';
import { PlainsightError } from '../errors.ts';
import { allTlsLibraries, hostMachine, socketLayouts } from '../libraries.ts';
import { escapeText } from '../log.ts';
import type { Native } from '../native.ts';
import { instructionText } from '../probes/mnemonic.ts';
import { planProbes } from '../probes/plan.ts';
import { isUretprobeSafe } from '../probes/uretprobe.ts';
import { ProcFs } from '../process/procfs.ts';
import { Inspector, type LibraryReport } from '../tls/inspection.ts';
import type { TlsSite } from '../tls/library.ts';
import { socketFacts } from '../tls/process-tls.ts';
import type { Arguments } from './arguments.ts';
import type { Context } from './context.ts';
import { requireReadable } from './host-facts.ts';
import { Output } from './output.ts';

/** PID_MAX_LIMIT of include/linux/threads.h (v6.12) on 64-bit machines. */
const MAX_PID = 4_194_304;

export async function inspect(args: Arguments, context: Context): Promise<number> {
  const config = await loadConfig({ flags: args.values, env: context.env });
  requireReadable('proc-root', config.procRoot, 'folder');
  const target = args.operand!;
  const inspector = openInspector(config, await context.native());
  const reports = inspectTarget(inspector, target);
  const output = new Output(context.stdout);
  if (args.switches.has('json')) output.write(`${JSON.stringify(asJson(target, reports), undefined, 2)}\n`);
  else output.write(reports.map(asText).join('\n'));
  await output.flush();
  return reports.some(({ state }) => state === 'attachable') ? 0 : 1;
}

/** As the agent would see it on this kernel. */
export function openInspector(config: Pick<Config, 'procRoot' | 'returnProbe'>, native: Native): Inspector {
  const attachCookie = mayAttachCookie(native);
  const unsafe = config.returnProbe === 'auto' && !isUretprobeSafe(release(), process.arch);
  const returnProbe = unsafe ? 'sites' : config.returnProbe;
  const machine = hostMachine();
  return new Inspector({
    proc: new ProcFs(config.procRoot),
    mapFile: (path) => native.mapFile(path),
    plan: (view, fn, signature) => planProbes(view, fn, signature, { returnProbe, attachCookie }),
    machine,
    instruction: instructionText,
    layouts: socketLayouts(machine, attachCookie),
    libraries: allTlsLibraries(),
  });
}

const EPERM = 1;
const EACCES = 13;

/** Without the right to try it, what kernels since 5.15 can is taken for granted. */
function mayAttachCookie(native: Native): boolean {
  const { errno } = native.probeFeature('attach_cookie');
  return errno === 0 || errno === EPERM || errno === EACCES;
}

/** @throws PlainsightError USAGE for a process or a file that is not there or may not be read. */
function inspectTarget(inspector: Inspector, target: string): readonly LibraryReport[] {
  if (!/^\d+$/.test(target)) return [inspectFile(inspector, target)];
  const pid = target.length <= 7 ? Number(target) : 0;
  if (pid < 1 || pid > MAX_PID) {
    throw new PlainsightError(
      'USAGE',
      `${quoteValue(target)} is not the number of a process; for a file give ./${target}`,
    );
  }
  const reports = readable(() => inspector.process(pid));
  if (!reports) throw new PlainsightError('USAGE', `there is no process ${pid}; for a file give ./${target}`);
  return reports;
}

/** @throws PlainsightError USAGE */
export function inspectFile(inspector: Inspector, path: string): LibraryReport {
  if (path === '') throw new PlainsightError('USAGE', 'the name of the file is empty');
  return readable(() => inspector.file(path));
}

/** What was asked for cannot be read: wrong use, like any unreadable file of the command line. */
function readable<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof PlainsightError) || cause.code !== 'FILE') throw cause;
    throw new PlainsightError('USAGE', cause.message, { cause });
  }
}

interface FunctionReport {
  readonly symbol: string;
  readonly operation: string;
  readonly offset: number | undefined;
  readonly sizeBytes: number | undefined;
  /** `complete`: it is probed. `none`: not, for `reason`. */
  readonly verdict: 'complete' | 'none';
  readonly reason: string;
  /** How its return is seen; '' where there is none to wait for. */
  readonly returns: 'sites' | 'uretprobe' | '';
  /** Why sites cannot cover it. */
  readonly uretprobeReason: string;
  readonly sites: readonly Omit<TlsSite, 'cookie' | 'symbol' | 'programs'>[];
}

function functionsOf({ facts }: LibraryReport): FunctionReport[] {
  if (!facts) return [];
  const sitesOf = (symbol: string) => facts.sites.filter((site) => site.symbol === symbol);
  const own = facts.functions.map(({ symbol, operation, offset, sizeBytes, reason, uretprobeReason }) => ({
    ...{ symbol, operation, offset, sizeBytes, reason, uretprobeReason },
    ...withSites(reason === '' ? sitesOf(symbol) : []),
  }));
  if (own.length > 0) return own;
  // Libraries that are read in a way of their own say where their probes go, and no more.
  const symbols = [...new Set(facts.sites.map(({ symbol }) => symbol))];
  return symbols.map((symbol) => ({
    ...{ symbol, operation: '', offset: undefined, sizeBytes: undefined, reason: '', uretprobeReason: '' },
    ...withSites(sitesOf(symbol)),
  }));
}

function withSites(sites: readonly TlsSite[]): Pick<FunctionReport, 'verdict' | 'returns' | 'sites'> {
  const returns = sites.filter(({ kind }) => kind === 'return');
  const uretprobe = returns.some(({ method }) => method === 'uretprobe');
  return {
    verdict: sites.length > 0 ? 'complete' : 'none',
    returns: uretprobe ? 'uretprobe' : returns.length > 0 ? 'sites' : '',
    sites: sites.map(({ cookie: _, symbol: __, programs: ___, ...site }) => site),
  };
}

function asJson(target: string, reports: readonly LibraryReport[]) {
  return {
    target,
    machine: process.arch,
    libraries: reports.map((report) => {
      const { facts, ...rest } = report;
      return { ...rest, functions: functionsOf(report), ...(facts?.layout && { socket: socketFacts(facts.layout) }) };
    }),
  };
}

function asText(report: LibraryReport): string {
  const { path, library, version, buildId, state, reason, facts } = report;
  const lines = [escapeText(path === '' ? 'this process' : path)];
  const add = (name: string, value: string) => lines.push(`  ${name.padEnd(9)} ${value}`);
  if (library !== '') add('library', escapeText(`${library} ${version}`.trim()));
  if (buildId !== '') add('build id', buildId);
  add('state', reason === '' ? state : `${state}: ${reason}`);
  for (const fn of functionsOf(report)) lines.push(...functionText(fn));
  if (facts?.layout) add('socket', socketText(facts.layout));
  return `${lines.join('\n')}\n`;
}

function functionText({ symbol, offset, sizeBytes, verdict, reason, returns, uretprobeReason, sites }: FunctionReport) {
  const where = offset === undefined ? '' : ` at 0x${offset.toString(16)}, ${sizeBytes} bytes`;
  const how =
    returns === 'uretprobe' ? `uretprobe (${uretprobeReason})` : returns === 'sites' ? 'returns at sites' : '';
  const said = verdict === 'none' ? `not probed: ${reason}` : how || 'entry only';
  const rows = sites.map(
    (site) =>
      `    ${site.kind.padEnd(7)} 0x${site.offset.toString(16).padEnd(8)} ${site.costClass.padEnd(12)} ${site.instruction ?? ''}`,
  );
  return [`  ${symbol}${where}: ${said}`, ...rows.map((row) => row.trimEnd())];
}

function socketText(layout: Parameters<typeof socketFacts>[0]): string {
  const { state, reason, connectionSource, bioSource, fields } = layout;
  if (!fields) return `${state}: ${reason}`;
  const { sslReadBio, sslWriteBio, bioMethod, bioNumber } = fields;
  const places = `rbio ${sslReadBio}, wbio ${sslWriteBio}, BIO method ${bioMethod}, BIO num ${bioNumber}`;
  return `${state} by ${[...new Set([connectionSource, bioSource])].join(' and ')}: ${places}`;
}
