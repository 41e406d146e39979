/** The list of all families, in the order in which they are written. A new metric is one line here. */

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

/** Families about the agent. */
export const SELF_FAMILIES: readonly SelfFamily[] = [
  buildInfo,
  featureEnabled,
  tlsProcesses,
  eventsTotal,
  eventsLost,
  connectionsTracked,
  socketBinding,
  capturedBytes,
  seriesHeld,
  seriesOverflow,
];
