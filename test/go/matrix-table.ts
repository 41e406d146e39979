/** The tables that the suite writes: a row for each Go version and form of program, and one for each program of Debian. Pure, but for write(). */

import { writeFileSync } from 'node:fs';

/** `counted` of `sent` requests; undefined: not tried. */
export interface Cell {
  readonly sent: number;
  readonly counted: number;
}

export interface BuildRow {
  readonly release: string;
  readonly form: string;
  /** By role and GOMAXPROCS: `server 1`. */
  readonly cells: Map<string, Cell>;
  /** `ok`, or what else there is to say. */
  result: string;
}

export interface ProgramRow {
  readonly program: string;
  readonly version: string;
  readonly role: string;
  readonly against: string;
  readonly sent: number;
  readonly counted: number;
  result: string;
}

export const COLUMNS = ['server 1', 'server 2', 'client 1', 'client 2'] as const;

const HEAD = `# Go's crypto/tls

Written by \`npm run test:go\`. Each Go version and form of program as server and as client, with GOMAXPROCS 1 and 2: 1,000 requests
of HTTP/1.1 over TLS, of seven methods and five statuses at 50 connections, and how many of them the agent counted with the right
method and status.

`;

const PROGRAMS_HEAD = `
Programs as Debian ships them, stripped, over HTTP/1.1:

`;

const cell = (value: string | number) => String(value).replaceAll('|', '\\|');
const line = (cells: readonly (string | number)[]) => `| ${cells.map(cell).join(' | ')} |`;

export function renderTables(builds: readonly BuildRow[], programs: readonly ProgramRow[]): string {
  const shown = (one: Cell | undefined) =>
    one ? (one.counted === one.sent ? one.counted : `${one.counted} of ${one.sent}`) : '';
  const lines = [
    line(['release', 'form', ...COLUMNS.map((name) => `${name.replace(' ', ', GOMAXPROCS ')}`), 'result']),
    '|---|---|---:|---:|---:|---:|---|',
    ...builds.map(({ release, form, cells, result }) =>
      line([release, form, ...COLUMNS.map((name) => shown(cells.get(name))), result]),
    ),
  ];
  const further = [
    line(['program', 'version', 'role', 'counted against', 'sent', 'counted', 'result']),
    '|---|---|---|---|---:|---:|---|',
    ...programs.map((row) =>
      line([row.program, row.version, row.role, row.against, row.sent || '', row.sent ? row.counted : '', row.result]),
    ),
  ];
  return `${HEAD}${lines.join('\n')}\n${PROGRAMS_HEAD}${further.join('\n')}\n`;
}

export function writeTables(path: string, builds: readonly BuildRow[], programs: readonly ProgramRow[]): void {
  writeFileSync(path, renderTables(builds, programs));
}
