/** Transactions and owners for the tests of metrics. */

import type { Owner, Role, Scheme, Transaction } from '../../src/stream/contract.ts';

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
}

export function transaction(fields: TransactionFields = {}): Transaction {
  const {
    owner: of = owner(),
    role = 'server',
    scheme = 'http',
    method = 'GET',
    status = 200,
    durationNs = 1e6,
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
  };
}

/** The value of a line of an exposition; undefined when there is no such line. */
export function sampleOf(body: string, series: string): string | undefined {
  const line = body.split('\n').find((text) => text.startsWith(`${series} `));
  return line?.slice(series.length + 1);
}
