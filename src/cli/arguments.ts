/**
 * From the words of a command line to flags and operands, by the description of the subcommand. Refuses what the
 * description does not name, a value where none belongs, and a flag without its value.
 */

import { parseArgs } from 'node:util';
import { OPTIONS, type OptionName, quoteValue } from '../config.ts';
import { PlainsightError } from '../errors.ts';

/** A flag of one subcommand only; it has no place in the configuration. */
export interface OwnFlag {
  readonly flag: string;
  /** Undefined: the flag takes no value. */
  readonly placeholder?: string;
  readonly help: string;
}

export interface CommandDescription {
  readonly name: string;
  readonly summary: string;
  /** Lines between the usage and the flags. */
  readonly details: readonly string[];
  /** The options of the configuration that this subcommand takes as flags. */
  readonly options: readonly OptionName[];
  readonly flags: readonly OwnFlag[];
  /** The operand, which then is required. */
  readonly operand?: string;
  /** One more, which may be missing. */
  readonly secondOperand?: string;
}

export interface Arguments {
  /** flag -> value, both of the configuration and of the subcommand */
  readonly values: ReadonlyMap<string, string>;
  /** Flags without a value that were given. */
  readonly switches: ReadonlySet<string>;
  readonly operand: string | undefined;
  readonly secondOperand: string | undefined;
  readonly wants: 'help' | 'version' | undefined;
}

export const COMMON_FLAGS: readonly OwnFlag[] = [
  { flag: 'config', placeholder: 'FILE', help: 'YAML file whose keys are the names of the options' },
  { flag: 'help', help: 'print this text' },
  { flag: 'version', help: 'print the version' },
];

/** @throws PlainsightError USAGE with one line that names the flag or the operand, and what is allowed. */
export function parseArguments(command: CommandDescription, words: readonly string[]): Arguments {
  const known = new Map<string, OwnFlag>();
  for (const name of command.options) known.set(OPTIONS[name].flag, OPTIONS[name]);
  for (const flag of [...command.flags, ...COMMON_FLAGS]) known.set(flag.flag, flag);

  const { tokens } = parseArgs({
    args: [...words],
    options: {
      ...Object.fromEntries(
        [...known].map(([name, { placeholder }]) => [name, { type: placeholder ? 'string' : 'boolean' }]),
      ),
      help: { type: 'boolean', short: 'h' },
    },
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const flags = tokens.filter((token) => token.kind === 'option');
  const wants = flags.find(({ name }) => name === 'help' || name === 'version')?.name as Arguments['wants'];
  const none = { values: new Map(), switches: new Set<string>(), operand: undefined, secondOperand: undefined };
  if (wants) return { ...none, wants };

  const values = new Map<string, string>();
  const switches = new Set<string>();
  for (const { name, rawName, value, inlineValue } of flags) {
    const flag = known.get(name);
    if (!flag) {
      const allowed = [...known.keys()].map((key) => `--${key}`).join(' ');
      throw usage(`unknown flag ${quoteValue(rawName)}; the flags of ${command.name} are ${allowed}`);
    }
    if (flag.placeholder === undefined) {
      if (value !== undefined) throw usage(`--${name} takes no value`);
      switches.add(name);
    } else {
      if (value === undefined || (!inlineValue && value.length > 1 && value.startsWith('-'))) {
        throw usage(`--${name} needs a value: --${name} ${flag.placeholder}`);
      }
      values.set(name, value);
    }
  }
  const [operand, second, third] = tokens.filter((token) => token.kind === 'positional').map(({ value }) => value);
  const unwanted = command.secondOperand ? third : command.operand ? second : operand;
  if (unwanted !== undefined) throw usage(`unexpected ${quoteValue(unwanted)} after ${command.name}`);
  if (command.operand && operand === undefined) throw usage(`${command.name} needs ${command.operand}`);
  return { values, switches, operand, secondOperand: second, wants };
}

function usage(message: string): PlainsightError {
  return new PlainsightError('USAGE', message);
}

/** @throws PlainsightError USAGE */
export function parsePid(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const pid = /^\d{1,7}$/.test(text) ? Number(text) : 0;
  // PID_MAX_LIMIT of include/linux/threads.h (v6.12) on 64-bit machines
  if (pid < 1 || pid > 4_194_304)
    throw usage(`--pid: ${quoteValue(text)} is not allowed; give the number of a process`);
  return pid;
}
