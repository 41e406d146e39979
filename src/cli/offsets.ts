/** `offsets`: the tables of offsets/ as they are, and whether one file agrees with them. Reads files only. */

import { loadConfig } from '../config.ts';
import { goVersion } from '../elf/go-build-info.ts';
import { PlainsightError } from '../errors.ts';
import { goOffsets, hostMachine, offsetTables } from '../libraries.ts';
import { escapeText } from '../log.ts';
import type { LibraryReport } from '../tls/inspection.ts';
import type { CodeFields, LayoutState } from '../tls/socket-layout.ts';
import type { Arguments } from './arguments.ts';
import type { Context } from './context.ts';
import { requireReadable } from './host-facts.ts';
import { inspectFile, openInspector } from './inspect.ts';
import { Output } from './output.ts';

interface ListedVersion {
  readonly version: string;
  readonly verifiedOn: string;
  readonly offsets: Readonly<Record<string, number>>;
}

interface ListedTable {
  readonly library: string;
  readonly versions: readonly ListedVersion[];
}

export async function offsets(args: Arguments, context: Context): Promise<number> {
  const { operand, secondOperand: path } = args;
  if (operand === 'list') {
    if (path !== undefined) throw new PlainsightError('USAGE', 'offsets list takes no PATH');
    return await list(args, context);
  }
  if (operand !== 'verify') throw new PlainsightError('USAGE', 'offsets needs list or verify PATH');
  if (path === undefined) throw new PlainsightError('USAGE', 'offsets verify needs PATH');
  return await verify(path, args, context);
}

async function list(args: Arguments, context: Context): Promise<number> {
  const tables = listTables();
  const output = new Output(context.stdout);
  if (args.switches.has('json')) output.write(`${JSON.stringify({ machine: process.arch, tables }, undefined, 2)}\n`);
  else output.write(tables.map(tableText).join('\n'));
  await output.flush();
  return 0;
}

function listTables(): ListedTable[] {
  const tables = offsetTables(hostMachine()).map(({ library, entries }) => ({
    library,
    versions: entries.map(({ version, verifiedOn, connection, bio }) => ({
      version,
      verifiedOn,
      offsets: defined({ ...connection, ...bio }),
    })),
  }));
  const go = goOffsets().entries.map(({ minor, verifiedOn, layout }) => ({
    version: `1.${minor}`,
    verifiedOn,
    offsets: layout,
  }));
  return [...tables, { library: 'go', versions: go }];
}

function defined(fields: Readonly<Record<string, number | undefined>>): Record<string, number> {
  const known = Object.entries(fields).filter((entry): entry is [string, number] => entry[1] !== undefined);
  return Object.fromEntries(known.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A row per version; versions in a row that have the same offsets show them once. */
function tableText({ library, versions }: ListedTable): string {
  const oldest = versions[0]?.version ?? '';
  const newest = versions.at(-1)?.version ?? '';
  const lines = [`${library} ${oldest} to ${newest}, ${process.arch}; later versions are unverified`];
  let before = '';
  for (const { version, verifiedOn, offsets } of versions) {
    const fields = Object.entries(offsets)
      .map(([name, offset]) => `${name} ${offset}`)
      .join(', ');
    lines.push(`  ${version.padEnd(6)} verified on ${verifiedOn}${fields === before ? ': as above' : ''}`);
    if (fields !== before) lines.push(`         ${fields}`);
    before = fields;
  }
  return `${lines.join('\n')}\n`;
}

interface Verdict {
  readonly path: string;
  readonly library: string;
  readonly version: string;
  readonly state: LayoutState;
  readonly reason: string;
  /** What the code of accessor functions says, whatever the table says. */
  readonly code?: CodeFields;
  readonly offsets?: Readonly<Record<string, number>>;
}

async function verify(path: string, args: Arguments, context: Context): Promise<number> {
  const config = await loadConfig({ flags: args.values, env: context.env });
  requireReadable('proc-root', config.procRoot, 'folder');
  const verdict = judge(inspectFile(openInspector(config, await context.native()), path));
  const output = new Output(context.stdout);
  if (args.switches.has('json')) output.write(`${JSON.stringify(verdict, undefined, 2)}\n`);
  else output.write(verdictText(verdict));
  await output.flush();
  return verdict.state === 'verified' ? 0 : 1;
}

function judge({ path, library, version, reason, facts }: LibraryReport): Verdict {
  const of = { path, library, version };
  if (library === '') return { ...of, state: 'unverified', reason };
  if (library === 'go') {
    const parsed = goVersion(version);
    const layout = parsed && goOffsets().layout(parsed);
    if (layout) return { ...of, state: 'verified', reason: '', offsets: layout };
    return { ...of, state: 'unverified', reason: parsed ? 'version not in the table' : 'version unknown' };
  }
  const layout = facts?.layout;
  if (!layout) return { ...of, state: 'unverified', reason: reason || 'no table for this library' };
  const fields = layout.fields && { offsets: defined({ ...layout.fields }) };
  return { ...of, state: layout.state, reason: layout.reason, code: layout.code, ...fields };
}

function verdictText({ path, library, version, state, reason, code, offsets: fields }: Verdict): string {
  const lines = [escapeText(path)];
  if (library !== '') lines.push(`  library  ${escapeText(`${library} ${version}`.trim())}`);
  lines.push(`  offsets  ${state}${reason === '' ? '' : `: ${reason}`}`);
  const add = (name: string, values: object | undefined) => {
    const known = Object.entries(values ?? {}).filter(([, value]) => value !== undefined);
    if (known.length > 0) lines.push(`  ${name}  ${known.map(([field, value]) => `${field} ${value}`).join(', ')}`);
  };
  add('by code', code && { ...code.connection, ...code.bio });
  add('used   ', fields);
  return `${lines.join('\n')}\n`;
}
