/** Transactions and owners for the tests of metrics. */

import type {
  FinishedStream,
  GrpcCall,
  Owner,
  Role,
  Scheme,
  StreamKind,
  Transaction,
} from '../../src/stream/contract.ts';

export function owner(labels: Partial<Owner> = {}): Owner {
  return { pid: 7, comm: 'web', namespace: '', pod: '', container: '', service: 'web', ...labels };
}

export interface TransactionFields {
  readonly owner?: Owner;
  readonly role?: Role;
  readonly scheme?: Scheme;
  readonly method?: string;
  readonly status?: number;
  readonly durationNs?: number;
  readonly grpc?: GrpcCall;
}

export function transaction(fields: TransactionFields = {}): Transaction {
  const {
    owner: of = owner(),
    role = 'server',
    scheme = 'http',
    method = 'GET',
    status = 200,
    durationNs = 1e6,
    grpc,
  } = fields;
  return {
    connection: { id: 1, owner: of, scheme, local: undefined, remote: undefined },
    owner: of,
    role,
    method,
    status,
    version: '1.1',
    timeNs: 0,
    durationNs,
    grpc,
  };
}

export function finishedStream(kind: StreamKind, fields: TransactionFields = {}): FinishedStream {
  const { connection, owner: of, role, durationNs, grpc } = transaction(fields);
  return { connection, owner: of, role, kind, timeNs: 0, durationNs, grpc };
}

/** The value of a line of an exposition; undefined when there is no such line. */
export function sampleOf(body: string, series: string): string | undefined {
  const line = body.split('\n').find((text) => text.startsWith(`${series} `));
  return line?.slice(series.length + 1);
}
