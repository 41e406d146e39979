/**
 * Plans the probes of one function of a TLS library: where each goes, what it costs there, and what its cookie says.
 * The entry site is the cheapest place that every call passes with its arguments still in their registers; the returns
 * are probed inside the function where sites cover them all, else by a uretprobe. Pure: bytes in, sites out, and no bytes
 * make it throw. It is not for Go, whose arguments and stacks are others.
 */

import type { ElfMachine } from '../elf/elf-file.ts';
import type { FunctionSymbol } from '../elf/symbols.ts';
import { arm64 } from './arm64-decoder.ts';
import { type ControlFlow, followCode } from './control-flow.ts';
import { type CallConvention, encodeCookie, type ProbeOperation } from './cookie.ts';
import { type ChosenSite, chooseEntry, chooseReturns, type ReturnGap } from './sites.ts';
import type { Machine } from './step.ts';
import { x64 } from './x64-decoder.ts';

/** `emulated`: one trap. `single-step`: two traps. `uretprobe`: one more, and a rewritten return address. */
export type CostClass = 'emulated' | 'single-step' | 'uretprobe';

export interface Site {
  /** In the file. */
  readonly offset: number;
  readonly kind: 'entry' | 'return';
  readonly method: 'uprobe' | 'uretprobe';
  readonly costClass: CostClass;
  /** What the BPF program finds as its attach cookie there. */
  readonly cookie: bigint;
}

export interface CallSignature {
  readonly operation: ProbeOperation;
  readonly convention: CallConvention;
}

/** `complete`: all that the operation needs. `none`: no site, for `reason`. */
export type PlanVerdict = 'complete' | 'none';
export type PlanReason = '' | 'other machine' | 'function cannot be probed' | 'returns cannot be covered';
/** Why returns are not probed inside the function. '': they are, or there is nothing to wait for. */
export type UretprobeReason = '' | ReturnGap | 'asked for' | 'no attach cookie';

export interface ProbePlan {
  readonly entries: readonly Site[];
  readonly returns: readonly Site[];
  readonly verdict: PlanVerdict;
  /** '' for a complete plan. */
  readonly reason: PlanReason;
  readonly uretprobeReason: UretprobeReason;
}

export interface CodeView {
  readonly machine: ElfMachine;
  /**
   * The function's code from its first byte to its end, or as much of it as there is. Without it the probes go to the
   * first instruction, which counts as single-stepped.
   */
  readonly code?: Uint8Array;
}

/** `auto`: sites where they cover all returns, else a uretprobe. `sites`: never a uretprobe. `uretprobe`: always. */
export type ReturnProbe = 'auto' | 'sites' | 'uretprobe';

export interface PlanOptions {
  readonly returnProbe: ReturnProbe;
  /** Can the kernel attach cookies? Else a site can only be what its program is, so returns are uretprobes. */
  readonly attachCookie: boolean;
}

export const DEFAULT_PLAN_OPTIONS: PlanOptions = { returnProbe: 'auto', attachCookie: true };

/** How much of a function is looked at: far more than one that reads or writes has. */
const MAX_CODE_BYTES = 16 * 1024;

const MACHINES: Readonly<Record<ElfMachine, Machine | undefined>> = { x64, arm64, other: undefined };
const NO_CODE = new Uint8Array();

/** What is known when the call begins is enough: there is no result to wait for. */
export function isEntryOnly(operation: ProbeOperation): boolean {
  return operation === 'free' || operation === 'shutdown';
}

/** How planProbes() is passed to those who may not import it. */
export type ProbePlanner = (view: CodeView, fn: FunctionSymbol, signature: CallSignature) => ProbePlan;

export function planProbes(
  view: CodeView,
  fn: FunctionSymbol,
  signature: CallSignature,
  options: PlanOptions = DEFAULT_PLAN_OPTIONS,
): ProbePlan {
  const machine = MACHINES[view.machine];
  if (!machine) return none('other machine', '');
  const code = (view.code ?? NO_CODE).subarray(0, MAX_CODE_BYTES);
  const flow = followCode(machine, code, fn.sizeBytes);
  const plan = new Plan(machine, flow, view.code !== undefined, fn.fileOffset, signature, options.attachCookie);
  if (isEntryOnly(signature.operation)) return plan.entryOnly();
  const gap = options.returnProbe === 'uretprobe' ? 'asked for' : plan.withSites();
  if (typeof gap !== 'string') return gap;
  return options.returnProbe === 'sites' ? none('returns cannot be covered', gap) : plan.withUretprobe(gap);
}

function none(reason: PlanReason, uretprobeReason: UretprobeReason): ProbePlan {
  return { entries: [], returns: [], verdict: 'none', reason, uretprobeReason };
}

class Plan {
  readonly #machine: Machine;
  readonly #flow: ControlFlow;
  readonly #hasCode: boolean;
  readonly #offset: number;
  readonly #signature: CallSignature;
  readonly #attachCookie: boolean;

  constructor(
    machine: Machine,
    flow: ControlFlow,
    hasCode: boolean,
    offset: number,
    signature: CallSignature,
    attachCookie: boolean,
  ) {
    this.#machine = machine;
    this.#flow = flow;
    this.#hasCode = hasCode;
    this.#offset = offset;
    this.#signature = signature;
    this.#attachCookie = attachCookie;
  }

  entryOnly(): ProbePlan {
    const entry = this.#entry(false);
    return entry ? this.#complete(entry, [], '') : none('function cannot be probed', '');
  }

  /** The plan, or why it takes a uretprobe. */
  withSites(): ProbePlan | UretprobeReason {
    if (!this.#attachCookie) return 'no attach cookie';
    if (!this.#hasCode) return 'code not read';
    const entry = this.#entry(false);
    if (!entry) return none('function cannot be probed', '');
    const returns = chooseReturns(this.#machine, this.#flow, entry.at);
    if (typeof returns === 'string') return returns;
    return this.#complete(
      entry,
      returns.map((site) => this.#site('return', site)),
      '',
    );
  }

  /** Both at one instruction, which then traps once for the two. */
  withUretprobe(why: UretprobeReason): ProbePlan {
    const entry = this.#entry(true);
    if (!entry) return none('function cannot be probed', '');
    const back: Site = {
      offset: this.#offset + entry.at,
      kind: 'return',
      method: 'uretprobe',
      costClass: 'uretprobe',
      cookie: encodeCookie({ ...this.#signature, uretprobe: true, register: 0, depthBytes: 0 }),
    };
    return this.#complete(entry, [back], why);
  }

  #entry(uretprobe: boolean): ChosenSite | undefined {
    if (!this.#hasCode) return { at: 0, cost: 'single-step', register: 0, depthBytes: 0 };
    const { operation, convention } = this.#signature;
    const needed = isEntryOnly(operation) ? [0] : convention === 'ex' ? [0, 1, 3] : [0, 1];
    return chooseEntry(this.#machine, this.#flow, { arguments: needed, uretprobe, cookie: this.#attachCookie });
  }

  #complete(entry: ChosenSite, returns: readonly Site[], uretprobeReason: UretprobeReason): ProbePlan {
    return { entries: [this.#site('entry', entry)], returns, verdict: 'complete', reason: '', uretprobeReason };
  }

  #site(kind: Site['kind'], { at, cost, register, depthBytes }: ChosenSite): Site {
    const { operation, convention } = this.#signature;
    return {
      offset: this.#offset + at,
      kind,
      method: 'uprobe',
      costClass: cost === 'emulated' ? 'emulated' : 'single-step',
      cookie: encodeCookie({ operation, convention, uretprobe: false, register, depthBytes }),
    };
  }
}
