/** Small ELF files laid out as Go's linker, and a C linker after it, lay them out; for x86-64. Nothing in them runs. */

export interface GoSampleFunction {
  readonly name: string;
  readonly sizeBytes: number;
}

export interface GoSampleOptions {
  readonly layout: '1.16' | '1.18' | '1.20';
  readonly functions: readonly GoSampleFunction[];
  /** How the begin of Go's code can be known. `none`: not at all. Default: `header`. */
  readonly text: 'header' | 'section' | 'data' | 'relocations' | 'none';
  readonly sections: boolean;
  /** Bytes of a C compiler's code before Go's. */
  readonly textGap: number;
  readonly buildInfo: 'inline' | 'pointers' | 'none';
  readonly version: string;
  /** Lines between the marks. */
  readonly settings: string;
  readonly instructionUnit: number;
}

const DEFAULTS: GoSampleOptions = {
  layout: '1.20',
  functions: [
    { name: 'runtime.main', sizeBytes: 64 },
    { name: 'crypto/tls.(*Conn).Read', sizeBytes: 160 },
    { name: 'crypto/tls.(*Conn).Write', sizeBytes: 96 },
  ],
  text: 'header',
  sections: true,
  textGap: 0,
  buildInfo: 'inline',
  version: 'go1.24.4',
  settings: 'path\texample.test/server\nbuild\t-buildmode=exe\nbuild\tCGO_ENABLED=0\n',
  instructionUnit: 1,
};

export interface GoSample {
  readonly bytes: Buffer;
  /** runtime.text */
  readonly codeAddress: number;
  readonly tableOffset: number;
  /** In the file, as [from, to): headers and what leads to the functions. */
  readonly ranges: readonly (readonly [number, number])[];
}

/** Address of the first segment; where the file's begin is mapped. */
const BASE = 0x400000;
const PROGRAMS = 4;
const CODE = 0x1000;
const CODE_BYTES = 0x1000;
const CONSTANTS = 0x2000;
const CONSTANTS_BYTES = 0x1000;
const DATA = 0x3000;
const DATA_BYTES = 0x1000;
/** In the data segment. */
const MODULE = DATA + 0x400;
const DYNAMIC = DATA + 0x800;
const RELOCATIONS = DATA + 0x900;
const STRINGS = DATA + 0xc00;
const NAMES = 0x4000;
const SECTIONS = 0x4200;

export function goSample(overrides: Partial<GoSampleOptions> = {}): GoSample {
  const options = { ...DEFAULTS, ...overrides };
  const bytes = Buffer.alloc(0x4800);
  const codeAddress = BASE + CODE + options.textGap;
  bytes.fill(0x90, CODE, CODE + CODE_BYTES);
  writeHeaders(bytes, options);
  const tableBytes = writeTable(bytes, options, codeAddress);
  if (options.buildInfo !== 'none') writeBuildInfo(bytes, options);
  writeModule(bytes, options, codeAddress);
  if (options.sections) writeSections(bytes, options, tableBytes);
  return {
    bytes,
    codeAddress,
    tableOffset: CONSTANTS,
    ranges: [
      [16, 64 + PROGRAMS * 56],
      [CONSTANTS, CONSTANTS + tableBytes],
      [DATA, DATA + 0x200],
      [MODULE, MODULE + 192],
      [DYNAMIC, DYNAMIC + 64],
      [RELOCATIONS, RELOCATIONS + 24 * 8],
      [SECTIONS, SECTIONS + 7 * 64],
    ],
  };
}

function u64(bytes: Buffer, at: number, ...values: number[]): void {
  for (const [index, value] of values.entries()) bytes.writeBigUInt64LE(BigInt(value), at + index * 8);
}

function writeHeaders(bytes: Buffer, { sections }: GoSampleOptions): void {
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]);
  bytes.writeUInt16LE(2, 16);
  bytes.writeUInt16LE(62, 18);
  u64(bytes, 32, 64, sections ? SECTIONS : 0);
  bytes.writeUInt16LE(64, 52);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(PROGRAMS, 56);
  bytes.writeUInt16LE(64, 58);
  bytes.writeUInt16LE(sections ? 7 : 0, 60);
  bytes.writeUInt16LE(sections ? 6 : 0, 62);
  const program = (index: number, type: number, flags: number, offset: number, sizeBytes: number) => {
    const at = 64 + index * 56;
    bytes.writeUInt32LE(type, at);
    bytes.writeUInt32LE(flags, at + 4);
    u64(bytes, at + 8, offset, BASE + offset, BASE + offset, sizeBytes, sizeBytes, 0x1000);
  };
  program(0, 1, 5, CODE, CODE_BYTES);
  program(1, 1, 4, CONSTANTS, CONSTANTS_BYTES);
  program(2, 1, 6, DATA, DATA_BYTES);
  program(3, 2, 6, DYNAMIC, 0x40);
}

/** Returns the size of the table. */
function writeTable(bytes: Buffer, options: GoSampleOptions, codeAddress: number): number {
  const { layout, functions, text } = options;
  const old = layout === '1.16';
  const magic = { '1.16': 0xfffffffa, '1.18': 0xfffffff0, '1.20': 0xfffffff1 }[layout];
  const names = Buffer.from(`${functions.map(({ name }) => `${name}\0`).join('')}`);
  const headerBytes = old ? 64 : 72;
  const namesAt = headerBytes;
  const functionsAt = Math.ceil((namesAt + names.length) / 8) * 8 + 24;
  const field = old ? 8 : 4;
  const recordsAt = functionsAt + (functions.length * 2 + 1) * field;
  const recordBytes = 48;
  bytes.writeUInt32LE(magic, CONSTANTS);
  bytes[CONSTANTS + 6] = options.instructionUnit;
  bytes[CONSTANTS + 7] = 8;
  const begin = old ? [] : [text === 'header' ? codeAddress : 0];
  const middle = functionsAt - 24;
  u64(bytes, CONSTANTS + 8, functions.length, 1, ...begin, namesAt, middle, middle + 8, middle + 16, functionsAt);
  names.copy(bytes, CONSTANTS + namesAt);
  const put = (at: number, value: number) =>
    old ? u64(bytes, CONSTANTS + at, value) : bytes.writeUInt32LE(value, CONSTANTS + at);
  let entry = old ? codeAddress : 0;
  let nameOffset = 0;
  for (const [index, { name, sizeBytes }] of functions.entries()) {
    const record = recordsAt + index * recordBytes;
    put(functionsAt + index * 2 * field, entry);
    put(functionsAt + (index * 2 + 1) * field, record - functionsAt);
    put(record, entry);
    bytes.writeUInt32LE(nameOffset, CONSTANTS + record + field);
    entry += sizeBytes;
    nameOffset += name.length + 1;
  }
  put(functionsAt + functions.length * 2 * field, entry);
  return recordsAt + functions.length * recordBytes;
}

function writeBuildInfo(bytes: Buffer, { buildInfo, version, settings }: GoSampleOptions): void {
  bytes.write('\xff Go buildinf:', DATA, 'latin1');
  bytes[DATA + 14] = 8;
  const framed = `${'<'.repeat(16)}${settings}${'>'.repeat(16)}`;
  if (buildInfo === 'inline') {
    bytes[DATA + 15] = 2;
    const counted = (text: string) => {
      const length = text.length < 128 ? [text.length] : [(text.length & 0x7f) | 0x80, text.length >> 7];
      return Buffer.concat([Buffer.from(length), Buffer.from(text)]);
    };
    Buffer.concat([counted(version), counted(framed)]).copy(bytes, DATA + 32);
    return;
  }
  u64(bytes, DATA + 16, BASE + STRINGS, BASE + STRINGS + 16);
  u64(bytes, STRINGS, BASE + STRINGS + 32, version.length, BASE + STRINGS + 96, framed.length);
  bytes.write(version, STRINGS + 32);
  bytes.write(framed, STRINGS + 96);
}

/** What leads from the table to the code. */
function writeModule(bytes: Buffer, { functions, text, layout }: GoSampleOptions, codeAddress: number): void {
  if (text === 'header' || text === 'none') return;
  const table = BASE + CONSTANTS;
  const words = 8 + (layout === '1.16' ? 2 : 3) * 8;
  const namesAt = Number(bytes.readBigUInt64LE(CONSTANTS + words));
  const functionsAt = Number(bytes.readBigUInt64LE(CONSTANTS + words + 32));
  const end = codeAddress + functions.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const addresses = new Map([
    [0, table],
    [8, table + namesAt],
    [128, table + functionsAt],
    [160, codeAddress],
    [168, end],
    [176, codeAddress],
    [184, end],
  ]);
  u64(bytes, MODULE + 136, functions.length + 1);
  if (text !== 'relocations') {
    for (const [at, address] of addresses) u64(bytes, MODULE + at, address);
    return;
  }
  // Zeros in the file, as lld leaves them.
  u64(bytes, DYNAMIC, 7, BASE + RELOCATIONS, 8, (addresses.size + 1) * 24, 9, 24);
  u64(bytes, RELOCATIONS, BASE + DATA + 0x300, 8, BASE + CODE);
  let at = RELOCATIONS + 24;
  for (const [place, address] of addresses) {
    u64(bytes, at, BASE + MODULE + place, 8, address);
    at += 24;
  }
}

function writeSections(bytes: Buffer, { text, buildInfo }: GoSampleOptions, tableBytes: number): void {
  const names = ['', '.text', '.gopclntab', '.go.buildinfo', '.go.module', '.note.go.buildid', '.shstrtab'];
  bytes.write(names.join('\0'), NAMES, 'latin1');
  const section = (index: number, type: number, offset: number, sizeBytes: number) => {
    const at = SECTIONS + index * 64;
    const name = names.slice(0, index).join('\0').length + (index === 0 ? 0 : 1);
    bytes.writeUInt32LE(name, at);
    bytes.writeUInt32LE(type, at + 4);
    u64(bytes, at + 16, BASE + offset, offset, sizeBytes);
  };
  section(0, 0, 0, 0);
  section(1, 1, CODE, CODE_BYTES);
  section(2, 1, CONSTANTS, tableBytes);
  section(3, buildInfo === 'none' ? 8 : 1, DATA, 0x200);
  section(4, text === 'section' ? 1 : 8, MODULE, 0x200);
  const note = DATA + 0x300;
  bytes.writeUInt32LE(4, note);
  bytes.writeUInt32LE(11, note + 4);
  bytes.writeUInt32LE(4, note + 8);
  bytes.write('Go\0\0abc/def/ghi', note + 12, 'latin1');
  section(5, 7, note, 0x40);
  section(6, 3, NAMES, 128);
}
