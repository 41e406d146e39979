/** A finished transaction as a line: the JSON object of `tail --json` and `replay --transactions`, and the text of `tail`. */

import { escapeText } from '../log.ts';
import { type Transaction, UNKNOWN_STATUS } from '../stream/contract.ts';

/** What a peer is called that is not proven, and a status that was not seen. */
const UNKNOWN = 'unknown';

/** `time`: ns; written as an integer, because Unix time in ns is beyond what a double holds. */
export function transactionJson(transaction: Transaction, time: bigint): string {
  const { connection, owner, role, method, status, durationNs, version } = transaction;
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
    method,
    status: status === UNKNOWN_STATUS ? UNKNOWN : status,
    durationNs: Math.round(durationNs),
    version,
    peer: connection.remote ?? UNKNOWN,
  });
  return `{"time":${time},${rest.slice(1)}\n`;
}

/** `time`: ns of Unix time. */
export function transactionText(transaction: Transaction, time: bigint): string {
  const { connection, owner, role, method, status, durationNs } = transaction;
  const clock = new Date(Number(time / 1_000_000n)).toISOString();
  const who = owner.pod ? `${owner.namespace}/${owner.pod}` : `${owner.comm}[${owner.pid}]`;
  const peer = connection.remote ?? UNKNOWN;
  const duration = formatDuration(durationNs);
  const shown = status === UNKNOWN_STATUS ? UNKNOWN : status;
  return `${clock} ${escapeText(who)} ${role} ${method} ${shown} ${duration} ${connection.scheme} ${peer}\n`;
}

function formatDuration(durationNs: number): string {
  return durationNs < 1e9 ? `${(durationNs / 1e6).toFixed(3)}ms` : `${(durationNs / 1e9).toFixed(3)}s`;
}
