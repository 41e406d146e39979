/**
 * `tail`: a line for each finished transaction, as it happens. A slow reader costs lines, which are counted, and never
 * memory or captured traffic.
 */

import type { Transaction } from '../stream/contract.ts';
import type { Arguments } from './arguments.ts';
import type { Context } from './context.ts';
import { Lifetime } from './lifetime.ts';
import { Output } from './output.ts';
import { prepare, runAgent } from './start.ts';
import { transactionJson, transactionText } from './transaction-line.ts';

/** Transactions that end between the first probe and the last are few. */
const EARLY_LIMIT = 1000;

export async function tail(args: Arguments, context: Context): Promise<number> {
  const prepared = await prepare(args, context);
  const { log } = prepared;
  const lifetime = new Lifetime(context, log);
  const output = new Output(context.stdout);
  void output.broken.then(() => lifetime.end());

  const format = args.switches.has('json') ? transactionJson : transactionText;
  const onlyTls = args.switches.has('tls');
  // Until the agent has started, what its clock means is not known.
  let wallOffsetNs: bigint | undefined;
  let early: Transaction[] = [];
  let droppedEarly = 0;
  const print = (transaction: Transaction, offsetNs: bigint) => {
    output.offer(format(transaction, BigInt(Math.round(transaction.timeNs)) + offsetNs));
  };
  const sink = {
    transaction(transaction: Transaction) {
      if (onlyTls && transaction.connection.scheme !== 'https') return;
      if (wallOffsetNs !== undefined) print(transaction, wallOffsetNs);
      else if (early.length < EARLY_LIMIT) early.push(transaction);
      else droppedEarly++;
    },
    incomplete() {},
  };

  try {
    const code = await runAgent(context, prepared, { web: false, sinks: [sink], log }, lifetime, (handle) => {
      wallOffsetNs = handle.wallOffsetNs;
      for (const transaction of early) print(transaction, wallOffsetNs);
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
