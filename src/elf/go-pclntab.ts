/**
 * Go's table of functions (.gopclntab), which the runtime itself needs and which therefore outlives stripping. Layouts:
 * that of 1.16 and 1.17 (entries are addresses), and that of 1.18, named anew in 1.20 (entries are offsets from the
 * begin of Go's code: runtime.text, not .text, before which a C compiler's code lies when a C linker linked it). Go's
 * source at go1.27.3: pcHeader in src/runtime/symtab.go, magic numbers in src/internal/abi/symtab.go, _func in
 * src/runtime/runtime2.go; the older ones at go1.16 and go1.19.8.
 *
 * Names are searched where they lie and nothing is copied. All counts and offsets are checked against the table's bounds;
 * a function that does not agree with its neighbours is not found. Limits: 4 million functions, 256 MiB. Refused: what
 * was written for 32 bits or in big-endian order, and the layout of Go 1.2..1.15.
 */

import type { ElfFile, ElfProgram } from './elf-file.ts';

/** By the first Go version that writes it. */
export type PclntabLayout = '1.16' | '1.18' | '1.20';

export interface Pclntab {
  readonly layout: PclntabLayout;
  /** In the file, and in memory before relocation. */
  readonly offset: number;
  readonly address: number;
  readonly sizeBytes: number;
  readonly functionCount: number;
  /** What the header says of the begin of Go's code: 0 since Go 1.26, and where a relocation would fill it in. */
  readonly textStart: number;
  /** Of the names, and of the bytes behind them, from the table's begin. */
  readonly namesAt: number;
  readonly namesEnd: number;
  /** Of the entries of functions, from the table's begin. */
  readonly functionsAt: number;
}

export interface TableEntry {
  readonly name: string;
  /** From the begin of Go's code; in the layout of 1.16 an address. */
  readonly entry: number;
  /** Up to the next function: with the padding behind it. */
  readonly sizeBytes: number;
}

const MAGIC: Readonly<Record<number, PclntabLayout>> = {
  4294967290: '1.16',
  4294967280: '1.18',
  4294967281: '1.20',
};
const POINTER_BYTES = 8;
/** magic, two zeros, the unit of instructions, the size of a pointer. */
const PREFIX_BYTES = 8;
const INSTRUCTION_UNITS = [1, 4];
const MAX_FUNCTIONS = 4_000_000;
const MAX_TABLE_BYTES = 256 * 1024 * 1024;
/** No function of a program that people write is longer. */
const MAX_FUNCTION_BYTES = 16 * 1024 * 1024;
/** Of segments, where no section is named so. */
const MAX_SEARCH_BYTES = 512 * 1024 * 1024;
/** Magic numbers met in that search; code and data have a few by chance. */
const MAX_MATCHES = 4096;
/** Headers that look right; a second one is there to mislead. */
const MAX_TABLES = 4;
/** Of data, from its end. */
const MAX_MODULE_SEARCH_BYTES = 32 * 1024 * 1024;
/** Of the oldest layout; the names begin at 64, 72 or 96. */
const MIN_HEADER_BYTES = 64;
const MAX_NAMES_AT = 128;

/**
 * Places in the file that are a table by their header, at most one of which is right: sections that Go's linker names so,
 * then where something leads that looks like moduledata, then whatever begins with one of the magic numbers. A C linker
 * puts the table of a PIE among the relocated data and leaves no name (up to Go 1.25).
 */
export function* pclntabs(file: ElfFile, bytes: Uint8Array): Generator<Pclntab> {
  const seen = new Set<number>();
  for (const { offset, address, room } of headerPlaces(file, bytes)) {
    const table = seen.has(offset) ? undefined : readHeader(bytes, offset, address, room);
    if (!table) continue;
    seen.add(offset);
    yield table;
    if (seen.size === MAX_TABLES) return;
  }
}

interface HeaderPlace {
  readonly offset: number;
  readonly address: number;
  /** Bytes from there to the end of its section or segment. */
  readonly room: number;
}

function* headerPlaces(file: ElfFile, bytes: Uint8Array): Generator<HeaderPlace> {
  for (const section of file.sections) {
    if (!/^\.(data\.rel\.ro\.)?gopclntab$/.test(section.name) || section.type === 'nobits') continue;
    yield { offset: section.offset, address: section.address, room: section.sizeBytes };
  }
  // Data first; without a segment of their own constants lie with the code.
  const loads = file.programs.filter(({ type }) => type === 'load').toReversed();
  const data = loads.filter(({ executable }) => !executable);
  yield* placesInModules(data, bytes);
  yield* placesByMagic([...data, ...loads.filter(({ executable }) => executable)], bytes);
}

/**
 * Where moduledata would lead: its first words are the address of the table, that of the names a little behind, and
 * twice the length of the names (src/runtime/symtab.go). It lies at the end of the data, so only a few pages of a large
 * file are read for it.
 */
function* placesInModules(data: readonly ElfProgram[], bytes: Uint8Array): Generator<HeaderPlace> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let left = MAX_MODULE_SEARCH_BYTES;
  let matches = 0;
  for (const program of data) {
    const words = Math.floor(Math.min(program.fileSizeBytes, left) / POINTER_BYTES);
    left -= words * POINTER_BYTES;
    const end = program.offset + program.fileSizeBytes - (program.fileSizeBytes % POINTER_BYTES);
    for (let i = 4; i <= words; i++) {
      const at = end - i * POINTER_BYTES;
      const distance = view.getUint32(at + 8, true) - view.getUint32(at, true);
      if (distance < MIN_HEADER_BYTES || distance > MAX_NAMES_AT) continue;
      const namesBytes = readU64(view, at + 16);
      if (namesBytes === 0 || namesBytes !== readU64(view, at + 24)) continue;
      if (++matches > MAX_MATCHES) return;
      const address = readU64(view, at);
      const target = data.find((load) => address >= load.address && address < load.address + load.fileSizeBytes);
      if (!target) continue;
      const inside = address - target.address;
      yield { offset: target.offset + inside, address, room: target.fileSizeBytes - inside };
    }
  }
}

function* placesByMagic(loads: readonly ElfProgram[], bytes: Uint8Array): Generator<HeaderPlace> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let left = MAX_SEARCH_BYTES;
  let matches = 0;
  for (const program of loads) {
    const range = buffer.subarray(program.offset, program.offset + Math.min(program.fileSizeBytes, left));
    left -= range.length;
    for (const magic of Object.keys(MAGIC).map(Number)) {
      const pattern = Buffer.from([magic & 0xff, 0xff, 0xff, 0xff, 0, 0]);
      for (let at = range.indexOf(pattern); at >= 0; at = range.indexOf(pattern, at + 1)) {
        if (++matches > MAX_MATCHES) return;
        const address = program.address + at;
        if (address % POINTER_BYTES === 0) yield { offset: program.offset + at, address, room: range.length - at };
      }
    }
  }
}

/** Looks the names up. Names that occur twice are those of the first function. */
export function tableEntries(bytes: Uint8Array, table: Pclntab, names: ReadonlySet<string>): TableEntry[] {
  const nameOffsets = findNames(bytes, table, names);
  if (nameOffsets.size === 0) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset + table.offset, table.sizeBytes);
  const wide = table.layout === '1.16';
  const fieldBytes = wide ? 8 : 4;
  const read = (at: number) => (wide ? readU64(view, at) : view.getUint32(at, true));
  const found: TableEntry[] = [];
  for (let i = 0; i < table.functionCount && nameOffsets.size > 0; i++) {
    const at = table.functionsAt + i * 2 * fieldBytes;
    const record = table.functionsAt + read(at + fieldBytes);
    // entry, then the name's offset
    if (record + fieldBytes + 4 > table.sizeBytes) continue;
    const nameOffset = view.getUint32(record + fieldBytes, true);
    const name = nameOffsets.get(nameOffset);
    if (name === undefined) continue;
    const entry = read(at);
    const sizeBytes = read(at + 2 * fieldBytes) - entry;
    if (read(record) !== entry || sizeBytes <= 0 || sizeBytes > MAX_FUNCTION_BYTES) continue;
    found.push({ name, entry, sizeBytes });
    nameOffsets.delete(nameOffset);
  }
  return found;
}

/** The first entry and the end of the last function, as `minpc` and `maxpc` of moduledata have them. */
export function tableRange(bytes: Uint8Array, table: Pclntab): { first: number; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset + table.offset, table.sizeBytes);
  const last = table.functionCount * 2;
  if (table.layout === '1.16') {
    return { first: readU64(view, table.functionsAt), end: readU64(view, table.functionsAt + last * 8) };
  }
  return {
    first: view.getUint32(table.functionsAt, true),
    end: view.getUint32(table.functionsAt + last * 4, true),
  };
}

function readHeader(bytes: Uint8Array, offset: number, address: number, room: number): Pclntab | undefined {
  const sizeBytes = Math.min(room, bytes.length - offset, MAX_TABLE_BYTES);
  const fields = { '1.16': 7, '1.18': 8, '1.20': 8 };
  if (sizeBytes < PREFIX_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, sizeBytes);
  const layout = MAGIC[view.getUint32(0, true)];
  if (layout === undefined || view.getUint16(4, true) !== 0) return undefined;
  if (!INSTRUCTION_UNITS.includes(view.getUint8(6)) || view.getUint8(7) !== POINTER_BYTES) return undefined;
  const headerBytes = PREFIX_BYTES + fields[layout] * POINTER_BYTES;
  if (sizeBytes < headerBytes) return undefined;
  const field = (index: number) => readU64(view, PREFIX_BYTES + index * POINTER_BYTES);
  // functions, files, (since 1.18) begin of the code, then the offsets of names, units, files, pc values, functions
  const first = layout === '1.16' ? 2 : 3;
  const [namesAt, unitsAt, filesAt, valuesAt, functionsAt] = [0, 1, 2, 3, 4].map((index) => field(first + index));
  const ascending = [headerBytes, namesAt!, unitsAt!, filesAt!, valuesAt!, functionsAt!, sizeBytes];
  if (ascending.some((value, index) => index > 0 && value < ascending[index - 1]!)) return undefined;
  const functionCount = field(0);
  const fieldBytes = layout === '1.16' ? 8 : 4;
  if (functionCount === 0 || functionCount > MAX_FUNCTIONS) return undefined;
  // One address more than there are functions: where the last one ends.
  if ((functionCount * 2 + 1) * fieldBytes > sizeBytes - functionsAt!) return undefined;
  return {
    layout,
    offset,
    address,
    sizeBytes,
    functionCount,
    textStart: layout === '1.16' ? 0 : field(2),
    namesAt: namesAt!,
    namesEnd: unitsAt!,
    functionsAt: functionsAt!,
  };
}

/** Offset among the names -> name. */
function findNames(bytes: Uint8Array, table: Pclntab, names: ReadonlySet<string>): Map<number, string> {
  const start = table.offset + table.namesAt;
  const range = Buffer.from(bytes.buffer, bytes.byteOffset + start, table.namesEnd - table.namesAt);
  const found = new Map<number, string>();
  for (const name of names) {
    const text = Buffer.from(`${name}\0`);
    for (let at = range.indexOf(text); at >= 0; at = range.indexOf(text, at + 1)) {
      if (at > 0 && range[at - 1] !== 0) continue;
      found.set(at, name);
      break;
    }
  }
  return found;
}

/** Rounded beyond 2^53: no address or size of a file that fits in memory is. */
function readU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
}
