/**
 * Takes an x86-64 instruction apart into prefixes, opcode, operands and length (Intel SDM volume 2, chapters 2 and
 * appendix A; EVEX: 2.7). It says what the bytes are, not what they do. Refused: what 64-bit mode does not have, XOP,
 * APX, and whatever is cut off.
 */

export const OPERAND_16 = 1;
export const ADDRESS_32 = 2;
export const REPNE = 4;
export const REP = 8;
export const LOCK = 16;
export const SEGMENT = 32;

export interface Encoding {
  lengthBytes: number;
  /** Bits of the constants above. */
  prefixes: number;
  rex: number;
  wide: boolean;
  /** 1: one byte. 2: 0F. 3: 0F 38. 4: 0F 3A. 5, 6: as EVEX numbers them. */
  map: number;
  opcode: number;
  /** '' for the classic encoding. */
  vector: '' | 'vex' | 'evex';
  /** The mandatory prefix of VEX and EVEX: 0, 0x66, 0xf3, 0xf2 as 0..3. */
  vectorPrefix: number;
  /** The register of VEX.vvvv. */
  vectorRegister: number;
  hasModrm: boolean;
  mod: number;
  /** ModRM.reg without its extension: which of a group's instructions. */
  group: number;
  /** With their extensions. */
  reg: number;
  rm: number;
  /** The operand is in memory, or for lea its address. */
  memory: boolean;
  /** The base register of a memory operand without index; -1: none, or there is an index. */
  base: number;
  displacement: number;
  /** Sign extended; NaN when there is none, or it is not 1 or 4 bytes long. */
  immediate: number;
}

const MAX_BYTES = 15;

/** What follows the opcode: m ModRM, b one byte, w two, z four or two, v as wide as the operand, o an address. */
const ALU = ['m', 'm', 'm', 'm', 'b', 'z', '!', '!'];

/** One-byte opcodes. '.': nothing follows, '!': invalid, 'g': ModRM and for /0 and /1 an immediate. */
const ONE_BYTE: readonly string[] = [
  ...[...ALU, ...ALU, ...ALU, ...ALU, ...ALU, ...ALU, ...ALU, ...ALU], // 00: arithmetic; prefixes and 0F are seen before
  ...Array<string>(16).fill('!'), // 40: REX
  ...Array<string>(16).fill('.'), // 50: push, pop
  ...['!', '!', '!', 'm', '!', '!', '!', '!', 'z', 'mz', 'b', 'mb', '.', '.', '.', '.'],
  ...Array<string>(16).fill('b'), // 70: jcc
  ...['mb', 'mz', '!', 'mb', 'm', 'm', 'm', 'm', 'm', 'm', 'm', 'm', 'm', 'm', 'm', 'm'],
  ...['.', '.', '.', '.', '.', '.', '.', '.', '.', '.', '!', '.', '.', '.', '.', '.'],
  ...['o', 'o', 'o', 'o', '.', '.', '.', '.', 'b', 'z', '.', '.', '.', '.', '.', '.'],
  ...['b', 'b', 'b', 'b', 'b', 'b', 'b', 'b', 'v', 'v', 'v', 'v', 'v', 'v', 'v', 'v'],
  ...['mb', 'mb', 'w', '.', '!', '!', 'mb', 'mz', 'wb', '.', 'w', '.', '.', 'b', '!', '.'],
  ...['m', 'm', 'm', 'm', '!', '!', '!', '.', 'm', 'm', 'm', 'm', 'm', 'm', 'm', 'm'],
  ...['b', 'b', 'b', 'b', 'b', 'b', 'b', 'b', 'j', 'j', '!', 'b', '.', '.', '.', '.'],
  ...['!', '.', '!', '!', '.', '.', 'gb', 'gz', '.', '.', '.', '.', '.', '.', 'm', 'm'],
];

/** 0F opcodes that have no ModRM. */
const BARE = new Set([
  ...[0x05, 0x06, 0x07, 0x08, 0x09, 0x0b, 0x0e, 0x77, 0xa0, 0xa1, 0xa2, 0xa8, 0xa9, 0xaa],
  ...[0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x37],
  ...[0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf],
]);
/** 0F opcodes with ModRM and one byte. */
const WITH_BYTE = new Set([0x0f, 0x70, 0x71, 0x72, 0x73, 0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6]);
const INVALID_0F = new Set([0x04, 0x0a, 0x0c, 0x24, 0x25, 0x26, 0x27, 0x36, 0x39, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f]);

const PREFIXES: ReadonlyMap<number, number> = new Map([
  [0x66, OPERAND_16],
  [0x67, ADDRESS_32],
  [0xf2, REPNE],
  [0xf3, REP],
  [0xf0, LOCK],
  ...[0x26, 0x2e, 0x36, 0x3e].map((byte): [number, number] => [byte, SEGMENT]),
  [0x64, 0],
  [0x65, 0],
]);

export function decodeEncoding(code: Uint8Array, at: number): Encoding | undefined {
  let next = at;
  let prefixes = 0;
  let rex = 0;
  for (; ; next++) {
    const byte = code[next];
    if (byte === undefined || next - at >= MAX_BYTES) return undefined;
    const prefix = PREFIXES.get(byte);
    if (prefix !== undefined) {
      prefixes |= prefix;
      rex = 0;
    } else if ((byte & 0xf0) === 0x40) rex = byte;
    else break;
  }
  const encoding: Encoding = {
    lengthBytes: 0,
    prefixes,
    rex,
    wide: (rex & 8) !== 0,
    map: 1,
    opcode: code[next++]!,
    vector: '',
    vectorPrefix: 0,
    vectorRegister: 0,
    hasModrm: false,
    mod: 0,
    group: 0,
    reg: 0,
    rm: 0,
    memory: false,
    base: -1,
    displacement: 0,
    immediate: Number.NaN,
  };
  let extensions = rex & 7;
  if (encoding.opcode === 0xc4 || encoding.opcode === 0xc5 || encoding.opcode === 0x62) {
    if (rex !== 0 || (prefixes & (OPERAND_16 | REP | REPNE | LOCK)) !== 0) return undefined;
    const end = readVectorPrefix(code, next, encoding);
    if (end < 0) return undefined;
    next = end;
    extensions = encoding.rex & 7;
  } else if (encoding.opcode === 0x0f) {
    encoding.map = 2;
    encoding.opcode = code[next++] ?? 0x04;
    if (encoding.opcode === 0x38 || encoding.opcode === 0x3a) {
      encoding.map = encoding.opcode === 0x38 ? 3 : 4;
      const opcode = code[next++];
      if (opcode === undefined) return undefined;
      encoding.opcode = opcode;
    }
  }
  const layout = layoutOf(encoding);
  if (layout === '!') return undefined;
  if (layout[0] === 'm' || layout[0] === 'g') {
    next = readOperand(code, next, encoding, extensions);
    if (next < 0) return undefined;
  }
  const sizeBytes = immediateBytes(layout, encoding);
  if (next + sizeBytes > code.length || next + sizeBytes - at > MAX_BYTES) return undefined;
  if (sizeBytes === 1) encoding.immediate = (code[next]! << 24) >> 24;
  if (sizeBytes === 4) encoding.immediate = readI32(code, next);
  encoding.lengthBytes = next + sizeBytes - at;
  return encoding;
}

/** Returns where ModRM is, or -1. */
function readVectorPrefix(code: Uint8Array, at: number, encoding: Encoding): number {
  const first = encoding.opcode;
  const a = code[at];
  const b = code[at + 1];
  const c = code[at + 2];
  if (a === undefined || b === undefined) return -1;
  // The bits R, X and B are stored inverted.
  if (first === 0xc5) {
    encoding.vector = 'vex';
    encoding.map = 2;
    encoding.rex = (~a >> 5) & 4;
    encoding.vectorPrefix = a & 3;
    encoding.vectorRegister = (~a >> 3) & 15;
    encoding.opcode = b;
    return at + 2;
  }
  if (c === undefined) return -1;
  encoding.rex = (~a >> 5) & 7;
  encoding.wide = (b & 0x80) !== 0;
  encoding.vectorPrefix = b & 3;
  encoding.vectorRegister = (~b >> 3) & 15;
  if (first === 0xc4) {
    const map = a & 31;
    if (map < 1 || map > 3) return -1;
    encoding.vector = 'vex';
    encoding.map = map + 1;
    encoding.opcode = c;
    return at + 3;
  }
  const opcode = code[at + 3];
  const map = a & 7;
  if (opcode === undefined || (b & 4) === 0 || map === 0 || map === 4 || map === 7 || (a & 8) !== 0) return -1;
  encoding.vector = 'evex';
  encoding.map = map <= 3 ? map + 1 : map;
  encoding.opcode = opcode;
  return at + 4;
}

function layoutOf({ map, opcode, vector, prefixes }: Encoding): string {
  if (vector !== '') {
    if (map === 4) return 'mb';
    if (map === 2 && vector === 'vex' && opcode === 0x77) return '.';
    return map === 2 && WITH_BYTE.has(opcode) && opcode !== 0x0f && opcode !== 0xa4 ? 'mb' : 'm';
  }
  if (map === 1) return ONE_BYTE[opcode]!;
  if (map === 3) return 'm';
  if (map === 4) return 'mb';
  if (INVALID_0F.has(opcode)) return '!';
  // extrq and insertq of AMD have two bytes behind.
  if (opcode === 0x78 && (prefixes & (OPERAND_16 | REPNE)) !== 0) return '!';
  if (opcode >= 0x80 && opcode <= 0x8f) return 'j';
  if (BARE.has(opcode)) return '.';
  return WITH_BYTE.has(opcode) ? 'mb' : 'm';
}

/** Reads ModRM, SIB and displacement; returns what comes after them, or -1. */
function readOperand(code: Uint8Array, at: number, encoding: Encoding, extensions: number): number {
  const modrm = code[at];
  if (modrm === undefined) return -1;
  let next = at + 1;
  encoding.hasModrm = true;
  encoding.mod = modrm >> 6;
  encoding.group = (modrm >> 3) & 7;
  encoding.reg = encoding.group | ((extensions & 4) << 1);
  const rm = modrm & 7;
  encoding.rm = rm | ((extensions & 1) << 3);
  // Moves from and to control and debug registers have no memory form, whatever mod says.
  const always = encoding.vector === '' && encoding.map === 2 && encoding.opcode >= 0x20 && encoding.opcode <= 0x23;
  if (encoding.mod === 3 || always) return next;
  encoding.memory = true;
  let base = rm | ((extensions & 1) << 3);
  let displacementBytes = encoding.mod === 1 ? 1 : encoding.mod === 2 ? 4 : 0;
  if (rm === 4) {
    const sib = code[next++];
    if (sib === undefined) return -1;
    const index = ((sib >> 3) & 7) | ((extensions & 2) << 2);
    base = (sib & 7) | ((extensions & 1) << 3);
    if ((sib & 7) === 5 && encoding.mod === 0) {
      displacementBytes = 4;
      base = -1;
    }
    if (index !== 4) base = -1;
  } else if (rm === 5 && encoding.mod === 0) {
    displacementBytes = 4;
    base = -1;
  }
  if (next + displacementBytes > code.length) return -1;
  if (displacementBytes === 1) encoding.displacement = (code[next]! << 24) >> 24;
  if (displacementBytes === 4) encoding.displacement = readI32(code, next);
  encoding.base = base;
  return next + displacementBytes;
}

function immediateBytes(layout: string, encoding: Encoding): number {
  const narrow = (encoding.prefixes & OPERAND_16) !== 0 && !encoding.wide;
  switch (layout) {
    case 'b':
    case 'mb':
      return 1;
    case 'w':
      return 2;
    case 'wb':
      return 3;
    case 'z':
    case 'mz':
      return narrow ? 2 : 4;
    case 'gb':
      return encoding.group <= 1 ? 1 : 0;
    case 'gz':
      return encoding.group <= 1 ? (narrow ? 2 : 4) : 0;
    case 'j':
      return 4;
    case 'v':
      return encoding.wide ? 8 : narrow ? 2 : 4;
    case 'o':
      return (encoding.prefixes & ADDRESS_32) !== 0 ? 4 : 8;
    default:
      return 0;
  }
}

function readI32(code: Uint8Array, at: number): number {
  return code[at]! | (code[at + 1]! << 8) | (code[at + 2]! << 16) | (code[at + 3]! << 24);
}
