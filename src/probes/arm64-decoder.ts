/**
 * What an arm64 instruction does (Arm ARM, C4.1 "A64 instruction set encoding"). Which instructions the kernel simulates
 * under a probe: arm_probe_decode_insn() of arch/arm64/kernel/probes/decode-insn.c, v5.10..v6.18: b, bl, b.cond, cbz,
 * cbnz, tbz, tbnz, adr, adrp, br, blr, ret (a nop only since v6.13). It refuses exceptions, most system registers,
 * exclusive loads and stores, and returns and branches with authentication. `ldr` of a literal it simulated wrongly and
 * refuses since v6.12, so that is refused here on all. What a load or store may write is read off its class, and where
 * the class is not taken apart, all of its register fields count.
 */

import type { Flow, Machine, Step, StepCost } from './step.ts';

const STACK = 31;
const FRAME = 29;
const LINK = 30;

export const arm64: Machine = {
  decode: decodeArm64,
  frameRegister: FRAME,
  argumentRegisters: [0, 1, 2, 3],
  resultRegister: 0,
  linkRegister: LINK,
};

export function decodeArm64(code: Uint8Array, at: number): Step | undefined {
  if (at + 4 > code.length || (at & 3) !== 0) return undefined;
  const word = (code[at]! | (code[at + 1]! << 8) | (code[at + 2]! << 16) | (code[at + 3]! << 24)) >>> 0;
  if (bits(word, 25, 4) >= 0b1010 && bits(word, 25, 4) <= 0b1011) return decodeBranch(word, at);
  const group = bits(word, 25, 4);
  // Reserved, and what is not allocated. SVE and SME (0010) are not what these functions are made of.
  if (group <= 0b0011) return undefined;
  if ((group & 0b1110) === 0b1000) return decodeImmediate(word);
  if ((group & 0b0101) === 0b0100) return decodeMemory(word);
  if ((group & 0b0111) === 0b0101) return decodeRegister(word);
  return decodeVector(word);
}

function bits(word: number, first: number, count: number): number {
  return (word >>> first) & ((1 << count) - 1);
}

/** A field of `count` bits as a signed number. */
function signed(word: number, first: number, count: number): number {
  return (word << (32 - first - count)) >> (32 - count);
}

interface Parts {
  flow?: Flow;
  target?: number;
  cost?: StepCost;
  writes?: number;
  stores?: boolean;
  copy?: Step['copy'];
  stackBytes?: number;
  stackFromFrame?: number;
  frameFromStack?: number;
}

function step(parts: Parts): Step {
  return {
    lengthBytes: 4,
    flow: parts.flow ?? 'next',
    target: parts.target ?? Number.NaN,
    cost: parts.cost ?? 'single-step',
    push: false,
    writes: parts.writes ?? 0,
    stores: parts.stores ?? false,
    copy: parts.copy,
    stackBytes: parts.stackBytes ?? 0,
    stackFromFrame: parts.stackFromFrame,
    frameFromStack: parts.frameFromStack,
  };
}

/** A register as a bit; number 31 is the zero register or the stack pointer, neither of which is one. */
function bit(register: number): number {
  return register === 31 ? 0 : 1 << register;
}

function decodeBranch(word: number, at: number): Step | undefined {
  const top = bits(word, 26, 6);
  if (top === 0b000101) return step({ flow: 'jump', target: at + signed(word, 0, 26) * 4, cost: 'emulated' });
  if (top === 0b100101) return step({ flow: 'call', target: at + signed(word, 0, 26) * 4, cost: 'emulated' });
  const compare = bits(word, 25, 6) === 0b011010;
  const conditional = bits(word, 24, 8) === 0b01010100;
  if (compare || conditional) return step({ flow: 'branch', target: at + signed(word, 5, 19) * 4, cost: 'emulated' });
  if (bits(word, 25, 6) === 0b011011) {
    return step({ flow: 'branch', target: at + signed(word, 5, 14) * 4, cost: 'emulated' });
  }
  if (bits(word, 25, 7) === 0b1101011) return decodeBranchRegister(word);
  if (bits(word, 22, 10) === 0b1101010100) return decodeSystem(word);
  // brk, hlt, svc, udf and their kin.
  return undefined;
}

function decodeBranchRegister(word: number): Step | undefined {
  const operation = bits(word, 21, 4);
  const authenticated = bits(word, 10, 6) !== 0 || bits(word, 0, 5) !== 0;
  const cost: StepCost = authenticated ? 'refused' : 'emulated';
  if (bits(word, 16, 5) !== 31) return undefined;
  const kind = operation & 0b0111;
  if (kind === 0) return step({ flow: 'indirect-jump', cost });
  if (kind === 1) return step({ flow: 'indirect-call', cost });
  return operation === 2 ? step({ flow: 'return', cost }) : undefined;
}

function decodeSystem(word: number): Step {
  if ((word & 0xfffff01f) >>> 0 === 0xd503201f) return decodeHint(bits(word, 5, 7));
  // Barriers can be stepped; what reads or writes system registers cannot, or not on every kernel.
  const barrier = (word & 0xfffff000) >>> 0 === 0xd5033000;
  const reads = bits(word, 21, 1) === 1;
  return step({
    cost: barrier ? 'single-step' : 'refused',
    writes: reads ? bit(bits(word, 0, 5)) : 0,
    stores: !barrier,
  });
}

const HINT_NOP = 0;
/** xpaclri and the pac, aut instructions on x30: 7, 24..31. Those of 8..15 work on x17. */
function decodeHint(number: number): Step {
  const link = number === 7 || (number >= 24 && number <= 31);
  const x17 = number >= 8 && number <= 15;
  // aarch64_insn_is_steppable_hint(): these and bti. Waiting and profiling hints are refused.
  const steppable = number === HINT_NOP || link || x17 || (number >= 32 && number <= 38);
  return step({ cost: steppable ? 'single-step' : 'refused', writes: (link ? bit(LINK) : 0) | (x17 ? bit(17) : 0) });
}

function decodeImmediate(word: number): Step {
  const destination = bits(word, 0, 5);
  const source = bits(word, 5, 5);
  const kind = bits(word, 23, 3);
  if (kind <= 1) return step({ cost: 'emulated', writes: bit(destination) }); // adr, adrp
  if (kind === 2) {
    const setsFlags = bits(word, 29, 1) === 1;
    const wide = bits(word, 31, 1) === 1;
    const magnitude = bits(word, 10, 12) * (bits(word, 22, 1) === 1 ? 4096 : 1);
    const value = bits(word, 30, 1) === 1 ? -magnitude : magnitude;
    if (destination === STACK && !setsFlags) {
      if (!wide) return step({ stackBytes: Number.NaN });
      if (source === STACK) return step({ stackBytes: value });
      return source === FRAME ? step({ stackFromFrame: value }) : step({ stackBytes: Number.NaN });
    }
    const fromStack = destination === FRAME && source === STACK && wide && !setsFlags;
    return step({ writes: bit(destination), ...(fromStack ? { frameFromStack: value } : {}) });
  }
  // Logical ones without flags and the tagged forms may write the stack pointer.
  const logical = kind === 4 && bits(word, 29, 2) !== 3;
  const lost = destination === STACK && (logical || kind === 3);
  return step({ writes: bit(destination), ...(lost ? { stackBytes: Number.NaN } : {}) });
}

function decodeRegister(word: number): Step {
  const destination = bits(word, 0, 5);
  // orr Rd, zr, Rm: mov between registers.
  const move = (word & 0x7fe0ffe0) >>> 0 === 0x2a0003e0;
  const copy = move ? { from: bits(word, 16, 5), to: destination, wide: bits(word, 31, 1) === 1 } : undefined;
  // add and sub with an extended register may have the stack pointer as destination.
  const extended = (word & 0x1fe00000) >>> 0 === 0x0b200000;
  const lost = extended && destination === STACK && bits(word, 29, 1) === 0;
  return step({
    writes: bit(destination),
    ...(copy && copy.from !== 31 ? { copy } : {}),
    ...(lost ? { stackBytes: Number.NaN } : {}),
  });
}

/** Some move to a general register (umov, fmov, fcvtzs): the field of the destination then is one. */
function decodeVector(word: number): Step {
  return step({ writes: bit(bits(word, 0, 5)) });
}

function decodeMemory(word: number): Step {
  const kind = bits(word, 28, 2);
  const vector = bits(word, 26, 1) === 1;
  const first = bits(word, 0, 5);
  const base = bits(word, 5, 5);
  if (kind === 1 && bits(word, 24, 1) === 0) {
    return step({ cost: 'refused', writes: vector ? 0 : bit(first) }); // ldr of a literal
  }
  if (kind === 2) {
    const load = bits(word, 22, 1) === 1;
    const mode = bits(word, 23, 2);
    const back = mode === 1 || mode === 3;
    const scale = vector ? 4 << bits(word, 30, 2) : bits(word, 31, 1) === 1 ? 8 : 4;
    const written = load && !vector ? bit(first) | bit(bits(word, 10, 5)) : 0;
    // stgp counts in granules.
    if (bits(word, 30, 2) === 1 && !load && !vector) return step({ stores: true, stackBytes: Number.NaN });
    return withWriteBack(written, !load, back ? base : -1, signed(word, 15, 7) * scale);
  }
  if (kind === 3) {
    const size = bits(word, 30, 2);
    const operation = bits(word, 22, 2);
    if (bits(word, 24, 1) === 1) {
      const load = operation !== 0;
      return step({ writes: load && !vector ? bit(first) : 0, stores: !load || vector });
    }
    const form = bits(word, 10, 2);
    if (bits(word, 21, 1) === 0) {
      const load = operation !== 0;
      const prefetch = size === 3 && operation === 2;
      const written = load && !vector && !prefetch ? bit(first) : 0;
      return withWriteBack(written, !load || vector, form === 1 || form === 3 ? base : -1, signed(word, 12, 9));
    }
    if (form === 2)
      return step({ writes: operation !== 0 && !vector ? bit(first) : 0, stores: operation === 0 || vector });
  }
  // Exclusives, atomics, structures of vectors, memory tags, authenticated loads.
  const exclusive = kind === 0 && !vector;
  const all = bit(first) | bit(base) | bit(bits(word, 10, 5)) | bit(bits(word, 16, 5));
  const stackBytes = base === STACK && !exclusive ? Number.NaN : 0;
  return step({ cost: exclusive ? 'refused' : 'single-step', writes: all, stores: true, stackBytes });
}

/** `base` is written back with `bytes` added; -1: it is not. */
function withWriteBack(writes: number, stores: boolean, base: number, bytes: number): Step {
  if (base < 0) return step({ writes, stores });
  return base === STACK ? step({ writes, stores, stackBytes: bytes }) : step({ writes: writes | bit(base), stores });
}
