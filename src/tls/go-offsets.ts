/**
 * Where fields lie in the structures of Go's runtime and library, by Go version (offsets/go.json, which tools/offsets
 * makes). A version that no table was made for has no offsets, unless the versions next to it on both sides have the same;
 * nothing is guessed beyond the newest one. All releases of one minor version count as one.
 */

import type { GoVersion } from '../elf/go-build-info.ts';
import { PlainsightError } from '../errors.ts';

/** Bytes from the begin of each structure, on machines of 64 bits. */
export const GO_FIELDS = [
  /** crypto/tls.Conn.conn, an interface: what the TLS connection lies on. */
  'tlsConnConn',
  /** The two words of an interface with methods: its table of methods, and the value. */
  'interfaceTable',
  'interfaceData',
  /** In a table of methods: the type, the type's hash, and the first method's code. Methods are sorted by name. */
  'tableType',
  'tableHash',
  'tableMethods',
  /** Of Read in a table for net.Conn, from the begin of the table: net.(*TCPConn).Read, when it is a TCP connection. */
  'tableNetConnRead',
  /** net.TCPConn.conn.fd, a pointer to net.netFD. */
  'tcpConnFd',
  /** net.netFD.pfd.Sysfd, an int: the descriptor, -1 or another when closed. */
  'netFdSysfd',
  /** runtime.g: the goroutine's number, and the bounds of its stack. */
  'gGoid',
  'gStackLow',
  'gStackHigh',
] as const;

export type GoLayout = Readonly<Record<(typeof GO_FIELDS)[number], number>>;

export interface GoOffsetEntry {
  /** 27 of Go 1.27. */
  readonly minor: number;
  /** The release that it was generated from and checked on: `go1.27.3`. */
  readonly verifiedOn: string;
  readonly layout: GoLayout;
}

/** The first versions with arguments in registers. */
const REGISTER_ABI: Readonly<Record<string, number>> = { x64: 17, arm64: 18 };
const MAX_OFFSET = 4096;
const MAX_ENTRIES = 256;

export class GoOffsets {
  readonly entries: readonly GoOffsetEntry[];

  constructor(entries: readonly GoOffsetEntry[]) {
    this.entries = [...entries].sort((a, b) => a.minor - b.minor);
  }

  /** The newest minor version that anything is known about. */
  get newest(): number {
    return this.entries.at(-1)?.minor ?? 0;
  }

  layout(version: GoVersion): GoLayout | undefined {
    if (version.prerelease) return undefined;
    const exact = this.entries.find(({ minor }) => minor === version.minor);
    if (exact) return exact.layout;
    const below = this.entries.findLast(({ minor }) => minor < version.minor);
    const above = this.entries.find(({ minor }) => minor > version.minor);
    return below && above && isSame(below.layout, above.layout) ? below.layout : undefined;
  }

  /**
   * Is it known where a function of this version has its arguments? Known beyond the tables for the older ones: Go 1.17
   * and 1.18 have the convention that all later ones have.
   */
  convention(version: GoVersion, machine: string): 'registers' | 'stack' | 'unverified' {
    const since = REGISTER_ABI[machine];
    if (since === undefined || version.prerelease || version.minor > this.newest) return 'unverified';
    const off = version.experiments.some((name) => name.startsWith('noregabi'));
    return version.minor < since || off ? 'stack' : 'registers';
  }
}

/** @param json The content of offsets/go.json. @throws PlainsightError BAD_INPUT */
export function parseGoOffsets(json: unknown): GoOffsets {
  const versions = field(json, 'versions');
  if (!Array.isArray(versions) || versions.length === 0 || versions.length > MAX_ENTRIES)
    throw bad('it has no versions');
  return new GoOffsets(versions.map(parseEntry));
}

function parseEntry(entry: unknown): GoOffsetEntry {
  const version = field(entry, 'version');
  const verifiedOn = field(entry, 'verifiedOn');
  const minor = /^1\.(\d{1,3})$/.exec(String(version))?.[1];
  if (minor === undefined || typeof verifiedOn !== 'string') throw bad('a version has no name');
  const layout = field(entry, 'layout');
  const offsets = GO_FIELDS.map((name): [string, number] => {
    const offset = field(layout, name);
    if (typeof offset !== 'number' || !Number.isInteger(offset) || offset < 0 || offset > MAX_OFFSET) {
      throw bad(`${name} of version ${version} is no offset`);
    }
    return [name, offset];
  });
  return { minor: Number(minor), verifiedOn, layout: Object.fromEntries(offsets) as unknown as GoLayout };
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function isSame(a: GoLayout, b: GoLayout): boolean {
  return GO_FIELDS.every((name) => a[name] === b[name]);
}

function bad(what: string): PlainsightError {
  return new PlainsightError('BAD_INPUT', `the table of offsets for Go cannot be used: ${what}; generate it anew`);
}
