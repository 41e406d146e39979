/** One source, several sinks: the metrics and whoever prints; the streams and whoever records. */

import type { ChunkSink, TransactionSink } from './stream/contract.ts';

export function fanOut(sinks: readonly TransactionSink[]): TransactionSink {
  if (sinks.length === 1) return sinks[0]!;
  return {
    transaction(transaction) {
      for (const sink of sinks) sink.transaction(transaction);
    },
    incomplete(owner, role, reason) {
      for (const sink of sinks) sink.incomplete(owner, role, reason);
    },
    stream(stream) {
      for (const sink of sinks) sink.stream?.(stream);
    },
  };
}

export function tee(first: ChunkSink, second: ChunkSink): ChunkSink {
  return {
    open(info, timeNs) {
      first.open(info, timeNs);
      second.open(info, timeNs);
    },
    data(id, pid, timeNs, direction, position, lengthBytes, bytes, start, end) {
      first.data(id, pid, timeNs, direction, position, lengthBytes, bytes, start, end);
      second.data(id, pid, timeNs, direction, position, lengthBytes, bytes, start, end);
    },
    bound(id, timeNs, local, remote) {
      first.bound?.(id, timeNs, local, remote);
      second.bound?.(id, timeNs, local, remote);
    },
    end(id, timeNs, direction) {
      first.end(id, timeNs, direction);
      second.end(id, timeNs, direction);
    },
    close(id, timeNs, kind) {
      first.close(id, timeNs, kind);
      second.close(id, timeNs, kind);
    },
  };
}
