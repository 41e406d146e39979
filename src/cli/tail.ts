/**
 * `tail`: a line for each finished transaction and each finished stream, as it happens. A slow reader costs lines, which are counted, and never
 * memory or captured traffic.
 */

import type { FinishedStream, Transaction } from '../stream/contract.ts';
import type { Arguments } from './arguments.ts';
import type { Context } from './context.ts';
import { Lifetime } from './lifetime.ts';
import { Output } from './output.ts';
import { prepare, runAgent } from './start.ts';
import { streamJson, streamText, transactionJson, transactionText } from './transaction-line.ts';

/** Transactions that end between the first probe and the last are few. */
const EARLY_LIMIT = 1000;

export async function tail(args: Arguments, context: Context): Promise<number> {
  const prepared = await prepare(args, context);
  const { log } = prepared;
  const lifetime = new Lifetime(context, log);
  const output = new Output(context.stdout);
  void output.broken.then(() => lifetime.end());

  const isJson = args.switches.has('json');
  const format = (finished: Transaction | FinishedStream, time: bigint) => {
    if ('kind' in finished) return isJson ? streamJson(finished, time) : streamText(finished, time);
    return isJson ? transactionJson(finished, time) : transactionText(finished, time);
  };
  const onlyTls = args.switches.has('tls');
  // Until the agent has started, what its clock means is not known.
  let wallOffsetNs: bigint | undefined;
  let early: (Transaction | FinishedStream)[] = [];
  let droppedEarly = 0;
  const print = (finished: Transaction | FinishedStream, offsetNs: bigint) => {
    output.offer(format(finished, BigInt(Math.round(finished.timeNs)) + offsetNs));
  };
  const show = (finished: Transaction | FinishedStream) => {
    if (onlyTls && finished.connection.scheme !== 'https') return;
    if (wallOffsetNs !== undefined) print(finished, wallOffsetNs);
    else if (early.length < EARLY_LIMIT) early.push(finished);
    else droppedEarly++;
  };
  const sink = { transaction: show, stream: show, incomplete() {} };

  try {
    const code = await runAgent(context, prepared, { web: false, sinks: [sink], log }, lifetime, (handle) => {
      wallOffsetNs = handle.wallOffsetNs;
      for (const finished of early) print(finished, wallOffsetNs);
      early = [];
    });
    await output.flush();
    return code;
  } finally {
    const dropped = output.droppedLines + droppedEarly;
    if (dropped > 0) context.stderr.write(`plainsight: ${dropped} lines were dropped: the reader was too slow\n`);
    lifetime.dispose();
  }
}
