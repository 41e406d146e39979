/**
 * The command line: finds the subcommand, runs it, and turns what went wrong into one line on stderr and an exit code.
 * Code is loaded per subcommand: what `run` does not need takes none of its memory.
 */

import { parseArguments } from './cli/arguments.ts';
import { COMMANDS } from './cli/commands.ts';
import type { Context } from './cli/context.ts';
import { environmentName, quoteValue } from './config.ts';
import { ERROR_CODES, PlainsightError } from './errors.ts';
import { escapeText } from './log.ts';
import { packageVersion } from './root.ts';

const STDERR_LIMIT_MS = 100;

/** Returns the exit code. Throws nothing. */
export async function main(words: readonly string[], context: Context = processContext()): Promise<number> {
  try {
    return await dispatch(words, context);
  } catch (error) {
    context.stderr.write(describeError(error, wantsStack(words, context.env)));
    return error instanceof PlainsightError ? error.exitCode : ERROR_CODES.INTERNAL;
  }
}

async function dispatch(words: readonly string[], context: Context): Promise<number> {
  const [first] = words;
  const named = first !== undefined && !first.startsWith('-');
  const command = named ? COMMANDS.find(({ name }) => name === first) : COMMANDS[0];
  if (!command) {
    const names = COMMANDS.map(({ name }) => name).join(', ');
    throw new PlainsightError('USAGE', `unknown subcommand ${quoteValue(first!)}; give one of ${names}`);
  }
  const args = parseArguments(command, named ? words.slice(1) : words);
  if (args.wants === undefined) {
    const run = await command.load();
    return await run(args, context);
  }
  const [{ helpText, overviewText }, { Output }] = await Promise.all([
    import('./cli/help.ts'),
    import('./cli/output.ts'),
  ]);
  const output = new Output(context.stdout);
  if (args.wants === 'version') output.write(`plainsight ${packageVersion()}\n`);
  else output.write(named ? helpText(command) : overviewText(COMMANDS));
  await output.flush();
  return 0;
}

/** One line; below it the stack when debugging. */
function describeError(error: unknown, withStack: boolean): string {
  const { message, stack } = error instanceof Error ? error : { message: String(error), stack: undefined };
  const isExpected = error instanceof PlainsightError && error.code !== 'INTERNAL';
  const line = `plainsight: ${escapeText(message)}${isExpected ? '' : '; this is a defect of Plainsight'}\n`;
  return withStack && stack !== undefined ? `${line}${stack.split('\n').map(escapeText).join('\n')}\n` : line;
}

/** Looked for without the parser: the parser may be what failed. */
function wantsStack(words: readonly string[], env: Context['env']): boolean {
  return /--log-level[= ]debug\b/.test(words.join(' ')) || env[environmentName('log-level')] === 'debug';
}

function processContext(): Context {
  const { env, stdin, stdout, stderr } = process;
  return {
    env,
    stdin,
    stdout,
    stderr,
    signals: process,
    exit: (code) => process.exit(code),
    startAgent: async (config, options) => (await import('./agent.ts')).startAgent(config, options),
    native: async () => (await import('./native.ts')).native(),
    hostRoot: '',
  };
}

/** The whole life of the process; bin/plainsight calls it. */
export async function runProcess(): Promise<void> {
  // Nobody reads stderr: there is nobody to tell.
  process.stderr.on('error', () => {});
  const words = process.argv.slice(2);
  const onDefect = (error: unknown) => {
    process.stderr.write(describeError(error, wantsStack(words, process.env)));
    process.exit(ERROR_CODES.INTERNAL);
  };
  process.on('uncaughtException', onDefect);
  process.on('unhandledRejection', onDefect);
  const code = await main(words);
  // A pipe is written behind the back of write(): what was said last must not be cut off, unless nobody reads it.
  setTimeout(() => process.exit(code), STDERR_LIMIT_MS);
  process.stderr.write('', () => process.exit(code));
}
