/**
 * Where Go's own code begins (runtime.text), which the offsets in .gopclntab count from. Not where .text begins: a C
 * linker puts its own code before. The header of the table says it up to Go 1.25; where a C linker left that to a
 * relocation, and since Go 1.26, it is read from moduledata, whose first field leads to the table: in the section
 * .go.module, else by a search for that field, else by a search of the relocations for it. All of it is a claim until
 * the table's first and last function agree with it. Go's source at go1.16, go1.19.8 and go1.27.3: moduledata in
 * src/runtime/symtab.go, whose fields up to `etext` are the same in all.
 *
 * Limits: 64 MiB of data and 4 million relocations are searched, 64 candidates are tried.
 */

import { type ElfFile, loadedOffset } from './elf-file.ts';
import { type Pclntab, tableRange } from './go-pclntab.ts';

/** Offsets in moduledata: a pointer to the header, slices of names, units, files, values, table, functions, then these. */
const MODULE = { names: 8, functions: 128, functionCount: 136, minPc: 160, maxPc: 168, text: 176, endOfText: 184 };
const MODULE_BYTES = 192;
const POINTER_BYTES = 8;
const MAX_SEARCH_BYTES = 64 * 1024 * 1024;
const MAX_CANDIDATES = 64;
const MAX_RELOCATIONS = 4_000_000;
const RELOCATION_BYTES = 24;
const MAX_DYNAMIC_ENTRIES = 4096;
const DYNAMIC_ENTRY_BYTES = 16;
const DT_RELA = 7;
const DT_RELASZ = 8;
/** "This word is the load address plus the addend": R_X86_64_RELATIVE, R_AARCH64_RELATIVE. */
const RELATIVE: Readonly<Record<string, number>> = { x64: 8, arm64: 1027 };

/** undefined: nothing in the file that agrees with the table. */
export function textStart(file: ElfFile, bytes: Uint8Array, table: Pclntab): number | undefined {
  // Addresses, not offsets.
  if (table.layout === '1.16') return isCode(file, bytes, table, 0) ? 0 : undefined;
  if (table.textStart !== 0 && isCode(file, bytes, table, table.textStart)) return table.textStart;
  return new ModuleSearch(file, bytes, table).run();
}

/** Are the first and the last function code when counted from there? */
function isCode(file: ElfFile, bytes: Uint8Array, table: Pclntab, start: number): boolean {
  const { first, end } = tableRange(bytes, table);
  if (end <= first) return false;
  return file.programs.some(
    ({ type, executable, address, fileSizeBytes }) =>
      type === 'load' && executable && start + first >= address && start + end <= address + fileSizeBytes,
  );
}

class ModuleSearch {
  readonly #file: ElfFile;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #table: Pclntab;
  #candidates = 0;

  constructor(file: ElfFile, bytes: Uint8Array, table: Pclntab) {
    this.#file = file;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#table = table;
  }

  run(): number | undefined {
    const section = this.#file.sections.find(({ name, type }) => name === '.go.module' && type !== 'nobits');
    const named = section && this.#try((at) => this.#word(section.offset + at));
    return named ?? this.#searchData() ?? this.#searchRelocations();
  }

  /** The begin of the code, when the words from a candidate on are the moduledata of this table. */
  #try(read: (at: number) => number | undefined): number | undefined {
    if (++this.#candidates > MAX_CANDIDATES) return undefined;
    const table = this.#table;
    const { first, end } = tableRange(this.#bytes, table);
    const text = read(MODULE.text);
    if (text === undefined || text === 0) return undefined;
    const agrees =
      read(0) === table.address &&
      read(MODULE.names) === table.address + table.namesAt &&
      read(MODULE.functions) === table.address + table.functionsAt &&
      read(MODULE.minPc) === text + first &&
      read(MODULE.maxPc) === text + end;
    // Its own entry for the end is counted too.
    const count = read(MODULE.functionCount);
    const counted = count === table.functionCount + 1 || count === table.functionCount;
    return agrees && counted && isCode(this.#file, this.#bytes, table, text) ? text : undefined;
  }

  #word(at: number): number | undefined {
    if (at < 0 || at + POINTER_BYTES > this.#bytes.length) return undefined;
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 0x1_0000_0000;
  }

  #searchData(): number | undefined {
    const { buffer, byteOffset, byteLength } = this.#bytes;
    const all = Buffer.from(buffer, byteOffset, byteLength);
    const pattern = Buffer.alloc(POINTER_BYTES);
    pattern.writeBigUInt64LE(BigInt(this.#table.address));
    let left = MAX_SEARCH_BYTES;
    // Data comes last in a file.
    for (const program of this.#file.programs.toReversed()) {
      if (program.type !== 'load' || program.executable || left <= 0) continue;
      const range = all.subarray(program.offset, program.offset + Math.min(program.fileSizeBytes, left));
      left -= range.length;
      for (let at = range.indexOf(pattern); at >= 0; at = range.indexOf(pattern, at + 1)) {
        if ((program.address + at) % POINTER_BYTES !== 0 || at + MODULE_BYTES > range.length) continue;
        const start = program.offset + at;
        const text = this.#try((field) => this.#word(start + field));
        if (text !== undefined) return text;
        if (this.#candidates > MAX_CANDIDATES) return undefined;
      }
    }
    return undefined;
  }

  /** A C linker leaves zeros where the loader will write an address; counts stand in the file all the same. */
  #searchRelocations(): number | undefined {
    const relocations = this.#relocations();
    if (!relocations) return undefined;
    for (let i = 0; i < relocations.count; i++) {
      const at = relocations.offset + i * RELOCATION_BYTES;
      if (this.#word(at + 16) !== this.#table.address || this.#word(at + 8) !== relocations.type) continue;
      const address = this.#word(at);
      const offset = address === undefined ? undefined : loadedOffset(this.#file, address);
      if (address === undefined || offset === undefined) continue;
      const words = this.#relocated(relocations, address);
      const text = this.#try((field) => words.get(address + field) ?? this.#word(offset + field));
      if (text !== undefined) return text;
      if (this.#candidates > MAX_CANDIDATES) return undefined;
    }
    return undefined;
  }

  /** Address -> what the loader writes there, within one moduledata. */
  #relocated({ offset, count, type }: Relocations, address: number): Map<number, number> {
    const words = new Map<number, number>();
    for (let i = 0; i < count; i++) {
      const at = offset + i * RELOCATION_BYTES;
      const place = this.#word(at)!;
      if (place < address || place >= address + MODULE_BYTES || this.#word(at + 8) !== type) continue;
      words.set(place, this.#word(at + 16)!);
    }
    return words;
  }

  #relocations(): Relocations | undefined {
    const type = RELATIVE[this.#file.machine];
    const dynamic = this.#file.programs.find((program) => program.type === 'dynamic');
    if (type === undefined || !dynamic) return undefined;
    let address: number | undefined;
    let sizeBytes = 0;
    const entries = Math.min(Math.floor(dynamic.fileSizeBytes / DYNAMIC_ENTRY_BYTES), MAX_DYNAMIC_ENTRIES);
    for (let i = 0; i < entries; i++) {
      const at = dynamic.offset + i * DYNAMIC_ENTRY_BYTES;
      const tag = this.#word(at);
      if (tag === 0) break;
      if (tag === DT_RELA) address = this.#word(at + 8);
      if (tag === DT_RELASZ) sizeBytes = this.#word(at + 8) ?? 0;
    }
    const offset = address === undefined ? undefined : loadedOffset(this.#file, address);
    if (offset === undefined) return undefined;
    const room = Math.floor(Math.min(sizeBytes, this.#bytes.length - offset) / RELOCATION_BYTES);
    return { offset, count: Math.min(room, MAX_RELOCATIONS), type };
  }
}

interface Relocations {
  readonly offset: number;
  readonly count: number;
  readonly type: number;
}
