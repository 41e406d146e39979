/**
 * Where OpenSSL and BoringSSL keep the BIO below a connection and the descriptor in a socket BIO, by version
 * (offsets/openssl.json and boringssl.json, which tools/offsets makes of the libraries' own headers). The two parts, of
 * libssl and of libcrypto, are looked up apart: a version that no headers were read of has a part only if the versions
 * next to it on both sides have the same and are of its major version. Nothing is guessed beyond the newest one.
 */

import type { ElfMachine } from '../elf/elf-file.ts';
import { PlainsightError } from '../errors.ts';

/** Bytes from the begin of ssl_st, or ssl_connection_st since OpenSSL 3.2. */
export interface ConnectionFields {
  readonly sslReadBio: number;
  readonly sslWriteBio: number;
  /** Of the 32 bits that are 0 where the SSL object is a TLS connection; undefined where there are no others. */
  readonly sslKind: number | undefined;
}

/** Bytes from the begin of bio_st, and of bio_method_st. */
export interface BioFields {
  readonly bioMethod: number;
  /** The int before the descriptor, and the pointer behind it: accessor functions tell where these are. */
  readonly bioRetryReason: number;
  readonly bioData: number;
  readonly bioNumber: number;
  readonly methodType: number;
}

export interface OffsetEntry {
  /** `3.0`; all its releases count as one. */
  readonly version: string;
  /** The release whose headers were read. */
  readonly verifiedOn: string;
  readonly connection: ConnectionFields;
  readonly bio: BioFields;
}

export type VersionNumbers = readonly number[];

const CONNECTION_FIELDS = ['sslReadBio', 'sslWriteBio', 'sslKind'] as const;
const BIO_FIELDS = ['bioMethod', 'bioRetryReason', 'bioData', 'bioNumber', 'methodType'] as const;
const OPTIONAL_FIELDS: readonly string[] = ['sslKind'];
const MAX_OFFSET = 2040;
const MAX_ENTRIES = 256;

export class OffsetTable {
  readonly library: string;
  /** Of one machine, the oldest first. */
  readonly entries: readonly OffsetEntry[];

  constructor(library: string, entries: readonly OffsetEntry[]) {
    this.library = library;
    this.entries = [...entries].sort((a, b) => compare(numbersOf(a.version), numbersOf(b.version)));
  }

  /** undefined: unverified. */
  connection(version: VersionNumbers): ConnectionFields | undefined {
    return this.#part(version, (entry) => entry.connection, CONNECTION_FIELDS);
  }

  /** undefined: unverified. */
  bio(version: VersionNumbers): BioFields | undefined {
    return this.#part(version, (entry) => entry.bio, BIO_FIELDS);
  }

  #part<T extends object>(
    version: VersionNumbers,
    part: (entry: OffsetEntry) => T,
    fields: readonly (keyof T)[],
  ): T | undefined {
    const below = this.entries.findLast((entry) => compare(numbersOf(entry.version), version) <= 0);
    if (!below) return undefined;
    if (isOf(below, version)) return part(below);
    const above = this.entries.find((entry) => compare(numbersOf(entry.version), version) > 0);
    if (!above || numbersOf(above.version)[0] !== version[0] || numbersOf(below.version)[0] !== version[0])
      return undefined;
    const same = fields.every((field) => part(below)[field] === part(above)[field]);
    return same ? part(below) : undefined;
  }
}

/** @param json The content of a table of offsets/. @throws PlainsightError BAD_INPUT */
export function parseOffsetTable(json: unknown, machine: ElfMachine): OffsetTable {
  const library = field(json, 'library');
  if (typeof library !== 'string') throw bad('', 'it names no library');
  const versions = field(json, 'versions');
  if (!Array.isArray(versions) || versions.length === 0 || versions.length > MAX_ENTRIES) {
    throw bad(library, 'it has no versions');
  }
  const entries = versions.map((entry): OffsetEntry | undefined => {
    const version = field(entry, 'version');
    const verifiedOn = field(entry, 'verifiedOn');
    if (typeof version !== 'string' || !/^\d{1,3}(\.\d{1,3}){0,2}$/.test(version) || typeof verifiedOn !== 'string') {
      throw bad(library, 'a version has no name');
    }
    const layout = field(field(entry, 'layouts'), machine);
    if (layout === undefined) return undefined;
    const pick = (names: readonly string[]) =>
      Object.fromEntries(names.map((name) => [name, offset(layout, name, `${library} ${version}`)]));
    return {
      version,
      verifiedOn,
      connection: pick(CONNECTION_FIELDS) as unknown as ConnectionFields,
      bio: pick(BIO_FIELDS) as unknown as BioFields,
    };
  });
  return new OffsetTable(
    library,
    entries.filter((entry) => entry !== undefined),
  );
}

function offset(layout: unknown, name: string, where: string): number | undefined {
  const value = field(layout, name);
  if (value === undefined && OPTIONAL_FIELDS.includes(name)) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > MAX_OFFSET) {
    throw bad(where, `${name} is no offset`);
  }
  return value;
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function numbersOf(version: string): VersionNumbers {
  return version.split('.').map(Number);
}

function compare(a: VersionNumbers, b: VersionNumbers): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Is it a release of that entry's version? */
function isOf(entry: OffsetEntry, version: VersionNumbers): boolean {
  return numbersOf(entry.version).every((number, i) => number === version[i]);
}

function bad(where: string, what: string): PlainsightError {
  return new PlainsightError('BAD_INPUT', `a table of offsets (${where}) cannot be used: ${what}; generate it anew`);
}
