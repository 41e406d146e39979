/** The texts that are made from the tables of options and subcommands: `--help`, `--version`, the documentation. */

import { environmentName, OPTIONS } from '../config.ts';
import { COMMON_FLAGS, type CommandDescription } from './arguments.ts';

export function overviewText(commands: readonly CommandDescription[]): string {
  const rows = commands.map(
    ({ name, summary }, i) => `  ${name.padEnd(8)} ${summary}${i === 0 ? ' (the default)' : ''}`,
  );
  return `usage: plainsight [SUBCOMMAND] [FLAGS]\n\n${rows.join('\n')}\n\nplainsight SUBCOMMAND --help lists the flags.\n`;
}

export function helpText(command: CommandDescription): string {
  const second = command.secondOperand ? ` [${command.secondOperand}]` : '';
  const operand = command.operand ? ` ${command.operand}${second}` : '';
  const rows: string[] = [];
  const add = (flag: string, placeholder: string | undefined, help: string) => {
    rows.push(`  --${flag}${placeholder ? ` ${placeholder}` : ''}`, `      ${help}`);
  };
  for (const { flag, placeholder, help } of command.flags) add(flag, placeholder, help);
  for (const name of command.options) {
    const { flag, placeholder, help, fallback } = OPTIONS[name];
    add(flag, placeholder, help);
    if (fallback) rows.push(`      default ${fallback}`);
  }
  for (const { flag, placeholder, help } of COMMON_FLAGS) add(flag, placeholder, help);
  return [
    `usage: plainsight ${command.name}${operand} [FLAGS]`,
    '',
    command.summary,
    ...command.details,
    '',
    ...rows,
    '',
    `Options of the agent can also be set in the environment, e.g. ${environmentName('log-level')}=debug, or in the`,
    'YAML file of --config, e.g. log-level: debug. A flag wins over the environment, the environment over the file.',
    '',
  ].join('\n');
}
