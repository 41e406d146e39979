/**
 * `npm run vm -- KERNEL [-- COMMAND...]`: one kernel of the matrix with the built project in /plainsight. A root shell on
 * this terminal, or one command: its output, its exit status, and what it wrote to /results in build/vm/KERNEL/.
 */

import { fromRoot } from '../../src/root.ts';
import { ARCHITECTURES } from './architecture.ts';
import { makeRootImage, withProject } from './guest.ts';
import { endAllWithThisProcess, NotFetched, NotPossible, say, setUpHost } from './host.ts';
import { fetchKernel, readRows } from './kernels.ts';
import { type Guest, runGuest, shell } from './machine.ts';

const MEMORY_MEBIBYTES = 1536;
const LIMIT_SECONDS = Number(process.env.PLAINSIGHT_VM_LIMIT ?? 600);

/** One argument is a script, more of them are one command. */
function scriptOf(command: readonly string[]): string {
  if (command.length === 1) return command[0]!;
  return command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
}

async function main([name, separator, ...command]: readonly string[]): Promise<number> {
  const rows = readRows();
  const row = rows.find((row) => row.name === name);
  if (!row || (separator !== undefined && (separator !== '--' || command.length === 0))) {
    process.stderr.write(`usage: npm run vm -- ${rows.map(({ name }) => name).join('|')} [-- COMMAND...]\n`);
    return 64;
  }
  endAllWithThisProcess();
  const architecture = ARCHITECTURES[row.architecture];
  await setUpHost(architecture);
  const kernel = await fetchKernel(row);
  const rootImage = await makeRootImage(architecture);
  return withProject(architecture, async (project) => {
    const guest: Guest = { kernel, rootImage, project, memoryMebibytes: MEMORY_MEBIBYTES };
    if (command.length === 0) return shell(guest);
    const results = fromRoot(`build/vm/${row.name}`);
    const options = { script: scriptOf(command), environment: {}, limitSeconds: LIMIT_SECONDS, results };
    const { exitCode, stdout, stderr, problem, console } = await runGuest(guest, options);
    process.stdout.write(stdout);
    process.stderr.write(stderr);
    if (problem === undefined) return exitCode ?? 1;
    say(`${problem}; the end of its console:\n${console}`);
    return 1;
  });
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof NotFetched || error instanceof NotPossible)) throw error;
  say(error.message);
  process.exitCode = 2;
}
