/**
 * Where the probes of a Go function go. Its arguments are in the registers of Go's own convention (src/cmd/compile/abi-internal.md
 * at go1.27.3; amd64 since 1.17, arm64 since 1.18), and its stack moves: no return address may be rewritten, so there is
 * never a uretprobe. All sites have the stack pointer where it is at the entry.
 *
 * Entry: a function begins with the check of its stack (cmd/internal/obj/x86/obj6.go and arm64/obj7.go, stacksplit), a
 * conditional branch that the kernel emulates, and then, since 1.21 on amd64, a push. The push is taken where there is
 * one: every call passes it once. Else the branch: when the stack has to grow, the call begins again with the same
 * arguments, and the branch is passed twice (`repeats`). Else the first instruction.
 *
 * Returns: each `ret`, found by reading the code from begin to end rather than by following it: after a recovered panic
 * a function goes on where no jump leads (the call of runtime.deferreturn). A function that ends in a jump to another one
 * is refused. Pure: no bytes make it throw.
 */

import type { FunctionSymbol } from '../elf/symbols.ts';
import { arm64 } from './arm64-decoder.ts';
import type { CodeView, CostClass } from './plan.ts';
import type { Step } from './step.ts';
import { x64 } from './x64-decoder.ts';

export interface GoSite {
  /** In the file. */
  readonly offset: number;
  readonly kind: 'entry' | 'return';
  readonly costClass: CostClass;
  /** An entry that is passed again when the stack grows, before anything of the function has run. */
  readonly repeats: boolean;
}

export type GoPlanReason =
  | ''
  | 'other machine'
  | 'function cannot be probed'
  | 'code not understood'
  | 'tail call'
  | 'no return'
  | 'too many returns';

export interface GoPlan {
  readonly entries: readonly GoSite[];
  readonly returns: readonly GoSite[];
  /** '' when all that was asked for is there; else there is no site. */
  readonly reason: GoPlanReason;
}

/** How planGoFunction() is passed to those who may not import it. */
export type GoPlanner = (view: CodeView, fn: FunctionSymbol, returns: boolean) => GoPlan;

interface GoMachine {
  readonly decode: (code: Uint8Array, at: number) => Step | undefined;
  /** Of a method's receiver, and of pointer and length of its first slice; as the decoder numbers them. */
  readonly argumentRegisters: readonly number[];
  /** Holds the running goroutine. */
  readonly goroutineRegister: number;
  /** Between functions (cmd/link/internal/{amd64,arm64}, CodePad). */
  readonly padding: number;
}

/** rax, rbx, rcx and r14; x0, x1, x2 and x28. */
const MACHINES: Readonly<Record<string, GoMachine>> = {
  x64: { decode: x64.decode, argumentRegisters: [0, 3, 1], goroutineRegister: 14, padding: 0xcc },
  arm64: { decode: arm64.decode, argumentRegisters: [0, 1, 2], goroutineRegister: 28, padding: 0 },
};

/** Read and Write have 2 KB; a function of a megabyte is none of theirs. */
const MAX_CODE_BYTES = 64 * 1024;
const MAX_RETURNS = 64;
/** The stack check and the push are at most six instructions. */
const MAX_PROLOGUE_STEPS = 8;

/** @param returns Are the returns wanted too? */
export function planGoFunction({ machine: name, code }: CodeView, fn: FunctionSymbol, returns: boolean): GoPlan {
  const machine = MACHINES[name];
  if (!machine) return none('other machine');
  const sizeBytes = fn.sizeBytes;
  if (!code || sizeBytes <= 0 || sizeBytes > code.length || sizeBytes > MAX_CODE_BYTES)
    return none('function cannot be probed');
  const steps = readCode(machine, code.subarray(0, sizeBytes));
  if (!steps) return none('code not understood');
  const entry = chooseEntry(machine, steps);
  if (!entry) return none('function cannot be probed');
  const site = (at: number, kind: GoSite['kind'], repeats: boolean): GoSite => ({
    offset: fn.fileOffset + at,
    kind,
    costClass: steps.get(at)!.cost === 'emulated' ? 'emulated' : 'single-step',
    repeats,
  });
  const entries = [site(entry.at, 'entry', entry.repeats)];
  if (!returns) return { entries, returns: [], reason: '' };
  const found: GoSite[] = [];
  for (const [at, step] of steps) {
    const leaves = (step.flow === 'jump' || step.flow === 'branch') && (step.target < 0 || step.target >= sizeBytes);
    if (leaves) return none('tail call');
    if (step.flow !== 'return') continue;
    if (step.cost === 'refused') return none('function cannot be probed');
    found.push(site(at, 'return', false));
    if (found.length > MAX_RETURNS) return none('too many returns');
  }
  return found.length === 0 ? none('no return') : { entries, returns: found, reason: '' };
}

function none(reason: GoPlanReason): GoPlan {
  return { entries: [], returns: [], reason };
}

/** Every instruction by its offset; undefined when something is none. Go puts no data between its instructions. */
function readCode(machine: GoMachine, code: Uint8Array): Map<number, Step> | undefined {
  const steps = new Map<number, Step>();
  let end = code.length;
  while (end > 0 && code[end - 1] === machine.padding) end--;
  for (let at = 0; at < end; ) {
    const step = machine.decode(code, at);
    if (!step) return undefined;
    steps.set(at, step);
    at += step.lengthBytes;
  }
  return steps;
}

function chooseEntry(
  machine: GoMachine,
  steps: ReadonlyMap<number, Step>,
): { at: number; repeats: boolean } | undefined {
  const first = steps.get(0);
  if (!first || first.cost === 'refused') return undefined;
  const targets = new Set([...steps.values()].map(({ target }) => target));
  let kept = 1 << machine.goroutineRegister;
  for (const register of machine.argumentRegisters) kept |= 1 << register;
  // The first instruction, too, is passed again: that is where the call begins anew.
  let best = { at: 0, repeats: targets.has(0) };
  let at = 0;
  for (let i = 0; i < MAX_PROLOGUE_STEPS; i++) {
    const step = steps.get(at);
    if (!step || (at > 0 && targets.has(at))) break;
    if (step.cost === 'emulated' && step.push) return { at, repeats: at === 0 && targets.has(0) };
    if (step.cost === 'emulated' && step.flow === 'branch' && best.at === 0) best = { at, repeats: targets.has(0) };
    const moved = step.stackBytes !== 0 || step.stackFromFrame !== undefined;
    if ((step.flow !== 'next' && step.flow !== 'branch') || (step.writes & kept) !== 0 || moved) break;
    at += step.lengthBytes;
  }
  return best;
}
