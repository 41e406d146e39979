/**
 * Go's crypto/tls, which is part of the program that uses it: recognised from a process' main executable by its build
 * information, not by a name. Its functions have conventions of their own and need the layout of Go's structures, so it
 * has its own kind of facts beside those of the libraries in registry.ts. For a version that nothing was verified on
 * there are no sites: nothing of it is read.
 */

import type { ElfFile } from '../elf/elf-file.ts';
import { goBuildId, goBuildInfo, goVersion } from '../elf/go-build-info.ts';
import { type GoSymbolsReason, goSymbols, isPacked } from '../elf/go-symbols.ts';
import type { GoConnPath, GoCookie } from '../probes/go-cookie.ts';
import type { GoPlanner, GoPlanReason, GoSite } from '../probes/go-plan.ts';
import type { GoLayout, GoOffsets } from './go-offsets.ts';
import { TLS_REASONS, type TlsLibrary, type TlsReason, type TlsSite } from './library.ts';

/** Go's crypto/tls as one of the libraries of a node, with what is known of the layout of its structures. */
export function goLibrary(options: {
  offsets: GoOffsets;
  plan: GoPlanner;
  /** encodeGoCookie() of src/probes/. */
  encode: (cookie: GoCookie) => bigint;
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
      const tlsSite = (site: GoTlsSite): TlsSite => {
        const { offset, kind, costClass, symbol, operation, repeats } = site;
        const path = pathFrom(site, facts);
        const cookie = options.encode({ operation: COOKIE_OPERATIONS[operation], repeats, path });
        return { offset, kind, method: 'uprobe', costClass, cookie, symbol, programs: 'gotls' };
      };
      return { version, buildId, reason: tlsReason(reason), sites: sites.map(tlsSite) };
    },
  };
}

const COOKIE_OPERATIONS = { read: 'read', write: 'write', close: 'free' } as const;

/** Interfaces have been these two words since Go 1.0 (src/runtime/runtime2.go, iface): the BPF programs take it so. */
const INTERFACE = { interfaceTable: 0, interfaceData: 8 } as const;

function pathFrom({ address }: GoTlsSite, { layout, tcpReadAddress }: GoFacts): GoConnPath | undefined {
  if (!layout || tcpReadAddress === undefined) return undefined;
  const { interfaceTable, interfaceData } = layout;
  if (interfaceTable !== INTERFACE.interfaceTable || interfaceData !== INTERFACE.interfaceData) return undefined;
  return {
    conn: layout.tlsConnConn,
    readMethod: layout.tableNetConnRead,
    fd: layout.tcpConnFd,
    sysfd: layout.netFdSysfd,
    tcpReadDistance: tcpReadAddress - address,
  };
}

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
  /**
   * Where returns are probed. `repeats`: only where the entry site can be hit twice for one call, to tell that from two
   * calls. What is written is taken at the entry, so nothing else is wanted of its return.
   */
  readonly returns: 'always' | 'repeats' | 'never';
  /** Without it the program is not attached. */
  readonly required: boolean;
}

/** func (c *Conn) Read(b []byte) (int, error), the same for Write; func (c *Conn) Close() error. */
export const GO_TLS_FUNCTIONS: readonly GoFunction[] = [
  { symbol: 'crypto/tls.(*Conn).Read', operation: 'read', returns: 'always', required: true },
  { symbol: 'crypto/tls.(*Conn).Write', operation: 'write', returns: 'repeats', required: true },
  { symbol: 'crypto/tls.(*Conn).Close', operation: 'close', returns: 'never', required: false },
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
    const plan = options.plan({ machine: file.machine, code }, fn, returns !== 'never');
    if (plan.reason !== '' && required) return answer(info.version, buildId, plan.reason);
    const ends = returns === 'always' || plan.entries.some(({ repeats }) => repeats) ? plan.returns : [];
    for (const site of [...plan.entries, ...ends]) {
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
