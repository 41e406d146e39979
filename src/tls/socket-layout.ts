/**
 * Where the descriptor of a TLS connection's socket can be read in the structures of OpenSSL and BoringSSL, file by file.
 * The first source is the file's own code: SSL_get_rbio(), BIO_method_type() and the like load just these fields. The
 * second is the table for its version (offsets/). Where both speak and differ, or neither is certain, nothing is read.
 */

import type { ElfFile } from '../elf/elf-file.ts';
import type { FunctionSymbol } from '../elf/symbols.ts';
import type { Result, ResultReader, Value } from '../probes/getter.ts';
import type { BioFields, ConnectionFields, OffsetTable, VersionNumbers } from './offset-table.ts';

/** Accessor functions; each may be missing. */
const ACCESSORS = {
  readBio: 'SSL_get_rbio',
  writeBio: 'SSL_get_wbio',
  methodType: 'BIO_method_type',
  retryReason: 'BIO_get_retry_reason',
  data: 'BIO_get_data',
  version: 'OpenSSL_version_num',
} as const;

export const ACCESSOR_SYMBOLS: readonly string[] = Object.values(ACCESSORS);

export type LayoutState = 'verified' | 'unverified' | 'contradicted';

/** Why no field is read. A closed set. */
export type LayoutReason =
  | ''
  | 'no table for this library'
  | 'version unknown'
  | 'version not in the table'
  | 'BIO not in the table'
  | 'code contradicts the table';

/** Where a part of the layout was learnt; '' when it was not. */
export type LayoutSource = 'code' | 'table' | '';

/** What the code of accessor functions says; undefined where there are none, or they are not understood. */
export interface CodeFields {
  readonly connection: ConnectionFields | undefined;
  readonly bio: Omit<BioFields, 'bioNumber'> | undefined;
}

export interface SocketLayout {
  readonly state: LayoutState;
  readonly reason: LayoutReason;
  /** `3.0.15`, as its code says it; '' when it does not. */
  readonly version: string;
  readonly connectionSource: LayoutSource;
  readonly bioSource: LayoutSource;
  /** undefined unless verified. */
  readonly fields: (ConnectionFields & BioFields) | undefined;
  readonly code: CodeFields;
}

/** A file, or two where the library comes in two, with the functions that were found in each. */
export interface CodeSource {
  readonly elf: ElfFile;
  readonly bytes: Uint8Array;
  readonly found: ReadonlyMap<string, FunctionSymbol>;
}

const MAX_GETTER_BYTES = 512;

export class SocketLayouts {
  readonly #tables: ReadonlyMap<string, OffsetTable>;
  readonly #read: ResultReader;
  readonly #encode: (fields: ConnectionFields & BioFields) => bigint;

  constructor(options: {
    readonly tables: readonly OffsetTable[];
    readonly read: ResultReader;
    /** From a layout to the bits of an attach cookie; 0: not used. */
    readonly encode: (fields: ConnectionFields & BioFields) => bigint;
  }) {
    this.#tables = new Map(options.tables.map((table) => [table.library, table]));
    this.#read = options.read;
    this.#encode = options.encode;
  }

  has(library: string): boolean {
    return this.#tables.has(library);
  }

  /** Of the first file that has a function, its code counts. */
  of(library: string, sources: readonly CodeSource[]): SocketLayout {
    const results = (symbol: string) => this.#results(sources, symbol);
    const code = { connection: connectionOf(results), bio: bioOf(results) };
    const table = this.#tables.get(library);
    // BoringSSL says which OpenSSL it is compatible with, not what it is.
    const version = library === 'openssl' ? opensslVersion(numberOf(results(ACCESSORS.version))) : undefined;
    return judge(table, version, code);
  }

  /** 0 where nothing is to be read. */
  cookieBits(layout: SocketLayout): bigint {
    return layout.fields === undefined ? 0n : this.#encode(layout.fields);
  }

  #results(sources: readonly CodeSource[], symbol: string): readonly Result[] {
    for (const { elf, bytes, found } of sources) {
      const fn = found.get(symbol);
      if (!fn) continue;
      const sizeBytes = fn.sizeBytes === 0 ? MAX_GETTER_BYTES : Math.min(fn.sizeBytes, MAX_GETTER_BYTES);
      return this.#read(elf.machine, bytes.subarray(fn.fileOffset, fn.fileOffset + sizeBytes));
    }
    return [];
  }
}

function judge(table: OffsetTable | undefined, version: OpensslVersion | undefined, code: CodeFields): SocketLayout {
  const answer = (state: LayoutState, reason: LayoutReason): SocketLayout => {
    const nothing = { connectionSource: '', bioSource: '', fields: undefined } as const;
    return { state, reason, version: version?.text ?? '', code, ...nothing };
  };
  if (!table) return answer('unverified', 'no table for this library');
  const known = version && { connection: table.connection(version.numbers), bio: table.bio(version.numbers) };
  if (differ(code.connection, known?.connection) || differ(code.bio, known?.bio)) {
    return answer('contradicted', 'code contradicts the table');
  }
  const connection = code.connection ?? known?.connection;
  // No accessor gives the descriptor itself. It lies between two fields whose places the code gives.
  const alike = () => table.entries.find((entry) => code.bio && !differ(code.bio, entry.bio))?.bio;
  const bio = known?.bio ?? alike();
  if (!bio && code.bio) return answer('unverified', 'BIO not in the table');
  if (!connection || !bio) return answer('unverified', version ? 'version not in the table' : 'version unknown');
  return {
    ...answer('verified', ''),
    connectionSource: code.connection ? 'code' : 'table',
    bioSource: code.bio ? 'code' : 'table',
    fields: { ...connection, ...bio },
  };
}

/** Is a field of the first another one in the second? Not when one of them is missing. */
function differ<T extends object>(code: T | undefined, table: T | undefined): boolean {
  if (!code || !table) return false;
  return (Object.keys(code) as (keyof T)[]).some((name) => code[name] !== table[name]);
}

type Results = (symbol: string) => readonly Result[];

function connectionOf(results: Results): ConnectionFields | undefined {
  const read = fieldOf(results(ACCESSORS.readBio));
  const write = fieldOf(results(ACCESSORS.writeBio));
  const [sslReadBio, ...furtherRead] = read?.path ?? [];
  const [sslWriteBio, ...furtherWrite] = write?.path ?? [];
  if (sslReadBio === undefined || sslWriteBio === undefined) return undefined;
  if (furtherRead.length > 0 || furtherWrite.length > 0) return undefined;
  // Any other condition than the kind of object is none that could be checked.
  const [sslKind, ...others] = read!.others;
  if (others.length > 0 || (sslKind !== undefined && sslKind !== 0)) return undefined;
  return { sslReadBio, sslWriteBio, sslKind };
}

function bioOf(results: Results): CodeFields['bio'] {
  const type = fieldOf(results(ACCESSORS.methodType));
  const reason = fieldOf(results(ACCESSORS.retryReason));
  const data = fieldOf(results(ACCESSORS.data));
  const [bioMethod, methodType] = type?.path ?? [];
  const [bioRetryReason] = reason?.path ?? [];
  const [bioData] = data?.path ?? [];
  if (bioMethod === undefined || methodType === undefined || bioRetryReason === undefined) return undefined;
  if (bioData === undefined || type!.path.length > 2 || reason!.path.length > 1 || data!.path.length > 1)
    return undefined;
  return { bioMethod, methodType, bioRetryReason, bioData };
}

interface ReturnedField {
  readonly path: readonly number[];
  readonly others: readonly number[];
}

/** What a function returns on every way that ends in a field; the others end in NULL or in another function. */
function fieldOf(results: readonly Result[]): ReturnedField | undefined {
  let found: ReturnedField | undefined;
  for (const { value, others } of results) {
    if (!isField(value)) continue;
    if (found && String(found.path) !== String(value.path)) return undefined;
    found = { path: value.path, others: [...new Set([...(found?.others ?? []), ...others])] };
  }
  return found;
}

function isField(value: Value | undefined): value is Extract<Value, { kind: 'field' }> {
  return value?.kind === 'field' && value.path.length > 0;
}

function numberOf(results: readonly Result[]): number | undefined {
  const [first] = results;
  return results.length === 1 && first?.value?.kind === 'number' ? first.value.number : undefined;
}

interface OpensslVersion {
  readonly numbers: VersionNumbers;
  readonly text: string;
}

/**
 * OPENSSL_VERSION_NUMBER (OpenSSL_version_num(3)): 0xMNNFFPPS up to 1.1.1, with a letter for PP, and 0xMNN00PPS since 3.0. LibreSSL
 * always says 2.0.0; pre-releases (S is not 0, and not 15 before 3.0) have no layout that anybody relies on.
 */
function opensslVersion(number: number | undefined): OpensslVersion | undefined {
  if (number === undefined) return undefined;
  const major = number >>> 28;
  const minor = (number >>> 20) & 0xff;
  const fix = (number >>> 12) & 0xff;
  const patch = (number >>> 4) & 0xff;
  const status = number & 0xf;
  if (major === 1) {
    if (status !== 0xf || patch > 26) return undefined;
    const letter = patch === 0 ? '' : String.fromCharCode(0x60 + patch);
    return { numbers: [major, minor, fix], text: `${major}.${minor}.${fix}${letter}` };
  }
  if (major < 3 || status !== 0) return undefined;
  return { numbers: [major, minor, patch], text: `${major}.${minor}.${patch}` };
}
