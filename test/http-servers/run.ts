/**
 * `npm run test:servers [-- NAME...]`: installs the Debian packages of the servers, runs the tests one file after the other and
 * writes test/http-servers.md, except with CI set. With names (`http1`, `etcd`) only those files, and no table. Packages that
 * cannot be fetched in three tries are left out: their rows are `not run`.
 */

import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromRoot } from '../../src/root.ts';
import { installPackages } from '../stacks/packages.ts';
import { NotPossible } from '../vm/host.ts';
import { ROWS, type Row, renderTable } from './table.ts';

const PACKAGES = [
  ...['nghttp2-server', 'caddy', 'etcd-server', 'etcd-client', 'apache2-bin'],
  ...['python3-websockets', 'python3-grpcio'],
];
const FOLDER = fromRoot('build/test/http-servers');
/** A file that takes longer hangs. */
const TIMEOUT_MS = 300_000;

function filesOf(names: readonly string[]): string[] {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith('.test.js'));
  const wanted = names.map((name) => `${name}.test.js`);
  const unknown = wanted.find((name) => !files.includes(name));
  if (unknown !== undefined) throw new NotPossible(`there is no ${unknown}; there are ${files.join(', ')}`);
  return (wanted.length > 0 ? wanted : files.sort()).map((name) => join(FOLDER, name));
}

/** Rows of the files that ran, in the order of the files. */
function readRows(): Row[] {
  if (!existsSync(ROWS)) return [];
  const files = readdirSync(ROWS).sort();
  return files.flatMap((name) => JSON.parse(readFileSync(join(ROWS, name), 'utf8')) as Row[]);
}

async function main(names: readonly string[]): Promise<number> {
  const files = filesOf(names);
  const failures = await installPackages(PACKAGES);
  for (const [name, why] of failures) process.stderr.write(`not run is what needs ${name}: ${why}\n`);
  rmSync(ROWS, { recursive: true, force: true });
  const options = ['--test', '--test-reporter=spec', '--test-concurrency=1', `--test-timeout=${TIMEOUT_MS}`];
  const child = spawn(process.execPath, [...options, ...files], { stdio: 'inherit' });
  const code = await new Promise<number>((resolve) => child.on('close', (status) => resolve(status ?? 1)));
  const rows = readRows();
  if (names.length === 0 && !process.env.CI) writeFileSync(fromRoot('test/http-servers.md'), renderTable(rows));
  else process.stdout.write(renderTable(rows));
  for (const { server, protocol, client, result } of rows) {
    if (result.startsWith('not run')) process.stdout.write(`${server}, ${protocol}, ${client}: ${result}\n`);
  }
  return code;
}

process.exitCode = await main(process.argv.slice(2)).catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  return 2;
});
