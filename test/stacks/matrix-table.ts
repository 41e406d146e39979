/** The table that the suite writes: a row for each stack and role. Pure, but for write(). */

import { writeFileSync } from 'node:fs';
import type { Role } from './stack.ts';

export interface Row {
  readonly stack: string;
  readonly role: Role;
  readonly version: string;
  /** As the agent called it. */
  readonly library: string;
  readonly sent: number;
  readonly counted: number;
  /** `ok`, or what else there is to say. */
  readonly result: string;
}

const HEAD = `# TLS stacks

Written by \`npm run test:matrix\`: each stack in each role, about 1,000 HTTPS requests of five methods and seven statuses,
and how many of them the agent counted with the right method and status. The first request comes one second after the
start of the program. Stacks with the name of a Debian suite run in a root of that suite, in a mount namespace of their own.

`;

export function renderTable(rows: readonly Row[]): string {
  const lines = rows.map(({ stack, role, version, library, sent, counted, result }) => {
    const cells = [stack, version, library, role, sent || '', sent ? counted : '', result];
    return `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`;
  });
  return `${HEAD}| stack | version | library | role | sent | counted | result |\n|---|---|---|---|---:|---:|---|\n${lines.join('\n')}\n`;
}

export function writeTable(path: string, rows: readonly Row[]): void {
  writeFileSync(path, renderTable(rows));
}
