/** Requests that became streams (`http_stream_duration_seconds`). Their set-up is in the histograms of requests. */

import type { FinishedStream, Role, StreamKind } from '../stream/contract.ts';
import { DurationHistogram } from './histogram.ts';
import { type HttpOptions, WORKLOAD } from './http-requests.ts';

const KIND_IDS: Record<StreamKind, number> = { sse: 0, websocket: 1, grpc: 2, connect: 3 };
const KIND_NAMES = Object.keys(KIND_IDS);
const ROLE_IDS: Record<Role, number> = { server: 0, client: 1 };
const ROLE_NAMES = Object.keys(ROLE_IDS);

/** A variant is: kind, role (1 bit). */
export class HttpStreamDuration extends DurationHistogram {
  constructor({ buckets, maxSeries }: HttpOptions) {
    super({
      name: 'http_stream_duration_seconds',
      help: 'Duration of streams, from the first byte of their request to the last byte of the stream.',
      buckets,
      maxSeries,
      workloadLabels: WORKLOAD,
      variantLabels: ['kind', 'role'],
      decode: (variant) => [KIND_NAMES[variant >> 1]!, ROLE_NAMES[variant & 1]!],
    });
  }

  stream({ owner, kind, role, durationNs }: FinishedStream): void {
    this.observe(owner, (KIND_IDS[kind] << 1) | ROLE_IDS[role], durationNs);
  }
}
