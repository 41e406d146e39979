/**
 * A TLS library, described as data. A new one is a file like openssl.ts, a line in registry.ts and a fixture. The
 * functions are found by their symbols, so no version decides whether a library is covered.
 */

import type { ElfFile, ElfMachine } from '../elf/elf-file.ts';
import type { CallConvention, ProbeOperation } from '../probes/cookie.ts';
import type { Site } from '../probes/plan.ts';

export interface TlsFunction {
  readonly symbol: string;
  readonly operation: ProbeOperation;
  readonly convention: CallConvention;
  /** Without it the file is not attached at all. Beside these, one read and one write function must be there. */
  readonly required: boolean;
  /** Symbol of the function to which this one hands its arguments. Where a file has that one, this one is not probed. */
  readonly forwardsTo?: string;
}

/** Why a function that moves bytes is not probed. */
export type UnprobedReason =
  | 'serves QUIC alone'
  | 'gives its bytes in a structure of its own'
  | 'returns no count of bytes';

/** A function that moves bytes and is left out: what programs move by it shows as ciphertext without plaintext. */
export interface UnprobedFunction {
  readonly symbol: string;
  readonly operation: ProbeOperation;
  readonly reason: UnprobedReason;
}

export interface TlsLibrary {
  readonly name: string;
  /** A cheap look at the path of a mapped file: may it be this library? Its symbols decide. */
  recognise(path: string): boolean;
  /** The version that the file's name gives away, '' when it does not. Only for display. */
  version(path: string): string;
  /**
   * Functions by which it is recognised where it is linked into an executable or into another library: all must be
   * there. Empty: it is only recognised by the name of its file. Of two libraries that a file shows, the first in the
   * registry wins.
   */
  readonly embedded: readonly string[];
  readonly functions: readonly TlsFunction[];
  readonly unprobed?: readonly UnprobedFunction[];
  /**
   * For what is part of a program and has conventions of its own: reads an executable instead of the three above.
   * undefined: the program does not have it. @throws as readElf()
   */
  readonly inspect?: (file: ElfFile, bytes: Uint8Array, machine: ElfMachine) => Inspection | undefined;
}

/** What `inspect` says of an executable. */
export interface Inspection {
  readonly version: string;
  readonly buildId: string;
  /** '' when it can be attached; else there are no sites. */
  readonly reason: TlsReason;
  readonly sites: readonly TlsSite[];
}

/** One place to probe, and the function that it is for. */
export interface TlsSite extends Site {
  readonly symbol: string;
  /** The instruction there, for people; '' where its bytes were not read. */
  readonly instruction?: string;
  /** Of which BPF object its programs are; those for libraries written in C when missing. */
  readonly programs?: 'gotls';
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
  'packed executable',
  'Go version unknown',
  'Go version too old',
  'Go version unverified',
  'Go functions not found',
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
  'packed executable',
  'Go version unknown',
  'Go version too old',
  'Go version unverified',
  'Go functions not found',
]);

export function stateOf(reason: TlsReason): TlsState {
  if (reason === '') return 'attached';
  if (reason === 'waiting for a scan') return 'pending';
  return UNSUPPORTED.has(reason) ? 'unsupported' : 'failed';
}
