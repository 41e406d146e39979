/**
 * A finished transaction as a line: the JSON object of `tail --json` and `replay --transactions`, and the text of `tail`. A
 * finished stream has a line in `tail` too, with its kind where a transaction has its method and status.
 */

import { escapeText } from '../log.ts';
import { type FinishedStream, type Transaction, UNKNOWN_STATUS } from '../stream/contract.ts';

/** What a peer is called that is not proven, and a status that was not seen. */
const UNKNOWN = 'unknown';

/** `time`: ns; written as an integer, because Unix time in ns is beyond what a double holds. */
export function transactionJson(transaction: Transaction, time: bigint): string {
  const { method, status, version } = transaction;
  const shown = status === UNKNOWN_STATUS ? UNKNOWN : status;
  return json(transaction, time, { method, status: shown }, { version });
}

/** As transactionJson(). */
export function streamJson(stream: FinishedStream, time: bigint): string {
  return json(stream, time, { stream: stream.kind }, {});
}

function json(finished: Transaction | FinishedStream, time: bigint, what: object, how: object): string {
  const { connection, owner, role, durationNs } = finished;
  const rest = JSON.stringify({
    conn: connection.id,
    pid: owner.pid,
    comm: owner.comm,
    namespace: owner.namespace,
    pod: owner.pod,
    container: owner.container,
    service: owner.service,
    role,
    scheme: connection.scheme,
    ...what,
    durationNs: Math.round(durationNs),
    ...how,
    peer: connection.remote ?? UNKNOWN,
  });
  return `{"time":${time},${rest.slice(1)}\n`;
}

/** `time`: ns of Unix time. */
export function transactionText(transaction: Transaction, time: bigint): string {
  const { method, status } = transaction;
  return text(transaction, time, `${method} ${status === UNKNOWN_STATUS ? UNKNOWN : status}`);
}

/** `time`: ns of Unix time. */
export function streamText(stream: FinishedStream, time: bigint): string {
  return text(stream, time, `stream ${stream.kind}`);
}

function text(finished: Transaction | FinishedStream, time: bigint, what: string): string {
  const { connection, owner, role, durationNs } = finished;
  const clock = new Date(Number(time / 1_000_000n)).toISOString();
  const who = owner.pod ? `${owner.namespace}/${owner.pod}` : `${owner.comm}[${owner.pid}]`;
  const peer = connection.remote ?? UNKNOWN;
  const duration = formatDuration(durationNs);
  return `${clock} ${escapeText(who)} ${role} ${what} ${duration} ${connection.scheme} ${peer}\n`;
}

function formatDuration(durationNs: number): string {
  return durationNs < 1e9 ? `${(durationNs / 1e6).toFixed(3)}ms` : `${(durationNs / 1e9).toFixed(3)}s`;
}
