/** test/http-servers.md: a row for each case. Pure. */

import { fromRoot } from '../../src/root.ts';

/** Rows by test file, for run.ts. */
export const ROWS = fromRoot('build/http-servers');

export interface Case {
  readonly server: string;
  readonly protocol: string;
  readonly isTls: boolean;
  readonly client: string;
  /** Debian packages beyond those that `npm test` needs. */
  readonly packages?: readonly string[];
  /** What is special about it, for the table. */
  readonly what?: string;
}

export interface Row extends Case {
  /** A range where the clock tells which requests count. */
  sent: number | string;
  /** At the server, and at the client; undefined where it is not looked at. */
  served: number | undefined;
  asked: number | undefined;
  /** Sum of the durations on the client's side against what the client measured itself, minus 1. */
  difference: number | undefined;
  /** `ok`, or what else there is to say. */
  result: string;
}

export const transport = ({ isTls }: Pick<Case, 'isTls'>) => (isTls ? 'TLS' : 'TCP');

const HEAD = `# HTTP servers and clients

Written by \`npm run test:servers\`: requests of mixed methods, statuses, sizes (0 B to 10 MB) and framings, and how many of them
the agent counted, on each side, with the right method and status. Durations: the sum of what the agent measured at the client
against what the client measured itself.

`;

export function renderTable(rows: readonly Row[]): string {
  const lines = rows.map((row) => {
    const { server, protocol, client, what = '', sent, served, asked, difference, result } = row;
    const change = difference === undefined ? '' : `${difference < 0 ? '' : '+'}${(difference * 100).toFixed(2)} %`;
    const cells = [
      server,
      protocol,
      transport(row),
      client,
      what,
      sent || '',
      served ?? '',
      asked ?? '',
      change,
      result,
    ];
    return `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`;
  });
  const names = [
    'server',
    'protocol',
    'over',
    'client',
    '',
    'sent',
    'at the server',
    'at the client',
    'durations',
    'result',
  ];
  return `${HEAD}| ${names.join(' | ')} |\n|---|---|---|---|---|---:|---:|---:|---:|---|\n${lines.join('\n')}\n`;
}
