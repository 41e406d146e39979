/** `record`: what is captured, into a file for `replay`. The payload stays out of it unless it is asked for. */

import { unlinkSync, writeFileSync } from 'node:fs';
import { CaptureWriter, createCaptureFile } from '../capture/file-writer.ts';
import { KEEP_ALL } from '../capture/redactor.ts';
import { type Config, quoteValue } from '../config.ts';
import { ERROR_CODES, PlainsightError } from '../errors.ts';
import { Http1Redactor } from '../http/http1/redact.ts';
import { Metrics } from '../metrics/metrics.ts';
import { packageVersion } from '../root.ts';
import type { Arguments } from './arguments.ts';
import type { Context } from './context.ts';
import { Lifetime, type StopLimit } from './lifetime.ts';
import { prepare, runAgent } from './start.ts';

/** The file is not whole before all is written; whoever does not want to wait for it interrupts once more. */
const STOP_LIMIT: StopLimit = {
  ms: 30_000,
  exitCode: ERROR_CODES.FILE,
  warning: 'stopping took too long; the end of the recording is missing',
};

export async function record(args: Arguments, context: Context): Promise<number> {
  const path = args.values.get('out');
  if (path === undefined) throw new PlainsightError('USAGE', 'record needs --out FILE, or --out - for stdout');
  const prepared = await prepare(args, context);
  const { log } = prepared;
  const toStdout = path === '-';
  const stream = toStdout ? context.stdout : createCaptureFile(path);
  const redactor = args.switches.has('include-payload') ? KEEP_ALL : new Http1Redactor();
  const writer = new CaptureWriter(stream, { redactor });
  const metricsPath = args.values.get('metrics');
  const metrics = metricsPath === undefined ? undefined : trafficMetrics(prepared.config);
  const lifetime = new Lifetime(context, log, STOP_LIMIT);
  void writer.failed.then(() => lifetime.end());
  let started = false;
  try {
    const code = await runAgent(
      context,
      prepared,
      { web: false, sinks: metrics ? [metrics] : [], recorder: writer, log },
      lifetime,
      () => {
        started = true;
        if (!toStdout) context.stderr.write(`plainsight: recording to ${quoteValue(path)}; Ctrl-C ends it\n`);
      },
    );
    await finish(writer, toStdout);
    if (metrics && metricsPath) await writeMetrics(metricsPath, metrics);
    return code;
  } finally {
    // It is ours: it did not exist before.
    if (!started && !toStdout) unlinkSync(path);
    if (writer.lostLines > 0) {
      context.stderr.write(`plainsight: ${writer.lostLines} chunks are not in the file: it was written too slowly\n`);
    }
    lifetime.dispose();
  }
}

/** @throws PlainsightError FILE; not when the reader of a pipe has gone away. */
async function finish(writer: CaptureWriter, toStdout: boolean): Promise<void> {
  try {
    await writer.finish();
  } catch (error) {
    const { code } = (error as PlainsightError).cause as NodeJS.ErrnoException;
    if (!(toStdout && code === 'EPIPE')) throw error;
  }
}

/** What `replay --metrics` prints of the file, as the live pipeline counted it. */
function trafficMetrics({ buckets, maxSeries }: Config): Metrics {
  return new Metrics({ buckets, maxSeries, build: { version: packageVersion(), kernel: '', arch: '' } });
}

async function writeMetrics(path: string, metrics: Metrics): Promise<void> {
  try {
    writeFileSync(path, (await metrics.renderTraffic()).body, { mode: 0o600 });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new PlainsightError('FILE', `--metrics: ${quoteValue(path)} cannot be written (${code})`, { cause });
  }
}
