/**
 * Which general registers an x86-64 instruction may write, and whether it may write memory (Intel SDM volume 2). Where
 * this file is not sure it says all of them. Control transfers are not its subject.
 */

import { type Encoding, OPERAND_16, REP } from './x64-encoding.ts';

export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RSP = 4;
export const RBP = 5;
export const RSI = 6;
export const RDI = 7;

const ALL = 0xffff;

/** One bit per register. */
export function writtenRegisters(encoding: Encoding): number {
  if (encoding.vector === 'vex') return writtenByVex(encoding);
  if (encoding.vector === 'evex') return writtenByEvex(encoding);
  switch (encoding.map) {
    case 1:
      return writtenByOneByte(encoding);
    case 2:
      return writtenBy0f(encoding);
    case 3:
      return writtenBy0f38(encoding);
    default:
      return writtenBy0f3a(encoding);
  }
}

/** The operand of ModRM.rm, when it is a register. */
function operand({ memory, rm }: Encoding): number {
  return memory ? 0 : 1 << rm;
}

/** As operand(), for bytes: without REX the numbers 4..7 are the second bytes of rax, rcx, rdx, rbx. */
function byteOperand({ memory, rm, rex }: Encoding): number {
  return memory ? 0 : 1 << (rex === 0 && rm >= 4 && rm < 8 ? rm - 4 : rm);
}

function register({ reg }: Encoding): number {
  return 1 << reg;
}

function byteRegister({ reg, rex }: Encoding): number {
  return 1 << (rex === 0 && reg >= 4 && reg < 8 ? reg - 4 : reg);
}

function inOpcode({ opcode, rex }: Encoding): number {
  return 1 << ((opcode & 7) | ((rex & 1) << 3));
}

function writtenByOneByte(encoding: Encoding): number {
  const { opcode, group } = encoding;
  if (opcode < 0x40) {
    if (opcode >= 0x38) return 0;
    return writtenByArithmetic(encoding);
  }
  if (opcode <= 0x57) return 1 << RSP;
  if (opcode <= 0x5f) return (1 << RSP) | inOpcode(encoding);
  if (opcode >= 0x70 && opcode <= 0x7f) return 0;
  if (opcode >= 0x91 && opcode <= 0x97) return (1 << RAX) | inOpcode(encoding);
  if (opcode >= 0xb0 && opcode <= 0xb7) {
    const number = (opcode & 7) | ((encoding.rex & 1) << 3);
    return 1 << (encoding.rex === 0 && number >= 4 ? number - 4 : number);
  }
  if (opcode >= 0xb8 && opcode <= 0xbf) return inOpcode(encoding);
  if (opcode >= 0xd8 && opcode <= 0xdf) return opcode === 0xdf ? 1 << RAX : 0;
  switch (opcode) {
    case 0x63:
    case 0x69:
    case 0x6b:
    case 0x8b:
    case 0x8d:
      return register(encoding);
    case 0x68:
    case 0x6a:
    case 0x9c:
    case 0x9d:
      return 1 << RSP;
    case 0x80:
      return group === 7 ? 0 : byteOperand(encoding);
    case 0x81:
    case 0x83:
      return group === 7 ? 0 : operand(encoding);
    case 0x84:
    case 0x85:
    case 0x8e:
    case 0x9b:
    case 0x9e:
    case 0xa8:
    case 0xa9:
    case 0xf5:
    case 0xf8:
    case 0xf9:
    case 0xfc:
    case 0xfd:
      return 0;
    case 0x86:
      return byteOperand(encoding) | byteRegister(encoding);
    case 0x87:
      return operand(encoding) | register(encoding);
    case 0x88:
    case 0xc0:
    case 0xc6:
    case 0xd0:
    case 0xd2:
      return byteOperand(encoding);
    case 0x89:
    case 0x8c:
    case 0xc1:
    case 0xc7:
    case 0xd1:
    case 0xd3:
      return operand(encoding);
    case 0x8a:
      return byteRegister(encoding);
    case 0x8f:
      return (1 << RSP) | operand(encoding);
    case 0x90:
      return (encoding.rex & 1) === 0 ? 0 : (1 << RAX) | (1 << 8);
    case 0x98:
    case 0x9f:
    case 0xa0:
    case 0xa1:
    case 0xd7:
    case 0xe4:
    case 0xe5:
    case 0xec:
    case 0xed:
      return 1 << RAX;
    case 0x99:
      return 1 << RDX;
    case 0xa2:
    case 0xa3:
    case 0xe6:
    case 0xe7:
    case 0xee:
    case 0xef:
      return 0;
    case 0x6c:
    case 0x6d:
    case 0x6e:
    case 0x6f:
    case 0xa4:
    case 0xa5:
    case 0xa6:
    case 0xa7:
    case 0xaa:
    case 0xab:
    case 0xac:
    case 0xad:
    case 0xae:
    case 0xaf:
      return (1 << RAX) | (1 << RCX) | (1 << RSI) | (1 << RDI);
    case 0xc9:
      return (1 << RSP) | (1 << RBP);
    case 0xe0:
    case 0xe1:
    case 0xe2:
      return 1 << RCX;
    case 0xe3:
      return 0;
    case 0xf6:
    case 0xf7:
      if (group <= 1) return 0;
      if (group <= 3) return opcode === 0xf6 ? byteOperand(encoding) : operand(encoding);
      return (1 << RAX) | (1 << RDX);
    case 0xfe:
      return byteOperand(encoding);
    case 0xff:
      if (group <= 1) return operand(encoding);
      return group === 6 ? 1 << RSP : 0;
    default:
      return ALL;
  }
}

function writtenByArithmetic(encoding: Encoding): number {
  switch (encoding.opcode & 7) {
    case 0:
      return byteOperand(encoding);
    case 1:
      return operand(encoding);
    case 2:
      return byteRegister(encoding);
    case 3:
      return register(encoding);
    default:
      return 1 << RAX;
  }
}

/** Of 0F opcodes that write no general register whatever their operands and prefixes are. */
const SILENT_0F: readonly (readonly [number, number])[] = [
  ...([
    [0x0d, 0x0d],
    [0x10, 0x1d],
    [0x1f, 0x1f],
    [0x28, 0x2b],
    [0x2e, 0x2f],
    [0x51, 0x77],
  ] as const),
  ...([
    [0x7c, 0x7d],
    [0x7f, 0x7f],
    [0xa3, 0xa3],
    [0xc2, 0xc4],
    [0xc6, 0xc6],
    [0xd0, 0xd6],
  ] as const),
  ...([[0xd8, 0xff]] as const),
];

function writtenBy0f(encoding: Encoding): number {
  const { opcode, prefixes, group, mod, rm } = encoding;
  if (SILENT_0F.some(([first, last]) => opcode >= first && opcode <= last)) return 0;
  if (opcode >= 0x40 && opcode <= 0x4f) return register(encoding);
  if (opcode >= 0x80 && opcode <= 0x8f) return 0;
  if (opcode >= 0x90 && opcode <= 0x9f) return byteOperand(encoding);
  if (opcode >= 0xc8 && opcode <= 0xcf) return inOpcode(encoding);
  switch (opcode) {
    case 0x1e:
      // With F3: endbr64 and endbr32, or rdssp, which writes.
      return (prefixes & REP) !== 0 && mod === 3 && !(group === 7 && (rm & 6) === 2) ? operand(encoding) : 0;
    case 0x02:
    case 0x03:
    case 0x2c:
    case 0x2d:
    case 0x50:
    case 0xaf:
    case 0xb2:
    case 0xb4:
    case 0xb5:
    case 0xb6:
    case 0xb7:
    case 0xb8:
    case 0xbc:
    case 0xbd:
    case 0xbe:
    case 0xbf:
    case 0xc5:
    case 0xd7:
      return register(encoding);
    case 0x31:
      return (1 << RAX) | (1 << RDX);
    case 0x7e:
      return (prefixes & REP) !== 0 ? 0 : operand(encoding);
    case 0xa0:
    case 0xa1:
    case 0xa8:
    case 0xa9:
      return 1 << RSP;
    case 0xa2:
      return (1 << RAX) | (1 << RBX) | (1 << RCX) | (1 << RDX);
    case 0xa4:
    case 0xa5:
    case 0xab:
    case 0xac:
    case 0xad:
    case 0xb3:
    case 0xbb:
      return operand(encoding);
    case 0xae:
      return (prefixes & REP) !== 0 ? operand(encoding) : 0;
    case 0xb0:
      return (1 << RAX) | byteOperand(encoding);
    case 0xb1:
      return (1 << RAX) | operand(encoding);
    case 0xba:
      return group === 4 ? 0 : operand(encoding);
    case 0xc0:
      return byteOperand(encoding) | byteRegister(encoding);
    case 0xc1:
      return operand(encoding) | register(encoding);
    case 0xc7:
      return (1 << RAX) | (1 << RDX) | operand(encoding);
    default:
      return ALL;
  }
}

function writtenBy0f38(encoding: Encoding): number {
  const { opcode, prefixes } = encoding;
  if (opcode < 0xf0) return opcode >= 0x80 && opcode <= 0x82 ? ALL : 0;
  if (opcode === 0xf0 || opcode === 0xf1) return register(encoding);
  if (opcode === 0xf6) return (prefixes & (OPERAND_16 | REP)) !== 0 ? register(encoding) : 0;
  return opcode === 0xf8 || opcode === 0xf9 ? 0 : ALL;
}

function writtenBy0f3a(encoding: Encoding): number {
  const { opcode } = encoding;
  if (opcode >= 0x14 && opcode <= 0x17) return operand(encoding);
  return opcode === 0x61 || opcode === 0x63 ? 1 << RCX : 0;
}

function writtenByVex(encoding: Encoding): number {
  const { map, opcode, vectorRegister } = encoding;
  if (map === 2) {
    if (opcode === 0x7e) return encoding.vectorPrefix === 2 ? 0 : operand(encoding);
    const scalar = opcode === 0x2c || opcode === 0x2d || opcode === 0x50 || opcode === 0xc5 || opcode === 0xd7;
    return scalar || opcode === 0x93 ? register(encoding) : 0;
  }
  if (map === 3) {
    if (opcode >= 0xe0 && opcode <= 0xef) return ALL;
    if (opcode === 0xf2 || opcode === 0xf5 || opcode === 0xf7) return register(encoding);
    if (opcode === 0xf3) return 1 << vectorRegister;
    return opcode === 0xf6 ? register(encoding) | (1 << vectorRegister) : 0;
  }
  if (opcode === 0xf0) return register(encoding);
  return writtenBy0f3a(encoding);
}

function writtenByEvex(encoding: Encoding): number {
  const { map, opcode } = encoding;
  if (map === 2 || map === 5) {
    if (opcode === 0x7e) return operand(encoding);
    const scalar = opcode === 0x2c || opcode === 0x2d || opcode === 0x78 || opcode === 0x79 || opcode === 0xc5;
    return scalar ? register(encoding) : 0;
  }
  return map === 4 && opcode >= 0x14 && opcode <= 0x17 ? operand(encoding) : 0;
}

/** One-byte opcodes that only read their memory operand; those below 40 follow a rule of their own. */
const READING = new Set([0x63, 0x69, 0x6b, 0x84, 0x85, 0x8a, 0x8b, 0x8d, 0x8e]);
const READING_0F = new Set([0x0d, 0x1e, 0x1f, 0x18, 0xa3, 0xaf, 0xb6, 0xb7, 0xb8, 0xbc, 0xbd, 0xbe, 0xbf]);
/** They write memory without an operand that says so. */
const IMPLICIT = new Set([0x6c, 0x6d, 0xa2, 0xa3, 0xa4, 0xa5, 0xaa, 0xab, 0xc8]);

/** maskmovdqu, system instructions, and the ciphers of VIA processors. */
const HIDDEN_0F = new Set([0x01, 0xa6, 0xa7, 0xf7]);

/** false: it may write memory. What it pushes does not count. */
export function readsOnly(encoding: Encoding): boolean {
  const { map, opcode, group, memory, vector } = encoding;
  if (vector === '' && map === 1 && IMPLICIT.has(opcode)) return false;
  if (!memory) {
    const hidden = vector !== 'evex' && map === 2 && HIDDEN_0F.has(opcode);
    return !hidden;
  }
  if (vector !== '') return false;
  if (map === 1) {
    if (opcode < 0x40) return (opcode & 2) !== 0 || opcode >= 0x38;
    if (opcode === 0x80 || opcode === 0x81 || opcode === 0x83) return group === 7;
    if (opcode === 0xf6 || opcode === 0xf7) return group !== 2 && group !== 3;
    if (opcode === 0xff) return group === 6;
    return READING.has(opcode);
  }
  if (map !== 2) return false;
  return (opcode >= 0x40 && opcode <= 0x4f) || READING_0F.has(opcode) || (opcode === 0xba && group === 4);
}
