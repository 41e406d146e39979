/**
 * Finds functions by name, in .dynsym and then in .symtab; without section headers in the tables that PT_DYNAMIC names,
 * which is all that the loader itself reads. Names are compared where they lie: no string is made per symbol.
 * Limits: 4 million symbols are looked at; what lies beyond is not found. Refused: indirect functions (their code is
 * chosen at run time), symbols outside executable segments.
 */

import { type ElfFile, fileOffset, loadedOffset } from './elf-file.ts';

export interface FunctionSymbol {
  readonly name: string;
  readonly address: number;
  /** 0 when the file does not say. */
  readonly sizeBytes: number;
  readonly fileOffset: number;
}

interface SymbolTable {
  readonly offset: number;
  readonly count: number;
  readonly stringsOffset: number;
  readonly stringsBytes: number;
  /** Of the table of 16-bit version numbers beside it; -1: none. */
  readonly versionsOffset: number;
  readonly dynamic: boolean;
}

const SYMBOL_BYTES = 24;
const DYNAMIC_ENTRY_BYTES = 16;
const MAX_SYMBOLS = 4_000_000;
/** Symbols of a wanted name that are looked at closer. Static functions of one name are thousands at most. */
const MAX_HITS = 65536;
const MAX_DYNAMIC_ENTRIES = 4096;
const STT_FUNC = 2;
const STB_LOCAL = 0;
const SHN_UNDEF = 0;
const SHN_ABS = 0xfff1;
const SHN_COMMON = 0xfff2;
/** The version is not the one that a new link would bind to. */
const VERSION_HIDDEN = 0x8000;
const AT_SIGN = 0x40;

const DT_HASH = 4;
const DT_STRTAB = 5;
const DT_SYMTAB = 6;
const DT_STRSZ = 10;
const DT_GNU_HASH = 0x6ffffef5;
const DT_VERSYM = 0x6ffffff0;

/** How good a hit is: of several symbols of one name the lowest wins, and of equals the first. */
const RANK_DYNAMIC = 0;
const RANK_DYNAMIC_HIDDEN = 1;
const RANK_STATIC = 2;
const RANK_STATIC_LOCAL = 3;

export function symbols(file: ElfFile, bytes: Uint8Array, names: ReadonlySet<string>): Map<string, FunctionSymbol> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const search = new Search(file, bytes, view, names);
  let budget = MAX_SYMBOLS;
  for (const table of symbolTables(file, view)) {
    const count = Math.min(table.count, budget);
    budget -= count;
    if (search.scan(table, count)) break;
  }
  return search.found;
}

class Search {
  readonly found = new Map<string, FunctionSymbol>();
  readonly #ranks = new Map<string, number>();
  readonly #file: ElfFile;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** By first byte, for most symbols fail there. */
  readonly #wanted: ({ name: string; bytes: Uint8Array }[] | undefined)[] = new Array(256);
  #missing: number;
  #hits = 0;

  constructor(file: ElfFile, bytes: Uint8Array, view: DataView, names: ReadonlySet<string>) {
    this.#file = file;
    this.#bytes = bytes;
    this.#view = view;
    this.#missing = names.size;
    for (const name of names) {
      const encoded = new TextEncoder().encode(name);
      const first = encoded[0] ?? 0;
      this.#wanted[first] = [...(this.#wanted[first] ?? []), { name, bytes: encoded }];
    }
  }

  /** @returns true when every name is found and nothing later could be better. */
  scan(table: SymbolTable, count: number): boolean {
    const bytes = this.#bytes;
    const view = this.#view;
    for (let i = 0; i < count && this.#missing > 0 && this.#hits < MAX_HITS; i++) {
      const at = table.offset + i * SYMBOL_BYTES;
      if ((bytes[at + 4]! & 0xf) !== STT_FUNC) continue;
      const nameOffset = view.getUint32(at, true);
      if (nameOffset >= table.stringsBytes) continue;
      const name = this.#match(table.stringsOffset + nameOffset, table.stringsOffset + table.stringsBytes);
      if (name !== undefined) this.#add(name, table, i, at);
    }
    return this.#missing === 0;
  }

  #match(at: number, end: number): string | undefined {
    const bytes = this.#bytes;
    const candidates = this.#wanted[bytes[at]!];
    if (candidates === undefined) return undefined;
    next: for (const candidate of candidates) {
      const length = candidate.bytes.length;
      if (at + length >= end) continue;
      for (let i = 1; i < length; i++) if (bytes[at + i] !== candidate.bytes[i]) continue next;
      // Linkers leave the version in the names of .symtab: `name@@VERSION` is what a new link binds to.
      if (bytes[at + length] === 0) return candidate.name;
      if (bytes[at + length] === AT_SIGN && bytes[at + length + 1] === AT_SIGN) return candidate.name;
    }
    return undefined;
  }

  #add(name: string, table: SymbolTable, index: number, at: number): void {
    this.#hits++;
    const section = this.#view.getUint16(at + 6, true);
    if (section === SHN_UNDEF || section === SHN_ABS || section === SHN_COMMON) return;
    const address = readU64(this.#view, at + 8);
    const offset = fileOffset(this.#file, address);
    if (offset === undefined) return;
    const rank = this.#rank(table, index, at);
    const before = this.#ranks.get(name);
    if (before !== undefined && before <= rank) return;
    this.#ranks.set(name, rank);
    if (rank === RANK_DYNAMIC) this.#missing--;
    const sizeBytes = Math.min(readU64(this.#view, at + 16), this.#bytes.length - offset);
    this.found.set(name, { name, address, sizeBytes, fileOffset: offset });
  }

  #rank(table: SymbolTable, index: number, at: number): number {
    if (!table.dynamic) return this.#bytes[at + 4]! >> 4 === STB_LOCAL ? RANK_STATIC_LOCAL : RANK_STATIC;
    const version = table.versionsOffset + index * 2;
    if (table.versionsOffset < 0 || version + 2 > this.#bytes.length) return RANK_DYNAMIC;
    return (this.#view.getUint16(version, true) & VERSION_HIDDEN) === 0 ? RANK_DYNAMIC : RANK_DYNAMIC_HIDDEN;
  }
}

function symbolTables(file: ElfFile, view: DataView): SymbolTable[] {
  const tables: SymbolTable[] = [];
  const dynamic = tableOfSection(file, 'dynsym') ?? tableOfDynamic(file, view);
  if (dynamic) tables.push(dynamic);
  const all = tableOfSection(file, 'symtab');
  if (all) tables.push(all);
  return tables;
}

function tableOfSection(file: ElfFile, type: 'dynsym' | 'symtab'): SymbolTable | undefined {
  const index = file.sections.findIndex((section) => section.type === type);
  const section = file.sections[index];
  const strings = section && file.sections[section.link];
  if (!section || strings?.type !== 'strtab') return undefined;
  const versions = file.sections.find((candidate) => candidate.type === 'versym' && candidate.link === index);
  return {
    offset: section.offset,
    count: Math.floor(section.sizeBytes / SYMBOL_BYTES),
    stringsOffset: strings.offset,
    stringsBytes: strings.sizeBytes,
    versionsOffset: versions?.offset ?? -1,
    dynamic: type === 'dynsym',
  };
}

function tableOfDynamic(file: ElfFile, view: DataView): SymbolTable | undefined {
  const program = file.programs.find((candidate) => candidate.type === 'dynamic');
  if (!program) return undefined;
  const values = new Map<number, number>();
  const entries = Math.min(Math.floor(program.fileSizeBytes / DYNAMIC_ENTRY_BYTES), MAX_DYNAMIC_ENTRIES);
  for (let i = 0; i < entries; i++) {
    const at = program.offset + i * DYNAMIC_ENTRY_BYTES;
    const tag = readU64(view, at);
    if (tag === 0) break;
    values.set(tag, readU64(view, at + 8));
  }
  const place = (tag: number) => {
    const address = values.get(tag);
    return address === undefined ? undefined : loadedOffset(file, address);
  };
  const offset = place(DT_SYMTAB);
  const stringsOffset = place(DT_STRTAB);
  if (offset === undefined || stringsOffset === undefined) return undefined;
  const room = Math.floor((view.byteLength - offset) / SYMBOL_BYTES);
  return {
    offset,
    count: Math.min(countByHash(view, place(DT_HASH)) ?? countByGnuHash(view, place(DT_GNU_HASH)) ?? 0, room),
    stringsOffset,
    stringsBytes: Math.min(values.get(DT_STRSZ) ?? 0, view.byteLength - stringsOffset),
    versionsOffset: place(DT_VERSYM) ?? -1,
    dynamic: true,
  };
}

/** The number of chains is the number of symbols (System V gABI, "Hash Table"). */
function countByHash(view: DataView, offset: number | undefined): number | undefined {
  if (offset === undefined || offset + 8 > view.byteLength) return undefined;
  return view.getUint32(offset + 4, true);
}

/** The last symbol ends the chain of the highest bucket (glibc 2.36, elf/dl-lookup.c: the low bit ends a chain). */
function countByGnuHash(view: DataView, offset: number | undefined): number | undefined {
  if (offset === undefined || offset + 16 > view.byteLength) return undefined;
  const bucketCount = view.getUint32(offset, true);
  const firstHashed = view.getUint32(offset + 4, true);
  const bloomWords = view.getUint32(offset + 8, true);
  const buckets = offset + 16 + bloomWords * 8;
  const chains = buckets + bucketCount * 4;
  if (bucketCount > MAX_SYMBOLS || chains > view.byteLength) return undefined;
  let last = 0;
  for (let i = 0; i < bucketCount; i++) last = Math.max(last, view.getUint32(buckets + i * 4, true));
  if (last < firstHashed) return firstHashed;
  for (let at = chains + (last - firstHashed) * 4; at + 4 <= view.byteLength && last < MAX_SYMBOLS; at += 4, last++) {
    if ((view.getUint32(at, true) & 1) === 1) return last + 1;
  }
  return undefined;
}

/** Rounded beyond 2^53: no address or size of a file that fits in memory is. */
function readU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
}
