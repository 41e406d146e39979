/**
 * What a function that only looks something up returns: a number, or a field of its first argument, or of what such a
 * field points to. So a library's own code tells where its fields lie, in this very build. All ways through the function
 * are followed; a way that calls another function, or whose result is made otherwise, is `unknown`. Pure: no bytes make
 * it throw. Limits: 64 ways of 64 instructions each.
 */

import type { ElfMachine } from '../elf/elf-file.ts';
import { arm64 } from './arm64-decoder.ts';
import type { Machine, Step } from './step.ts';
import { x64 } from './x64-decoder.ts';
import { decodeEncoding } from './x64-encoding.ts';

/**
 * A number, or a value that was loaded: from the argument plus the first offset, from what lies there plus the second, and
 * so on.
 */
export type Value =
  | { readonly kind: 'number'; readonly number: number }
  | { readonly kind: 'field'; readonly path: readonly number[]; readonly sizeBytes: number };

export interface Result {
  /** undefined: not known. */
  readonly value: Value | undefined;
  /** Fields of the argument itself that were loaded on the way, beside the result: by them the way may have been chosen. */
  readonly others: readonly number[];
}

/** How readResults() is passed to those who may not import it. */
export type ResultReader = (machine: ElfMachine, code: Uint8Array) => readonly Result[];

const MACHINES: Readonly<Record<ElfMachine, Machine | undefined>> = { x64, arm64, other: undefined };
const MAX_WAYS = 64;
const MAX_STEPS = 64;
const MAX_PATH = 4;
const MAX_CODE_BYTES = 1024;

/** What an instruction puts into a register. */
interface Assignment {
  readonly register: number;
  readonly value: Value | undefined;
}

interface Way {
  at: number;
  steps: number;
  readonly registers: Map<number, Value>;
  readonly loads: Set<number>;
}

/** One for each way through the function; none when it is not understood at all. */
export function readResults(machineName: ElfMachine, code: Uint8Array): readonly Result[] {
  const machine = MACHINES[machineName];
  if (!machine) return [];
  const assignment = machineName === 'x64' ? x64Assignment : arm64Assignment;
  const bytes = code.subarray(0, MAX_CODE_BYTES);
  const results: Result[] = [];
  const argument: Value = { kind: 'field', path: [], sizeBytes: 8 };
  const first = new Map([[machine.argumentRegisters[0]!, argument]]);
  const waiting: Way[] = [{ at: 0, steps: 0, registers: first, loads: new Set() }];
  for (let way = waiting.pop(); way; way = waiting.pop()) {
    const step = way.steps++ < MAX_STEPS ? machine.decode(bytes, way.at) : undefined;
    if (!step || step.flow === 'call' || step.flow === 'indirect-call' || step.flow === 'indirect-jump') {
      results.push({ value: undefined, others: [...way.loads] });
    } else if (step.flow === 'return') {
      results.push(resultOf(way, machine.resultRegister));
    } else if (step.flow !== 'stop') {
      run(way, step, assignment(bytes, way.at, way));
      const inside = step.target >= 0 && step.target < bytes.length;
      if (step.flow !== 'next' && !inside) results.push({ value: undefined, others: [...way.loads] });
      if (step.flow === 'branch' && inside) {
        waiting.push({ ...way, at: step.target, registers: new Map(way.registers), loads: new Set(way.loads) });
      }
      way.at = step.flow === 'jump' ? step.target : way.at + step.lengthBytes;
      if (step.flow !== 'jump' || inside) waiting.push(way);
    }
    if (results.length + waiting.length > MAX_WAYS) return [];
  }
  return results;
}

function run(way: Way, step: Step, assigned: Assignment | undefined): void {
  for (const register of way.registers.keys())
    if ((step.writes & (1 << register)) !== 0) way.registers.delete(register);
  if (!assigned) return;
  if (assigned.value) way.registers.set(assigned.register, assigned.value);
  else way.registers.delete(assigned.register);
}

function resultOf(way: Way, register: number): Result {
  const value = way.registers.get(register);
  const own = value?.kind === 'field' ? value.path[0] : undefined;
  return { value, others: [...way.loads].filter((offset) => offset !== own) };
}

/** Also notes what is loaded of the argument. */
function load(way: Way, base: number, displacement: number, sizeBytes: number): Value | undefined {
  const pointer = way.registers.get(base);
  if (pointer?.kind !== 'field' || pointer.sizeBytes !== 8 || pointer.path.length === MAX_PATH) return undefined;
  if (pointer.path.length === 0) way.loads.add(displacement);
  return { kind: 'field', path: [...pointer.path, displacement], sizeBytes };
}

function x64Assignment(code: Uint8Array, at: number, way: Way): Assignment | undefined {
  const encoding = decodeEncoding(code, at);
  if (encoding?.vector !== '' || encoding.map !== 1) return undefined;
  // fs and gs: the encoding does not say so, and what they point to is not the argument's.
  if (code[at] === 0x64 || code[at] === 0x65) return undefined;
  const { opcode, mod, reg, rm, wide, memory, base, displacement, immediate, rex, prefixes } = encoding;
  const sizeBytes = wide ? 8 : 4;
  if (memory && base >= 0 && prefixes === 0 && opcode !== 0x8d) {
    const value = load(way, base, displacement, sizeBytes);
    return opcode === 0x8b ? { register: reg, value } : undefined;
  }
  if (encoding.hasModrm && mod === 3 && prefixes === 0) {
    if (opcode === 0x89 && wide) return { register: rm, value: way.registers.get(reg) };
    if (opcode === 0x8b && wide) return { register: reg, value: way.registers.get(rm) };
    const zeroes = (opcode === 0x31 || opcode === 0x33) && reg === rm;
    if (zeroes) return { register: reg, value: { kind: 'number', number: 0 } };
  }
  if (opcode >= 0xb8 && opcode <= 0xbf && !wide && prefixes === 0 && !Number.isNaN(immediate)) {
    return { register: (opcode & 7) | ((rex & 1) << 3), value: { kind: 'number', number: immediate >>> 0 } };
  }
  return undefined;
}

const ARM64_ZERO = 31;

function arm64Assignment(code: Uint8Array, at: number, way: Way): Assignment | undefined {
  const word = (code[at]! | (code[at + 1]! << 8) | (code[at + 2]! << 16) | (code[at + 3]! << 24)) >>> 0;
  const register = word & 31;
  const from = (word >>> 5) & 31;
  // LDR (immediate), unsigned offset, of 64 and of 32 bits.
  if (word >>> 22 === 0b1111100101) return { register, value: load(way, from, ((word >>> 10) & 0xfff) * 8, 8) };
  if (word >>> 22 === 0b1011100101) return { register, value: load(way, from, ((word >>> 10) & 0xfff) * 4, 4) };
  // LDRB: of what a branch asks for.
  if (word >>> 22 === 0b0011100101) {
    load(way, from, (word >>> 10) & 0xfff, 1);
    return { register, value: undefined };
  }
  const shift = ((word >>> 21) & 3) * 16;
  const immediate = ((word >>> 5) & 0xffff) * 2 ** shift;
  // MOVZ and MOVK, of 32 and of 64 bits.
  if (((word >>> 23) & 0xff) === 0b10100101) return { register, value: { kind: 'number', number: immediate } };
  if (((word >>> 23) & 0xff) === 0b11100101) {
    const before = way.registers.get(register);
    if (before?.kind !== 'number' || shift > 16) return { register, value: undefined };
    const kept = shift === 0 ? before.number - (before.number % 0x10000) : before.number % 0x10000;
    return { register, value: { kind: 'number', number: kept + immediate } };
  }
  // MOV (register): ORR with the zero register and no shift.
  if ((word & 0x7fe0ffe0) >>> 0 === 0x2a0003e0) {
    const source = (word >>> 16) & 31;
    if (source === ARM64_ZERO) return { register, value: { kind: 'number', number: 0 } };
    return { register, value: word >>> 31 === 1 ? way.registers.get(source) : undefined };
  }
  return undefined;
}
