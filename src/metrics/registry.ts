/** The list of all families, in the order in which they are written. A new metric is one line here. */

import { WorkloadCounter } from './counter.ts';
import { type GrpcDuration, grpcClientDuration, grpcServerDuration } from './grpc.ts';
import {
  type HttpDuration,
  HttpIncomplete,
  type HttpOptions,
  httpClientDuration,
  httpServerDuration,
} from './http-requests.ts';
import { HttpStreamDuration } from './http-streams.ts';
import {
  buildInfo,
  capturedBytes,
  connectionsTracked,
  eventsLost,
  eventsTotal,
  featureEnabled,
  type SelfFamily,
  seriesHeld,
  seriesOverflow,
  socketBinding,
  tlsProcesses,
  unplaced,
} from './self.ts';

/** Families about the observed processes: they carry a workload's labels and go with it. */
export interface TrafficFamilies {
  readonly httpServerDuration: HttpDuration;
  readonly httpClientDuration: HttpDuration;
  readonly httpStreamDuration: HttpStreamDuration;
  readonly grpcServerDuration: GrpcDuration;
  readonly grpcClientDuration: GrpcDuration;
  readonly httpIncomplete: HttpIncomplete;
}

export function trafficFamilies(options: HttpOptions): TrafficFamilies {
  return {
    httpServerDuration: httpServerDuration(options),
    httpClientDuration: httpClientDuration(options),
    httpStreamDuration: new HttpStreamDuration(options),
    grpcServerDuration: grpcServerDuration(options),
    grpcClientDuration: grpcClientDuration(options),
    httpIncomplete: new HttpIncomplete(options.maxSeries),
  };
}

/**
 * What processes move by TLS, as calls of TLS libraries and as sockets show it. Ciphertext is a little more than plaintext
 * where all is seen; much more says that a library is not.
 */
export interface TlsFamilies {
  readonly plaintext: WorkloadCounter;
  readonly ciphertext: WorkloadCounter;
}

export function tlsFamilies(maxSeries: number): TlsFamilies {
  const layout = {
    workloadLabels: ['namespace', 'pod', 'container'],
    variantLabels: [],
    decode: () => [],
    maxSeries,
  } as const;
  return {
    plaintext: new WorkloadCounter({
      name: 'plainsight_tls_plaintext_bytes_total',
      help: 'Bytes that processes read and wrote through the TLS libraries that are probed.',
      ...layout,
    }),
    ciphertext: new WorkloadCounter({
      name: 'plainsight_tls_ciphertext_bytes_total',
      help: 'Bytes that processes sent and received on TCP sockets that carry TLS records, whatever library made them.',
      ...layout,
    }),
  };
}

/** Families about the agent. */
export const SELF_FAMILIES: readonly SelfFamily[] = [
  buildInfo,
  featureEnabled,
  tlsProcesses,
  eventsTotal,
  eventsLost,
  connectionsTracked,
  socketBinding,
  unplaced,
  capturedBytes,
  seriesHeld,
  seriesOverflow,
];
