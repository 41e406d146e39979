/**
 * `replay`: a capture file through the pipeline of the live agent, without kernel and root. A malformed line ends it, but
 * what came before that line is printed.
 */

import { type CaptureSink, readCapture, splitLines, unknownOwner } from '../capture/file-reader.ts';
import { type Config, loadConfig } from '../config.ts';
import { PlainsightError } from '../errors.ts';
import { PROTOCOLS } from '../http/registry.ts';
import { Metrics } from '../metrics/metrics.ts';
import { packageVersion } from '../root.ts';
import type { Owner, TransactionSink } from '../stream/contract.ts';
import { Streams } from '../stream/streams.ts';
import type { Arguments } from './arguments.ts';
import type { Context } from './context.ts';
import { Output } from './output.ts';
import { transactionJson } from './transaction-line.ts';

/** As many as the live agent tracks at a time. */
const MAX_CONNECTIONS = 65_536;
/** Process lines that are remembered; the oldest are forgotten. */
const MAX_OWNERS = 65_536;

export async function replay(args: Arguments, context: Context): Promise<number> {
  const { switches } = args;
  if (switches.has('metrics') && switches.has('transactions')) {
    throw new PlainsightError('USAGE', '--metrics and --transactions: give one of them');
  }
  const config = await loadConfig({ flags: args.values, env: context.env });
  const bytes = await openInput(args.operand!, context);
  const output = new Output(context.stdout);
  if (switches.has('transactions')) await replayTransactions(bytes, output);
  else await replayMetrics(bytes, output, config);
  return 0;
}

async function replayTransactions(bytes: AsyncIterable<Uint8Array>, output: Output): Promise<void> {
  const sink = captureSink({
    transaction(transaction) {
      output.write(transactionJson(transaction, BigInt(Math.round(transaction.timeNs))));
    },
    incomplete() {},
  });
  try {
    await readCapture(paced(splitLines(bytes), output), sink);
  } finally {
    await output.flush();
  }
}

async function replayMetrics(bytes: AsyncIterable<Uint8Array>, output: Output, config: Config): Promise<void> {
  const { buckets, maxSeries } = config;
  const build = { version: packageVersion(), kernel: '', arch: '' };
  const metrics = new Metrics({ buckets, maxSeries, build });
  try {
    await readCapture(splitLines(bytes), captureSink(metrics));
  } finally {
    output.write((await metrics.renderTraffic()).body);
    await output.flush();
  }
}

/** Reads on when the output has room, and not at all when nobody reads it. */
async function* paced(lines: AsyncIterable<string>, output: Output): AsyncGenerator<string> {
  for await (const line of lines) {
    if (output.isBroken) return;
    yield line;
    await output.ready();
  }
}

function captureSink(sink: TransactionSink): CaptureSink {
  const owners = new Map<number, Owner>();
  const ownerOf = (pid: number) => owners.get(pid) ?? unknownOwner(pid);
  const streams = new Streams({
    protocols: PROTOCOLS,
    sink,
    maxConnections: MAX_CONNECTIONS,
    ownerOf,
    describe: (id, pid) => ({ id, owner: ownerOf(pid), scheme: 'http', local: undefined, remote: undefined }),
  });
  return {
    process(owner) {
      const [oldest] = owners.keys();
      if (owners.size >= MAX_OWNERS && !owners.has(owner.pid)) owners.delete(oldest!);
      owners.set(owner.pid, owner);
    },
    open: (...args) => streams.open(...args),
    data: (...args) => streams.data(...args),
    end: (...args) => streams.end(...args),
    close: (...args) => streams.close(...args),
  };
}

/** @throws PlainsightError USAGE when the file cannot be read. */
async function openInput(path: string, context: Context): Promise<AsyncIterable<Uint8Array>> {
  if (path === '-') return context.stdin;
  const { open } = await import('node:fs/promises');
  try {
    const file = await open(path, 'r');
    if ((await file.stat()).isDirectory()) {
      await file.close();
      throw Object.assign(new Error(), { code: 'EISDIR' });
    }
    return file.createReadStream();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new PlainsightError('USAGE', `${path} cannot be read (${code}); give a readable capture file`, { cause });
  }
}
