/**
 * Finds functions of a Go program by name: in .symtab when it is there, else in .gopclntab, which stripping leaves. What
 * cannot be used has a reason. Never throws for what the file says beyond its headers.
 */

import { type ElfFile, fileOffset } from './elf-file.ts';
import { type Pclntab, type PclntabLayout, pclntabs, tableEntries } from './go-pclntab.ts';
import { textStart } from './go-text.ts';
import { type FunctionSymbol, symbols } from './symbols.ts';

/** A closed set. */
export type GoSymbolsReason =
  /** Not one table of functions whose layout is known: packed, obfuscated, or newer than this. */
  | 'no function table'
  /** The table is there, but not where the code begins that it counts from. */
  | 'no begin of code'
  /** The table is there and lacks the functions that every Go program has: names were made unreadable. */
  | 'function names obfuscated';

export type GoSymbols =
  | {
      readonly found: true;
      /** Those that the program has: the linker leaves out what is not called. Sizes of the table include padding. */
      readonly functions: ReadonlyMap<string, FunctionSymbol>;
      readonly source: 'symtab' | 'pclntab';
      /** '' when it was not looked at. */
      readonly layout: PclntabLayout | '';
    }
  | { readonly found: false; readonly reason: GoSymbolsReason };

/** In every Go program since 1.0; without it a table says nothing about what is not in it. */
const ALWAYS_THERE = 'runtime.main';

export function goSymbols(file: ElfFile, bytes: Uint8Array, names: ReadonlySet<string>): GoSymbols {
  const wanted = new Set([...names, ALWAYS_THERE]);
  const hasSymtab = file.sections.some(({ type }) => type === 'symtab');
  const functions = hasSymtab ? symbols(file, bytes, wanted) : new Map<string, FunctionSymbol>();
  if (functions.has(ALWAYS_THERE) && [...functions.values()].every(({ sizeBytes }) => sizeBytes > 0)) {
    return { found: true, functions: only(functions, names), source: 'symtab', layout: '' };
  }
  return fromTable(file, bytes, names);
}

/** As goSymbols(), as if the file were stripped. */
export function fromTable(file: ElfFile, bytes: Uint8Array, names: ReadonlySet<string>): GoSymbols {
  const wanted = new Set([...names, ALWAYS_THERE]);
  let reason: GoSymbolsReason = 'no function table';
  for (const table of pclntabs(file, bytes)) {
    const start = textStart(file, bytes, table);
    if (start === undefined) {
      if (reason === 'no function table') reason = 'no begin of code';
      continue;
    }
    const functions = locate(file, bytes, table, start, wanted);
    if (functions.has(ALWAYS_THERE)) {
      return { found: true, functions: only(functions, names), source: 'pclntab', layout: table.layout };
    }
    reason = 'function names obfuscated';
  }
  return { found: false, reason };
}

/**
 * Was the executable compressed by UPX? Then its code is not in the file but in memory that belongs to no file, where no
 * uprobe reaches it. UPX leaves its name behind the program headers (struct l_info, src/linker.h and src/stub of UPX 4.2).
 */
export function isPacked(file: ElfFile, bytes: Uint8Array): boolean {
  const behindHeaders = 64 + file.programs.length * 56;
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).subarray(
    behindHeaders,
    behindHeaders + 64,
  );
  return file.sections.length === 0 && header.includes('UPX!');
}

function locate(
  file: ElfFile,
  bytes: Uint8Array,
  table: Pclntab,
  start: number,
  names: ReadonlySet<string>,
): Map<string, FunctionSymbol> {
  const found = new Map<string, FunctionSymbol>();
  for (const { name, entry, sizeBytes } of tableEntries(bytes, table, names)) {
    const address = start + entry;
    const offset = fileOffset(file, address);
    const last = fileOffset(file, address + sizeBytes - 1);
    if (offset === undefined || last !== offset + sizeBytes - 1) continue;
    found.set(name, { name, address, sizeBytes, fileOffset: offset });
  }
  return found;
}

function only(functions: ReadonlyMap<string, FunctionSymbol>, names: ReadonlySet<string>): Map<string, FunctionSymbol> {
  return new Map([...functions].filter(([name]) => names.has(name)));
}
