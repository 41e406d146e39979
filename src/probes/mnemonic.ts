/**
 * What an instruction is called, for people: the few that probe sites are. Others are shown by their bytes alone. Pure:
 * no bytes make it throw.
 */

import type { ElfMachine } from '../elf/elf-file.ts';
import { decodeArm64 } from './arm64-decoder.ts';
import { decodeX64 } from './x64-decoder.ts';
import { decodeEncoding, type Encoding } from './x64-encoding.ts';

/** How instructionText() is passed to those who may not import it. */
export type InstructionReader = (machine: ElfMachine, code: Uint8Array, at: number) => string;

const REGISTERS = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];
const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];
const ARITHMETIC = ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp'];
const ONE_BYTE: Readonly<Record<number, string>> = {
  ...{ 99: 'movslq', 132: 'test', 133: 'test', 136: 'mov', 137: 'mov', 138: 'mov', 139: 'mov', 141: 'lea' },
  ...{ 144: 'nop', 168: 'test', 169: 'test', 194: 'ret', 195: 'ret', 198: 'mov', 199: 'mov', 201: 'leave' },
  ...{ 232: 'call', 233: 'jmp', 235: 'jmp' },
};

/** `push %rbp (55)`, `jne (752d)`; of an instruction without a name here the bytes: `(c4e2…)`; '' where there is none. */
export function instructionText(machine: ElfMachine, code: Uint8Array, at: number): string {
  const step = machine === 'x64' ? decodeX64(code, at) : machine === 'arm64' ? decodeArm64(code, at) : undefined;
  if (!step) return '';
  const bytes = Buffer.from(code.subarray(at, at + step.lengthBytes)).toString('hex');
  const name = machine === 'x64' ? x64Name(decodeEncoding(code, at)!) : arm64Name(code, at);
  return name === '' ? `(${bytes})` : `${name} (${bytes})`;
}

function x64Name(encoding: Encoding): string {
  const { map, opcode, vector, group, rex } = encoding;
  if (vector !== '') return '';
  const register = REGISTERS[(opcode & 7) | ((rex & 1) << 3)];
  if (map === 2) {
    if (opcode >= 0x80 && opcode <= 0x8f) return `j${CONDITIONS[opcode & 15]}`;
    if (opcode === 0x1f) return 'nop';
    return opcode === 0x1e && encoding.rm === 2 && encoding.mod === 3 && group === 7 ? 'endbr64' : '';
  }
  if (map !== 1) return '';
  if (opcode >= 0x50 && opcode <= 0x57) return `push %${register}`;
  if (opcode >= 0x58 && opcode <= 0x5f) return `pop %${register}`;
  if (opcode >= 0x70 && opcode <= 0x7f) return `j${CONDITIONS[opcode & 15]}`;
  if (opcode < 0x40 && (opcode & 7) < 6) return ARITHMETIC[opcode >> 3]!;
  if (opcode === 0x81 || opcode === 0x83) return ARITHMETIC[group]!;
  if (opcode >= 0xb8 && opcode <= 0xbf) return 'mov';
  return ONE_BYTE[opcode] ?? '';
}

/** Of branches and hints; Arm ARM, C4.1. */
function arm64Name(code: Uint8Array, at: number): string {
  const word = (code[at]! | (code[at + 1]! << 8) | (code[at + 2]! << 16) | (code[at + 3]! << 24)) >>> 0;
  const top = word >>> 24;
  if (word === 0xd65f03c0) return 'ret';
  if (word >>> 26 === 0b000101) return 'b';
  if (word >>> 26 === 0b100101) return 'bl';
  if (top === 0x54) return 'b.cond';
  if ((top & 0x7f) === 0x34) return 'cbz';
  if ((top & 0x7f) === 0x35) return 'cbnz';
  if ((top & 0x7f) === 0x36) return 'tbz';
  if ((top & 0x7f) === 0x37) return 'tbnz';
  if (word === 0xd503201f) return 'nop';
  if (word === 0xd503233f) return 'paciasp';
  if (word === 0xd503245f) return 'bti c';
  if ((word & 0x9f000000) >>> 0 === 0x90000000) return 'adrp';
  if ((word & 0x9f000000) >>> 0 === 0x10000000) return 'adr';
  return word >>> 22 === 0b1010100110 || word >>> 22 === 0b1010100100 ? 'stp' : '';
}
