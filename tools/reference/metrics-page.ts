/** docs/metrics.md: every family that the agent can show, what its labels are, and what their closed sets mean. */

import { DEFAULT_BUCKETS, DEFAULT_MAX_SERIES } from '../../src/metrics/metrics.ts';
import { INCOMPLETE_REASONS, LOSS_STAGES } from '../../src/web/page/explanations.ts';
import { type FoundFamily, findFamilies, processMetrics } from './families.ts';
import { absentWhen, bucketsOf, LABEL_MEANINGS } from './notes.ts';

/** Written at the head of generated pages. */
export const GENERATED = '<!-- Written by `npm run generate` (tools/reference); changes are lost. -->';

function section({ name, type, labelNames, help, presence }: FoundFamily): string {
  const labels = labelNames.map((label) => `\`${label}\``).join(', ');
  const lines = [`### \`${name}\``, '', help, '', `- Type: ${type}`, `- Labels: ${labels || 'none'}`];
  if (type === 'histogram') lines.push(`- Buckets: ${bucketsOf(name)}`);
  lines.push(`- Absent: ${absentWhen(name, presence)}`, '');
  return lines.join('\n');
}

function table(head: readonly [string, string], rows: readonly (readonly [string, string])[]): string {
  const lines = rows.map(([name, text]) => `| \`${name}\` | ${text} |`);
  return [`| ${head[0]} | ${head[1]} |`, '|---|---|', ...lines, ''].join('\n');
}

export async function metricsPage(): Promise<string> {
  const families = await findFamilies();
  const isOwn = ({ name }: FoundFamily) => name.startsWith('plainsight_');
  const labels = [...new Set(families.flatMap(({ labelNames }) => labelNames))];
  const own = processMetrics().map(({ name, type, help }) => [name, `${type}; ${help}`] as const);
  return [
    GENERATED,
    '',
    '# Metrics',
    '',
    'Everything that `/metrics` can hold. The names and labels are a contract: they do not change their meaning.',
    '',
    '- Durations are in seconds, from the first byte of the request to the last byte of the response, as the traced process sees',
    '  them: what came counts from the return of the read, what left up to the return of the write. A request over TLS that leaves a process',
    '  counts from the call that encrypts it (of a connection joined in HTTP/2, from its return), a plain one from the return of the write. So a',
    '  server has no part of the time on the way and in queues before its read; the client has both. The time that a connection is idle',
    '  between two requests is in none.',
    `- A histogram has \`_bucket\`, \`_sum\` and \`_count\`. The default buckets of \`--buckets\` are ${DEFAULT_BUCKETS.join(', ')}.`,
    `- Each family of traffic keeps at most \`--max-series\` series (${DEFAULT_MAX_SERIES}); what is beyond is counted in one`,
    '  overflow series and in `plainsight_series_overflow_total`.',
    '- No label takes a value that a client chooses freely. Names of gRPC services and methods, which a client can make up, are limited',
    '  in number; what is beyond is `other`.',
    '- A family without a sample is still announced by its `HELP` and `TYPE` lines. "Absent" below says when it has no sample.',
    '- DNS is out of scope: no family is about names that were asked for.',
    '',
    '## Traffic',
    '',
    ...families.filter((family) => !isOwn(family)).map(section),
    '## The agent',
    '',
    ...families.filter(isOwn).map(section),
    "Beside these, prom-client's default metrics of the agent's own process:",
    '',
    table(['metric', 'type and meaning'], own),
    '## Labels',
    '',
    table(
      ['label', 'values'],
      labels.map((label) => [label, LABEL_MEANINGS[label] ?? '']),
    ),
    '### `stage` of `plainsight_events_lost_total`',
    '',
    table(['stage', 'meaning'], Object.entries(LOSS_STAGES)),
    '### `reason` of `http_requests_incomplete_total`',
    '',
    table(['reason', 'meaning'], Object.entries(INCOMPLETE_REASONS)),
    'The reasons of `plainsight_tls_processes`, and what to do for each: [troubleshooting](troubleshooting.md#reasons-of-tls).',
    '',
  ].join('\n');
}
