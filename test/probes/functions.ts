/** Real functions of TLS libraries from fixtures/probes, as the planner gets them. */

import { readFileSync } from 'node:fs';
import type { FunctionSymbol } from '../../src/elf/symbols.ts';
import { decodeCookie } from '../../src/probes/cookie.ts';
import type { CallSignature, ProbePlan, Site } from '../../src/probes/plan.ts';
import { fromRoot } from '../../src/root.ts';

export interface RealFunction {
  readonly machine: 'x64' | 'arm64';
  /** Name and version. */
  readonly library: string;
  readonly symbol: FunctionSymbol;
  readonly code: Uint8Array;
}

/** As it is called in the fixtures, so that offsets in plans are those in the function. */
const FILE_OFFSET = 0;

export function realFunctions(machine: 'x64' | 'arm64'): RealFunction[] {
  const found: RealFunction[] = [];
  let library = '';
  for (const block of readFileSync(fromRoot(`fixtures/probes/${machine}.txt`), 'utf8').split(
    /^(?=#|\w+ [0-9a-f]+$)/m,
  )) {
    const lines = block.trim().split('\n');
    const [name, address] = lines[0]!.split(' ');
    if (name === '#') library = lines[0]!.slice(2).split(' (')[0]!;
    else if (library !== '') {
      const code = Buffer.from(lines.slice(1).join(''), 'hex');
      const symbol = {
        name: name!,
        address: Number.parseInt(address!, 16),
        sizeBytes: code.length,
        fileOffset: FILE_OFFSET,
      };
      found.push({ machine, library, symbol, code });
    }
  }
  return found;
}

const SIGNATURES: Readonly<Record<string, CallSignature>> = {
  SSL_read: { operation: 'read', convention: 'n' },
  SSL_write: { operation: 'write', convention: 'n' },
  SSL_read_ex: { operation: 'read', convention: 'ex' },
  SSL_write_ex: { operation: 'write', convention: 'ex' },
  SSL_free: { operation: 'free', convention: 'n' },
  SSL_shutdown: { operation: 'shutdown', convention: 'n' },
  gnutls_record_recv: { operation: 'read', convention: 'n' },
  gnutls_record_send: { operation: 'write', convention: 'n' },
  gnutls_record_send2: { operation: 'write', convention: 'n' },
};

export function signatureOf(name: string): CallSignature {
  return SIGNATURES[name]!;
}

/** `16 emulated depth 24`: hexadecimal offset, cost, and what the cookie says beside the signature. */
export function describeSite(site: Site): string {
  const { register, depthBytes } = decodeCookie(site.cookie)!;
  const depth = depthBytes === 0 ? '' : ` depth ${depthBytes}`;
  return `${site.offset.toString(16)} ${site.costClass}${depth}${register === 0 ? '' : ` register ${register}`}`;
}

/** Entry, then returns, then why they are no sites. */
export function describePlan({ entries, returns, uretprobeReason, reason }: ProbePlan): string {
  return [...entries, ...returns]
    .map(describeSite)
    .concat(uretprobeReason === '' ? [] : [uretprobeReason], reason === '' ? [] : [reason])
    .join('; ');
}
