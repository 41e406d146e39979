/**
 * Transactions per second of the pipeline on one core, from generated records, and what each stage adds: the same
 * records through the decoder alone, with the streams, with HTTP, with the metrics. Rounds are interleaved; medians.
 */

import { EventDecoder } from '../src/capture/event-decoder.ts';
import { PROTOCOLS } from '../src/http/registry.ts';
import { Metrics } from '../src/metrics/metrics.ts';
import type { ChunkSink, Owner, Protocol, TransactionSink } from '../src/stream/contract.ts';
import { Streams } from '../src/stream/streams.ts';
import { EventGenerator, REQUEST, RESPONSE } from './events.ts';

const BATCH_BYTES = 512 * 1024;
const CONNECTIONS = 64;
const ROUNDS = 15;
const ROUND_TRANSACTIONS = 60_000;

const OWNER: Owner = { pid: 1, comm: 'nginx', namespace: '', pod: '', container: '', service: 'nginx' };
const nothing = () => {};
const noChunks: ChunkSink = { open: nothing, data: nothing, end: nothing, close: nothing };
const noTransactions: TransactionSink = { transaction: nothing, incomplete: nothing };
const noProtocol: Protocol = {
  name: 'none',
  matches: () => 'yes',
  open: () => ({ data: nothing, gap: nothing, end: nothing, close: nothing }),
};

function streams(protocols: readonly Protocol[], sink: TransactionSink): Streams {
  return new Streams({
    protocols,
    sink,
    maxConnections: 65_536,
    ownerOf: () => OWNER,
    describe: (id) => ({ id, owner: OWNER, scheme: 'http', local: undefined, remote: undefined }),
  });
}

interface Stage {
  readonly name: string;
  readonly generator: EventGenerator;
  readonly batch: Uint8Array;
  readonly decoder: EventDecoder;
  readonly microseconds: number[];
}

function stage(name: string, sink: ChunkSink): Stage {
  const batch = new Uint8Array(BATCH_BYTES);
  const generator = new EventGenerator(batch, CONNECTIONS);
  const decoder = new EventDecoder(batch, sink, {
    owner: () => OWNER,
    exec: nothing,
    exit: nothing,
    tlsSeen: nothing,
    tlsReleased: nothing,
    cgroupMade: nothing,
    cgroupGone: nothing,
  });
  decoder.decode(generator.open());
  return { name, generator, batch, decoder, microseconds: [] };
}

function round({ generator, decoder }: Stage): number {
  let transactions = 0;
  let spentNs = 0;
  while (transactions < ROUND_TRANSACTIONS) {
    // Generating is not what is measured.
    const filled = generator.fill();
    const before = process.hrtime.bigint();
    decoder.decode(filled.filledBytes);
    spentNs += Number(process.hrtime.bigint() - before);
    transactions += filled.transactions;
  }
  return spentNs / 1000 / transactions;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export async function benchPipeline(): Promise<void> {
  let counted = 0;
  const metrics = new Metrics({ build: { version: '', kernel: '', arch: '' } });
  const counting: TransactionSink = {
    transaction(transaction) {
      counted++;
      metrics.transaction(transaction);
    },
    incomplete: nothing,
  };
  const stages = [
    stage('decode', noChunks),
    stage('+ streams', streams([noProtocol], noTransactions)),
    stage('+ http', streams(PROTOCOLS, noTransactions)),
    stage('+ metrics', streams(PROTOCOLS, counting)),
  ];
  for (const each of stages) round(each);
  for (let i = 0; i < ROUNDS; i++) for (const each of stages) each.microseconds.push(round(each));

  console.log(`pipeline: request of ${REQUEST.length} bytes, response of ${RESPONSE.length} bytes, 8 headers each`);
  let before = 0;
  for (const { name, microseconds } of stages) {
    const total = median(microseconds);
    console.log(`  ${name.padEnd(10)} ${(total - before).toFixed(3)} us/transaction  (sum ${total.toFixed(3)})`);
    before = total;
  }
  console.log(`  ${Math.round(1e6 / before).toLocaleString('en')} transactions/s on one core (${counted} counted)`);
  if (counted < ROUNDS * ROUND_TRANSACTIONS) throw new Error(`the pipeline lost transactions: ${counted}`);
}
