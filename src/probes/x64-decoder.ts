/**
 * What an x86-64 instruction does, from its encoding. Which instructions the kernel emulates under a probe:
 * branch_setup_xol_ops() and push_setup_xol_ops() of arch/x86/kernel/uprobes.c, v5.10..v6.18. Only what all of these
 * emulate counts: jmp, jcc and call with a relative target, push of a register, the one-byte nop, each without prefix
 * (nops of several bytes are emulated since v6.18; with a 66 prefix the older kernels refuse branches and nops alike).
 */

import type { Flow, Machine, Step, StepCost } from './step.ts';
import { RAX, RBP, RCX, RDI, RDX, RSI, RSP, readsOnly, writtenRegisters } from './x64-effects.ts';
import { ADDRESS_32, decodeEncoding, type Encoding, LOCK, OPERAND_16, REP, REPNE, SEGMENT } from './x64-encoding.ts';

export const x64: Machine = {
  decode: decodeX64,
  frameRegister: RBP,
  argumentRegisters: [RDI, RSI, RDX, RCX],
  resultRegister: RAX,
  linkRegister: undefined,
};

export function decodeX64(code: Uint8Array, at: number): Step | undefined {
  const encoding = decodeEncoding(code, at);
  if (!encoding) return undefined;
  const flow = flowOf(encoding);
  if (flow === undefined) return undefined;
  const direct = flow === 'branch' || flow === 'jump' || flow === 'call';
  // What a call pushes is gone when it comes back.
  const stack = flow === 'next' ? stackOf(encoding) : STILL;
  return {
    lengthBytes: encoding.lengthBytes,
    flow,
    target: direct ? at + encoding.lengthBytes + encoding.immediate : Number.NaN,
    cost: costOf(encoding, flow),
    push: stack.push,
    writes: flow === 'next' || flow === 'branch' ? writtenRegisters(encoding) : 0,
    stores: flow === 'next' && !readsOnly(encoding),
    copy: copyOf(encoding),
    stackBytes: stack.bytes,
    stackFromFrame: stack.fromFrame,
    frameFromStack: frameFromStack(encoding),
  };
}

/** syscall, sysret, sysenter, sysexit, rsm. */
const SYSTEM = new Set([0x05, 0x07, 0x34, 0x35, 0xaa]);

/** undefined: what no function of a library contains: breakpoints, system calls, far transfers, transactions. */
function flowOf({ map, opcode, vector, group, mod }: Encoding): Flow | undefined {
  if (vector !== '') return 'next';
  if (map === 2) {
    if (opcode >= 0x80 && opcode <= 0x8f) return 'branch';
    if (SYSTEM.has(opcode)) return undefined;
    return opcode === 0x0b || opcode === 0xb9 || opcode === 0xff ? 'stop' : 'next';
  }
  if (map !== 1) return 'next';
  if ((opcode >= 0x70 && opcode <= 0x7f) || (opcode >= 0xe0 && opcode <= 0xe3)) return 'branch';
  switch (opcode) {
    case 0xe9:
    case 0xeb:
      return 'jump';
    case 0xe8:
      return 'call';
    case 0xc2:
    case 0xc3:
      return 'return';
    case 0xf4:
      return 'stop';
    case 0xca:
    case 0xcb:
    case 0xcc:
    case 0xcd:
    case 0xcf:
    case 0xf1:
      return undefined;
    case 0xc6:
    case 0xc7:
      if (group === 0) return 'next';
      return undefined;
    case 0x8f:
      return group === 0 ? 'next' : undefined;
    case 0xfe:
      return group <= 1 ? 'next' : undefined;
    case 0xff:
      if (group === 2) return 'indirect-call';
      if (group === 4) return 'indirect-jump';
      return group === 3 || group === 5 || group === 7 ? undefined : 'next';
    case 0x8d:
      return mod === 3 ? undefined : 'next';
    default:
      return 'next';
  }
}

function costOf({ map, opcode, prefixes, rex, lengthBytes, vector }: Encoding, flow: Flow): StepCost {
  // is_prefix_bad(): the kernel takes no probe on instructions with these.
  if ((prefixes & (LOCK | SEGMENT)) !== 0) return 'refused';
  if (vector !== '' || map > 2) return 'single-step';
  if (map === 2) {
    if (flow !== 'branch') return 'single-step';
    return plain(prefixes, rex) ? 'emulated' : 'refused';
  }
  if (opcode >= 0x50 && opcode <= 0x57) {
    const short = lengthBytes === 1 || (lengthBytes === 2 && rex === 0x41);
    return short ? 'emulated' : 'single-step';
  }
  const relative = (opcode >= 0x70 && opcode <= 0x7f) || opcode === 0xe8 || opcode === 0xe9 || opcode === 0xeb;
  if (relative || opcode === 0x90) return plain(prefixes, rex) ? 'emulated' : 'refused';
  // loop and jrcxz would jump relative to the copy; the kernel refuses them.
  return opcode >= 0xe0 && opcode <= 0xe3 ? 'refused' : 'single-step';
}

function plain(prefixes: number, rex: number): boolean {
  return rex === 0 && (prefixes & (OPERAND_16 | ADDRESS_32 | REP | REPNE)) === 0;
}

interface StackEffect {
  readonly bytes: number;
  readonly push: boolean;
  readonly fromFrame: number | undefined;
}

const STILL: StackEffect = { bytes: 0, push: false, fromFrame: undefined };
const UNKNOWN: StackEffect = { bytes: Number.NaN, push: false, fromFrame: undefined };
const PUSH: StackEffect = { bytes: -8, push: true, fromFrame: undefined };
const POP: StackEffect = { bytes: 8, push: false, fromFrame: undefined };

function stackOf(encoding: Encoding): StackEffect {
  const { map, opcode, group, mod, rm, reg, prefixes, vector, wide, immediate } = encoding;
  const narrow = (prefixes & OPERAND_16) !== 0;
  if (vector === '' && map === 1) {
    if (opcode >= 0x50 && opcode <= 0x57) return narrow ? UNKNOWN : PUSH;
    if (opcode >= 0x58 && opcode <= 0x5f) return narrow || registerOf(encoding) === RSP ? UNKNOWN : POP;
    if (opcode === 0x68 || opcode === 0x6a || opcode === 0x9c) return narrow ? UNKNOWN : PUSH;
    if (opcode === 0x9d) return narrow ? UNKNOWN : POP;
    if (opcode === 0x8f) return narrow || (mod === 3 && rm === RSP) ? UNKNOWN : POP;
    if (opcode === 0xff && group === 6) return narrow ? UNKNOWN : PUSH;
    if (opcode === 0xc9) return narrow ? UNKNOWN : { bytes: 0, push: false, fromFrame: 8 };
    if (opcode === 0xc8) return UNKNOWN;
    if ((opcode === 0x83 || opcode === 0x81) && mod === 3 && rm === RSP && wide) {
      if (group === 0) return { bytes: immediate, push: false, fromFrame: undefined };
      if (group === 5) return { bytes: -immediate, push: false, fromFrame: undefined };
    }
    if (opcode === 0x8d && reg === RSP && wide && (prefixes & ADDRESS_32) === 0) {
      if (encoding.base === RSP) return { bytes: encoding.displacement, push: false, fromFrame: undefined };
      if (encoding.base === RBP) return { bytes: 0, push: false, fromFrame: encoding.displacement };
    }
    const move = copyOf(encoding);
    if (move?.wide && move.to === RSP) {
      return move.from === RBP ? { bytes: 0, push: false, fromFrame: 0 } : UNKNOWN;
    }
  }
  if (vector === '' && map === 2 && (opcode === 0xa0 || opcode === 0xa8)) return narrow ? UNKNOWN : PUSH;
  if (vector === '' && map === 2 && (opcode === 0xa1 || opcode === 0xa9)) return narrow ? UNKNOWN : POP;
  return (writtenRegisters(encoding) & (1 << RSP)) !== 0 ? UNKNOWN : STILL;
}

function frameFromStack(encoding: Encoding): number | undefined {
  const { map, opcode, vector, reg, wide, base, displacement, prefixes } = encoding;
  const move = copyOf(encoding);
  if (move?.wide && move.to === RBP && move.from === RSP) return 0;
  const lea = vector === '' && map === 1 && opcode === 0x8d && wide && (prefixes & ADDRESS_32) === 0;
  return lea && reg === RBP && base === RSP ? displacement : undefined;
}

/** mov between registers, and the sign extensions of 32 bits, which leave these as they are. */
function copyOf(encoding: Encoding): Step['copy'] {
  const { map, opcode, vector, mod, reg, rm, wide, prefixes } = encoding;
  if (vector !== '' || map !== 1 || mod !== 3 || !encoding.hasModrm) return undefined;
  if ((prefixes & (OPERAND_16 | LOCK)) !== 0) return undefined;
  if (opcode === 0x89) return { from: reg, to: rm, wide };
  if (opcode === 0x8b) return { from: rm, to: reg, wide };
  if (opcode === 0x63) return { from: rm, to: reg, wide: false };
  return undefined;
}

/** Of push, pop and the like: the register is part of the opcode. */
function registerOf({ opcode, rex }: Encoding): number {
  return (opcode & 7) | ((rex & 1) << 3);
}
