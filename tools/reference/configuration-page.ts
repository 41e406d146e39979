/** docs/configuration.md: every option of the agent, and every flag of each subcommand. */

import { COMMON_FLAGS } from '../../src/cli/arguments.ts';
import { COMMANDS } from '../../src/cli/commands.ts';
import { environmentName, OPTION_NAMES, OPTIONS } from '../../src/config.ts';
import { GENERATED } from './metrics-page.ts';

/** Text of a table's cell. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function optionSection(name: (typeof OPTION_NAMES)[number]): string {
  const { flag, placeholder, help, allowed, fallback, reloadable } = OPTIONS[name];
  const takers = COMMANDS.filter(({ options }) => options.includes(name)).map((command) => `\`${command.name}\``);
  return [
    `### \`--${flag}\``,
    '',
    `${help.charAt(0).toUpperCase()}${help.slice(1)}.`,
    '',
    '| | |',
    '|---|---|',
    `| flag | \`--${flag} ${cell(placeholder)}\` |`,
    `| variable | \`${environmentName(flag)}\` |`,
    `| key | \`${flag}\` |`,
    `| default | ${fallback === '' ? 'none' : `\`${cell(fallback)}\``} |`,
    `| allowed | ${cell(allowed)} |`,
    `| change | ${reloadable ? 'applied by SIGHUP' : 'wants a restart'} |`,
    `| subcommands | ${takers.join(', ')} |`,
    '',
  ].join('\n');
}

function commandSection({ name, summary, operand, secondOperand, flags }: (typeof COMMANDS)[number]): string {
  const operands = [operand, secondOperand && `[${secondOperand}]`].filter(Boolean).join(' ');
  const rows = flags.map(({ flag, placeholder, help }) => {
    return `| \`--${flag}${placeholder ? ` ${cell(placeholder)}` : ''}\` | ${cell(help)} |`;
  });
  const head = `### \`plainsight ${[name, operands].filter(Boolean).join(' ')}\``;
  const own = rows.length > 0 ? ['', '| flag | |', '|---|---|', ...rows] : [];
  return [head, '', `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`, ...own, ''].join('\n');
}

export function configurationPage(): string {
  const example = OPTION_NAMES.filter((name) => OPTIONS[name].fallback !== '').map((name) => {
    const { flag, fallback } = OPTIONS[name];
    // YAML 1.1 takes on, off, yes and no for booleans; quotes keep the file right for other readers.
    return `${flag}: ${/^(on|off|yes|no|true|false)$/.test(fallback) ? `'${fallback}'` : fallback}`;
  });
  return [
    GENERATED,
    '',
    '# Configuration',
    '',
    'A value is looked for on the command line, then in the environment, then in the YAML file of `--config`, else it is the default.',
    'All pass through the same parser.',
    '',
    '- The variable of a flag is its name in capitals behind `PLAINSIGHT_`, with `_` for `-`. An empty variable counts as unset.',
    '  Unknown variables are ignored, because Kubernetes sets some of its own in every pod.',
    '- The keys of the file are the names of the flags. A list may be written as a YAML list or with commas.',
    '- An unknown flag, an unknown key, a value that is not allowed, or a file that cannot be read ends the agent with one line on',
    '  stderr that names it, and exit code 64.',
    '- SIGHUP reads everything again. What can be applied at once is; for the rest the log asks for a restart.',
    '',
    'The defaults as a file:',
    '',
    '```yaml',
    ...example,
    '```',
    '',
    '## Options of the agent',
    '',
    ...OPTION_NAMES.map(optionSection),
    '## Subcommands and their own flags',
    '',
    ...COMMANDS.map(commandSection),
    'Every subcommand also takes:',
    '',
    '| flag | |',
    '|---|---|',
    ...COMMON_FLAGS.map(
      ({ flag, placeholder, help }) => `| \`--${flag}${placeholder ? ` ${placeholder}` : ''}\` | ${help} |`,
    ),
    '',
  ].join('\n');
}
