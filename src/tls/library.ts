/**
 * A TLS library, described as data. A new one is a file like openssl.ts, a line in registry.ts and a fixture. The
 * functions are found by their symbols, so no version decides whether a library is covered.
 */

import type { CallConvention, ProbeOperation } from '../probes/cookie.ts';
import type { Site } from '../probes/plan.ts';

export interface TlsFunction {
  readonly symbol: string;
  readonly operation: ProbeOperation;
  readonly convention: CallConvention;
  /** Without it the file is not attached at all. Beside these, one read and one write function must be there. */
  readonly required: boolean;
}

export interface TlsLibrary {
  readonly name: string;
  /** A cheap look at the path of a mapped file: may it be this library? Its symbols decide. */
  recognise(path: string): boolean;
  /** The version that the file's name gives away, '' when it does not. Only for display. */
  version(path: string): string;
  readonly functions: readonly TlsFunction[];
}

/** One place to probe, and the function that it is for. */
export interface TlsSite extends Site {
  readonly symbol: string;
}

/** Puts the probes into a file. `path` leads to it at this moment only. Throws when it cannot; then nothing is attached. */
export interface Attacher {
  attach(path: string, sites: readonly TlsSite[]): { close(): void };
}

/** Why a process' TLS is not seen. A closed set: it is a metric label. */
export const TLS_REASONS = [
  /** nothing to say: attached */
  '',
  'waiting for a scan',
  'process exited',
  'no known TLS library',
  'no read or write function',
  'required function missing',
  'permission denied',
  'file replaced',
  'file unreadable',
  'not an ELF file',
  '32-bit',
  'big-endian',
  'other machine',
  'function cannot be probed',
  'returns cannot be covered',
  'attach failed',
  'too many libraries',
] as const;
export type TlsReason = (typeof TLS_REASONS)[number];

export type TlsState = 'attached' | 'failed' | 'unsupported' | 'pending';

const UNSUPPORTED: ReadonlySet<TlsReason> = new Set<TlsReason>([
  'no known TLS library',
  'no read or write function',
  'required function missing',
  '32-bit',
  'big-endian',
  'other machine',
  'function cannot be probed',
  'returns cannot be covered',
]);

export function stateOf(reason: TlsReason): TlsState {
  if (reason === '') return 'attached';
  if (reason === 'waiting for a scan') return 'pending';
  return UNSUPPORTED.has(reason) ? 'unsupported' : 'failed';
}
