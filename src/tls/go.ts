/**
 * Go's crypto/tls, which is part of the program that uses it: recognised from a process' main executable by its build
 * information, not by a name. Its functions have conventions of their own and need the layout of Go's structures, so it
 * has its own kind of facts beside those of the libraries in registry.ts. For a version that nothing was verified on
 * there are no sites: nothing of it is read.
 */

import type { ElfFile } from '../elf/elf-file.ts';
import { goBuildId, goBuildInfo, goVersion } from '../elf/go-build-info.ts';
import { type GoSymbolsReason, goSymbols, isPacked } from '../elf/go-symbols.ts';
import type { Cookie } from '../probes/cookie.ts';
import type { GoPlanner, GoPlanReason, GoSite } from '../probes/go-plan.ts';
import type { GoLayout, GoOffsets } from './go-offsets.ts';
import { TLS_REASONS, type TlsLibrary, type TlsReason, type TlsSite } from './library.ts';

/** Go's crypto/tls as one of the libraries of a node, with what is known of the layout of its structures. */
export function goLibrary(options: {
  offsets: GoOffsets;
  plan: GoPlanner;
  /** encodeCookie() of src/probes/. */
  encode: (cookie: Cookie) => bigint;
}): TlsLibrary {
  return {
    name: 'go',
    recognise: () => false,
    version: () => '',
    embedded: [],
    functions: [],
    inspect(file, bytes, machine) {
      const facts = goFacts(file, bytes, { ...options, machine });
      if (!facts || facts.reason === 'no crypto/tls') return undefined;
      const { version, buildId, reason, sites } = facts;
      const tlsSite = ({ offset, kind, costClass, symbol, operation }: GoTlsSite): TlsSite => {
        const where = { convention: 'n', uretprobe: false, register: 0, depthBytes: 0 } as const;
        const cookie = options.encode({ operation: COOKIE_OPERATIONS[operation], ...where });
        return { offset, kind, method: 'uprobe', costClass, cookie, symbol, programs: 'gotls' };
      };
      return { version, buildId, reason: tlsReason(reason), sites: sites.map(tlsSite) };
    },
  };
}

const COOKIE_OPERATIONS = { read: 'read', write: 'write', close: 'free' } as const;

function tlsReason(reason: GoReason): TlsReason {
  const known = TLS_REASONS.find((name) => name === reason);
  if (known !== undefined) return known;
  return reason === 'no function table' || reason === 'no begin of code' || reason === 'function names obfuscated'
    ? 'Go functions not found'
    : 'function cannot be probed';
}

export type GoOperation = 'read' | 'write' | 'close';

export interface GoFunction {
  readonly symbol: string;
  readonly operation: GoOperation;
  /** Is there a result to wait for? */
  readonly returns: boolean;
  /** Without it the program is not attached. */
  readonly required: boolean;
}

/** func (c *Conn) Read(b []byte) (int, error), the same for Write; func (c *Conn) Close() error. */
export const GO_TLS_FUNCTIONS: readonly GoFunction[] = [
  { symbol: 'crypto/tls.(*Conn).Read', operation: 'read', returns: true, required: true },
  { symbol: 'crypto/tls.(*Conn).Write', operation: 'write', returns: true, required: true },
  { symbol: 'crypto/tls.(*Conn).Close', operation: 'close', returns: false, required: false },
];

/** What stands in a table of methods for Read when the connection below is a TCP connection. */
export const GO_TCP_READ = 'net.(*TCPConn).Read';

/** Why the TLS of a Go program is not seen. A closed set. */
export type GoReason =
  | ''
  /** The program does not import it, or the linker found no use of it. */
  | 'no crypto/tls'
  /** The build information gives no version: obfuscated. */
  | 'Go version unknown'
  /** Before arguments went into registers. */
  | 'Go version too old'
  /** After the newest version that was verified, or none that was released. */
  | 'Go version unverified'
  | 'packed executable'
  | GoSymbolsReason
  | GoPlanReason;

export interface GoTlsSite extends GoSite {
  readonly symbol: string;
  readonly operation: GoOperation;
  /** Address of the instruction before relocation: what the program's counter shows there, less the load address. */
  readonly address: number;
}

export interface GoFacts {
  /** `go1.27.3`, as the program says it; '' when it does not. */
  readonly version: string;
  /** Of the link; '' when there is none. */
  readonly buildId: string;
  /** '' when it can be attached; else there are no sites. */
  readonly reason: GoReason;
  readonly sites: readonly GoTlsSite[];
  /** undefined: the connection below is not looked at. */
  readonly layout: GoLayout | undefined;
  /** Address of net.(*TCPConn).Read before relocation; undefined when the program has none. */
  readonly tcpReadAddress: number | undefined;
}

/** undefined: this is no Go program, as far as the file says. @throws nothing that readElf() has not thrown */
export function goFacts(
  file: ElfFile,
  bytes: Uint8Array,
  options: { offsets: GoOffsets; plan: GoPlanner; machine: string },
): GoFacts | undefined {
  if (isPacked(file, bytes)) return answer('', '', 'packed executable');
  const info = goBuildInfo(file, bytes);
  const buildId = goBuildId(file, bytes) ?? '';
  if (!info) return buildId === '' ? undefined : answer('', buildId, 'Go version unknown');
  const version = goVersion(info.version);
  if (file.machine !== options.machine) return answer(info.version, buildId, 'other machine');
  if (!version) return answer(info.version, buildId, 'Go version unknown');
  const convention = options.offsets.convention(version, file.machine);
  if (convention === 'stack') return answer(info.version, buildId, 'Go version too old');
  if (convention === 'unverified') return answer(info.version, buildId, 'Go version unverified');
  const names = new Set([...GO_TLS_FUNCTIONS.map(({ symbol }) => symbol), GO_TCP_READ]);
  const symbols = goSymbols(file, bytes, names);
  if (!symbols.found) return answer(info.version, buildId, symbols.reason);
  const sites: GoTlsSite[] = [];
  for (const { symbol, operation, returns, required } of GO_TLS_FUNCTIONS) {
    const fn = symbols.functions.get(symbol);
    if (!fn) {
      if (required) return answer(info.version, buildId, 'no crypto/tls');
      continue;
    }
    const code = bytes.subarray(fn.fileOffset, fn.fileOffset + fn.sizeBytes);
    const plan = options.plan({ machine: file.machine, code }, fn, returns);
    if (plan.reason !== '' && required) return answer(info.version, buildId, plan.reason);
    for (const site of [...plan.entries, ...plan.returns]) {
      sites.push({ ...site, symbol, operation, address: fn.address + (site.offset - fn.fileOffset) });
    }
  }
  return {
    version: info.version,
    buildId,
    reason: '',
    sites,
    layout: options.offsets.layout(version),
    tcpReadAddress: symbols.functions.get(GO_TCP_READ)?.address,
  };
}

function answer(version: string, buildId: string, reason: GoReason): GoFacts {
  return { version, buildId, reason, sites: [], layout: undefined, tcpReadAddress: undefined };
}
