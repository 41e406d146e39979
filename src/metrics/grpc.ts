/**
 * gRPC calls, as received (`grpc_server_handling_seconds`) and as sent (`grpc_client_handling_seconds`): unary ones, and
 * streams that ended with a status.
 */

import { GRPC_CODES } from '../http/grpc/codes.ts';
import type { GrpcCall, Owner } from '../stream/contract.ts';
import { DurationHistogram } from './histogram.ts';
import { type HttpOptions, WORKLOAD } from './http-requests.ts';

const CODE_NAMES: readonly string[] = [...GRPC_CODES, 'unknown'];
const CODE_IDS = new Map(CODE_NAMES.map((name, id) => [name, id]));
const CODE_UNKNOWN = CODE_NAMES.length - 1;

/**
 * Services with their methods, which a client can make up: each pair gets a number when first seen, and what comes after
 * the 1024th is `other`. No node runs as many methods.
 */
class MethodNames {
  static readonly #LIMIT = 1024;
  readonly #pairs: (readonly [service: string, method: string])[] = [['other', 'other']];
  readonly #ids = new Map<string, Map<string, number>>();

  /** 0..1024 */
  idOf(service: string, method: string): number {
    return this.#ids.get(service)?.get(method) ?? this.#add(service, method);
  }

  pair(id: number): readonly [service: string, method: string] {
    return this.#pairs[id] ?? this.#pairs[0]!;
  }

  #add(service: string, method: string): number {
    if (this.#pairs.length > MethodNames.#LIMIT) return 0;
    const id = this.#pairs.push([service, method]) - 1;
    const methods = this.#ids.get(service);
    if (methods === undefined) this.#ids.set(service, new Map([[method, id]]));
    else methods.set(method, id);
    return id;
  }
}

/** A variant is: method, code (5 bits). */
export class GrpcDuration extends DurationHistogram {
  readonly #names: MethodNames;

  constructor(name: string, help: string, { buckets, maxSeries }: HttpOptions) {
    const names = new MethodNames();
    super({
      name,
      help,
      buckets,
      maxSeries,
      workloadLabels: WORKLOAD,
      variantLabels: ['grpc_service', 'grpc_method', 'grpc_code'],
      decode: (variant) => [...names.pair(variant >> 5), CODE_NAMES[variant & 31]!],
    });
    this.#names = names;
  }

  call(owner: Owner, { service, method, code }: GrpcCall, durationNs: number): void {
    const codeId = CODE_IDS.get(code) ?? CODE_UNKNOWN;
    this.observe(owner, (this.#names.idOf(service, method) << 5) | codeId, durationNs);
  }
}

export function grpcServerDuration(options: HttpOptions): GrpcDuration {
  return new GrpcDuration(
    'grpc_server_handling_seconds',
    'Duration of gRPC calls that the process received, to the last byte of the response.',
    options,
  );
}

export function grpcClientDuration(options: HttpOptions): GrpcDuration {
  return new GrpcDuration(
    'grpc_client_handling_seconds',
    'Duration of gRPC calls that the process sent, to the last byte of the response.',
    options,
  );
}
