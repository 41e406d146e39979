/** What is known of the TLS of each process: plain values for /api/status and the metric plainsight_tls_processes. */

import type { TlsLibrary, TlsReason, TlsSite, TlsState } from './library.ts';
import { stateOf } from './library.ts';
import type { FileFacts } from './mapped-library.ts';
import type { SocketLayout } from './socket-layout.ts';

/** One library in one process; `library` is '' where a process speaks TLS and none was found. */
export interface ProcessTls {
  readonly pid: number;
  readonly library: string;
  /** As the process sees it. */
  readonly path: string;
  readonly version: string;
  readonly buildId: string;
  readonly state: TlsState;
  readonly reason: TlsReason;
}

export interface ScanResult {
  readonly pid: number;
  readonly alive: boolean;
  /** Empty when the process maps no known TLS library. */
  readonly libraries: readonly ProcessTls[];
}

export interface AttachedLibrary {
  readonly library: string;
  readonly version: string;
  readonly buildId: string;
  /** As the first process saw it. */
  readonly path: string;
  readonly sites: readonly TlsSite[];
  /** Whether the sockets of its connections can be read; undefined: no library of which that is known. */
  readonly layout: SocketLayout | undefined;
  /** Live processes that are known to map it. Children of a fork are not. */
  readonly processes: number;
}

export function describe(
  pid: number,
  path: string,
  library: TlsLibrary | undefined,
  facts: FileFacts | undefined,
  reason: TlsReason,
): ProcessTls {
  return {
    pid,
    library: library?.name ?? '',
    path,
    version: facts?.version ?? library?.version(path) ?? '',
    buildId: facts?.buildId ?? '',
    state: stateOf(reason),
    reason,
  };
}

/** What is known of the place of the sockets below a library's connections, for people and scripts. */
export function socketFacts({ state, reason, version, connectionSource, bioSource, fields }: SocketLayout) {
  return { state, reason, version, connection: connectionSource, bio: bioSource, ...(fields && { offsets: fields }) };
}
