/**
 * The planner on whole libraries of this machine: each instruction of their code against another decoder (iced-x86), and
 * a plan for each function that they export.
 */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  Code,
  Decoder,
  FlowControl,
  Instruction,
  InstructionInfoFactory,
  OpAccess,
  Register,
  RegisterExt,
} from 'iced-x86';
import { type ElfFile, type ElfMachine, fileOffset, readElf } from '../../src/elf/elf-file.ts';
import { type FunctionSymbol, symbols } from '../../src/elf/symbols.ts';
import { followCode } from '../../src/probes/control-flow.ts';
import { decodeCookie } from '../../src/probes/cookie.ts';
import { planProbes } from '../../src/probes/plan.ts';
import type { Flow, Step } from '../../src/probes/step.ts';
import { decodeX64, x64 } from '../../src/probes/x64-decoder.ts';
import { checkPlan, randomNumbers } from './walk.ts';

interface Library {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly elf: ElfFile;
}

const FOLDERS = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64', '/usr/lib'];
const NAMES = ['libssl.so.3', 'libcrypto.so.3', 'libgnutls.so.30'];

const libraries: Library[] = NAMES.flatMap((name) => {
  const path = FOLDERS.map((folder) => `${folder}/${name}`).find((candidate) => existsSync(candidate));
  if (path === undefined) return [];
  const bytes = readFileSync(path);
  const elf = readElf(bytes);
  assert.ok(elf.supported);
  return [{ name, bytes, elf }];
});

test('of what SSL_read_ex() and SSL_write_ex() are made, kernels emulate calls alone: no site is cheaper than those chosen', (t) => {
  const libssl = libraries.find(({ name }) => name === 'libssl.so.3');
  if (libssl?.elf.machine !== 'x64') return t.skip('there is no libssl.so.3 of x86-64 here');
  const { elf, bytes } = libssl;
  const found = symbols(elf, bytes, new Set(['SSL_read_ex', 'SSL_write_ex']));
  assert.equal(found.size, 2);
  for (const [name, symbol] of found) {
    const code = bytes.subarray(symbol.fileOffset, symbol.fileOffset + symbol.sizeBytes);
    const flow = followCode(x64, code, symbol.sizeBytes);
    const emulated = [...flow.places.values()].filter(({ step }) => step.cost === 'emulated');
    // A tail call is a jump: OpenSSL 3.3 and later have SSL_write_ex() so.
    const kinds = new Set(emulated.map(({ step }) => step.flow));
    assert.ok(
      [...kinds].every((kind) => kind === 'call' || (kind === 'jump' && flow.tailCalls.length > 0)),
      name,
    );
  }
});

test('there are libraries to test with', () => {
  assert.notEqual(libraries.length, 0, `none of ${NAMES.join(', ')} is in ${FOLDERS.join(', ')}`);
});

const FLOWS: ReadonlyMap<FlowControl, Flow> = new Map([
  [FlowControl.Next, 'next'],
  [FlowControl.UnconditionalBranch, 'jump'],
  [FlowControl.IndirectBranch, 'indirect-jump'],
  [FlowControl.ConditionalBranch, 'branch'],
  [FlowControl.Return, 'return'],
  [FlowControl.Call, 'call'],
  [FlowControl.IndirectCall, 'indirect-call'],
  [FlowControl.Exception, 'stop'],
]);
const WRITING: ReadonlySet<OpAccess> = new Set([
  OpAccess.Write,
  OpAccess.CondWrite,
  OpAccess.ReadWrite,
  OpAccess.ReadCondWrite,
]);

/** What our decoder may say `undefined` to: no function that it is for has these, they are tables between the code. */
function isStrange(instruction: Instruction, first: number): boolean {
  const flow = instruction.flowControl;
  const far = flow === FlowControl.Return || flow === FlowControl.IndirectBranch || flow === FlowControl.IndirectCall;
  const system = flow === FlowControl.Call || flow === FlowControl.Interrupt || flow === FlowControl.XbeginXabortXend;
  const XOP = 0x8f;
  return far || system || first === XOP;
}

/** What is wrong with our reading of an instruction, '' when nothing is. */
function difference(step: Step, instruction: Instruction, factory: InstructionInfoFactory): string {
  if (step.lengthBytes !== instruction.length) return `length ${step.lengthBytes}, is ${instruction.length}`;
  const halts = instruction.code === Code.Hlt;
  const flow = halts ? 'stop' : FLOWS.get(instruction.flowControl);
  if (flow !== undefined && step.flow !== flow) return `flow ${step.flow}, is ${flow}`;
  const target = Number(BigInt.asIntN(64, instruction.nearBranchTarget));
  if (!Number.isNaN(step.target) && step.target !== target) return `target ${step.target}, is ${target}`;
  if (step.flow !== 'next' && step.flow !== 'branch') return '';
  const pushed = instruction.stackPointerIncrement;
  const info = factory.info(instruction);
  let writes = 0;
  let stores = false;
  for (const used of info.usedRegisters()) {
    const register = RegisterExt.fullRegister(used.register);
    const general = register >= Register.RAX && register <= Register.R15;
    if (general && WRITING.has(used.access)) writes |= 1 << (register - Register.RAX);
    used.free();
  }
  for (const used of info.usedMemory()) {
    if (WRITING.has(used.access) && !(used.base === Register.RSP && pushed < 0)) stores = true;
    used.free();
  }
  info.free();
  if ((writes & ~step.writes) !== 0) return `writes ${step.writes.toString(16)}, but does ${writes.toString(16)}`;
  if (stores && !step.stores) return 'no store, but it is one';
  if (Number.isNaN(step.stackBytes) || step.stackFromFrame !== undefined) return '';
  const moves = (writes & (1 << (Register.RSP - Register.RAX))) !== 0;
  if (pushed !== 0 && pushed !== step.stackBytes) return `stack ${step.stackBytes}, is ${pushed}`;
  return moves !== (step.stackBytes !== 0) ? `stack ${step.stackBytes}` : '';
}

for (const { name, bytes, elf } of libraries) {
  const foreign = elf.machine === 'x64' ? false : `${name} is of ${elf.machine}`;

  test(`${name}: every instruction reads the same as in another decoder`, { skip: foreign }, () => {
    const text = elf.sections.find((section) => section.name === '.text')!;
    const code = bytes.subarray(text.offset, text.offset + text.sizeBytes);
    const decoder = new Decoder(64, code, 0);
    const instruction = new Instruction();
    const factory = new InstructionInfoFactory();
    const wrong: string[] = [];
    let [count, strange] = [0, 0];
    while (decoder.canDecode && wrong.length < 20) {
      const at = decoder.position;
      decoder.decodeOut(instruction);
      if (instruction.isInvalid) continue;
      count++;
      const step = decodeX64(code, at);
      const why = step ? difference(step, instruction, factory) : isStrange(instruction, code[at]!) ? '' : 'unknown';
      if (!step) strange++;
      const hex = Buffer.from(code.subarray(at, at + 15)).toString('hex');
      if (why !== '') wrong.push(`${(text.address + at).toString(16)} ${hex}: ${why}`);
    }
    decoder.free();
    instruction.free();
    factory.free();
    assert.deepEqual(wrong, []);
    assert.ok(count > 50_000, `${count} instructions`);
    assert.ok(strange < count / 200, `${strange} of ${count} instructions are not understood`);
  });

  test(`${name}: every exported function is planned, and no walk through one finds the plan wrong`, () => {
    const functions = exportedFunctions(elf, bytes);
    assert.ok(functions.length > 100);
    let covered = 0;
    for (const symbol of functions) {
      const code = bytes.subarray(symbol.fileOffset, symbol.fileOffset + symbol.sizeBytes);
      // Counted from the function's first byte, as the walk does.
      const local = { ...symbol, fileOffset: 0 };
      for (const convention of ['n', 'ex'] as const) {
        const plan = planProbes({ machine: elf.machine, code }, local, { operation: 'read', convention });
        checkPlan(machineOf(elf.machine), code, plan, randomNumbers(symbol.address));
        for (const site of [...plan.entries, ...plan.returns]) assert.notEqual(decodeCookie(site.cookie), undefined);
        if (plan.uretprobeReason === '') covered++;
      }
    }
    assert.ok(covered > functions.length / 2, `${covered} plans of ${functions.length} functions have return sites`);
  });
}

function machineOf(machine: ElfMachine): 'x64' | 'arm64' {
  assert.ok(machine !== 'other');
  return machine;
}

function exportedFunctions(elf: ElfFile, bytes: Uint8Array): FunctionSymbol[] {
  const table = elf.sections.find((section) => section.type === 'dynsym')!;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: FunctionSymbol[] = [];
  for (let at = table.offset; at < table.offset + table.sizeBytes; at += 24) {
    const isFunction = (bytes[at + 4]! & 15) === 2;
    const address = Number(view.getBigUint64(at + 8, true));
    const offset = fileOffset(elf, address);
    if (!isFunction || view.getUint16(at + 6, true) === 0 || offset === undefined) continue;
    const sizeBytes = Number(view.getBigUint64(at + 16, true));
    found.push({ name: `f${address.toString(16)}`, address, sizeBytes, fileOffset: offset });
  }
  return found;
}
