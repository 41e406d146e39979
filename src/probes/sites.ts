/**
 * Chooses where in one function the probes go, from its control flow alone. An entry site lies in the run of
 * instructions that every call begins with, so all calls pass it, and once, since nothing jumps back there. Return sites
 * are such that each way to each return passes exactly one of them, with the result in a register that is known and not
 * changed any more. What is not proven is not chosen: the first instruction is left for the entry, the `ret` itself for
 * a return, and a reason when the returns cannot be covered.
 *
 * Two things are left out on purpose. No site is a call: where a kernel emulates a call it leaves the user's shadow stack
 * alone (branch_emulate_op() of arch/x86/kernel/uprobes.c, v6.6..v6.18; arm64 before v6.18), which ends a program that
 * has one at its next return. And no site is looked for in a called function: internal functions are shared by several
 * exported ones, are called with another convention, and return by tail calls (ssl_read_internal() of OpenSSL).
 *
 * So SSL_read_ex() and SSL_write_ex() of OpenSSL are single-stepped twice on x86-64, and there is nothing cheaper: they make
 * room on the stack, call the internal function, clamp its result with a conditional move and return. The call is the only
 * instruction that kernels emulate (a test holds that). An entry in the internal function would serve the exported ones
 * that share it, and BIO_f_ssl() too, which has no symbol: its returns could not be probed, and the call that its entry
 * left open would have the thread's later system calls taken for TLS. The return would stay a `ret`.
 */

import type { ControlFlow, FlowGap, Place } from './control-flow.ts';
import { canEncode } from './cookie.ts';
import type { Machine, Step, StepCost } from './step.ts';

/** Why the returns of a function cannot be covered by sites. */
export type ReturnGap = FlowGap | 'tail call' | 'no return' | 'too many returns' | 'return cannot be probed';

export interface ChosenSite {
  /** From the function's first byte. */
  readonly at: number;
  readonly cost: StepCost;
  /** Entry: of the fourth argument. Return: of the result. As the cookie has it: 0 is where the ABI puts it. */
  readonly register: number;
  readonly depthBytes: number;
}

export interface EntryNeeds {
  /** Positions of the arguments that must be in their registers; the fourth (3) may have moved. */
  readonly arguments: readonly number[];
  /** A uretprobe goes to the same place: the return address must be where the ABI has it. */
  readonly uretprobe: boolean;
  /** The site may say where the stack pointer and the fourth argument are. */
  readonly cookie: boolean;
}

const FOURTH = 3;
/** More sites for one return than this are not worth the one trap that they save. */
const MAX_SITES_PER_RETURN = 8;
/** Epilogues are a few instructions long. */
const MAX_STEPS_BACK = 64;
/** More are no function of a TLS library. */
const MAX_RETURN_SITES = 64;

/** undefined: no probe can be put into the function at all. */
export function chooseEntry(machine: Machine, flow: ControlFlow, needs: EntryNeeds): ChosenSite | undefined {
  const first = flow.places.get(0);
  if (!first || first.step.cost === 'refused') return undefined;
  const start: ChosenSite = { at: 0, cost: first.step.cost, register: 0, depthBytes: 0 };
  // Something comes back to the function's begin, and so passes all that follows.
  if (flow.targets.has(0)) return start;
  const fourth = machine.argumentRegisters[FOURTH]!;
  let wanted = 0;
  for (const position of needs.arguments) if (position !== FOURTH) wanted |= 1 << machine.argumentRegisters[position]!;
  const link = machine.linkRegister;
  if (needs.uretprobe && link !== undefined) wanted |= 1 << link;
  const wantsFourth = needs.arguments.includes(FOURTH);
  let holders = 1 << fourth;
  for (let place: Place | undefined = first; place; place = flow.places.get(place.at + place.step.lengthBytes)) {
    const { at, step, depthBytes } = place;
    if (flow.targets.has(at)) break;
    const register = !wantsFourth || (holders & (1 << fourth)) !== 0 ? 0 : lowest(holders);
    const deep = depthBytes !== 0 && (needs.uretprobe || !needs.cookie);
    const known = canEncode(register, depthBytes) && !deep && (register === 0 || needs.cookie);
    // With a gap something unseen might lead here again, but not to a push: the stack would not be even any more.
    if (known && isSite(step) && (flow.gap === '' || step.push || at === 0)) {
      return { at, cost: step.cost, register, depthBytes };
    }
    if (step.flow !== 'next') break;
    holders = afterwards(step, holders);
    if ((step.writes & wanted) !== 0 || (wantsFourth && holders === 0)) break;
  }
  return start;
}

/** Return sites, all after `entryAt`; or why there are none. */
export function chooseReturns(machine: Machine, flow: ControlFlow, entryAt: number): readonly ChosenSite[] | ReturnGap {
  if (flow.gap !== '') return flow.gap;
  if (flow.tailCalls.length > 0) return 'tail call';
  if (flow.returns.length === 0) return 'no return';
  const chosen: ChosenSite[] = [];
  for (const at of flow.returns) {
    const { step } = flow.places.get(at)!;
    if (step.cost === 'refused' || at <= entryAt) return 'return cannot be probed';
    const before = step.cost === 'emulated' ? undefined : new Cover(machine, flow, entryAt).of(at);
    // At the return itself the stack pointer is where it was at the entry.
    chosen.push(...(before ?? [{ at, cost: step.cost, register: 0, depthBytes: 0 }]));
    if (chosen.length > MAX_RETURN_SITES) return 'too many returns';
  }
  return chosen;
}

function isSite(step: Step): boolean {
  if (step.cost !== 'emulated') return false;
  return step.flow === 'next' || step.flow === 'branch' || step.flow === 'jump';
}

/** The registers that hold a value after a step, given those that held it before. */
function afterwards(step: Step, holders: number): number {
  const left = holders & ~step.writes;
  const { copy } = step;
  return copy?.wide && (holders & (1 << copy.from)) !== 0 ? left | (1 << copy.to) : left;
}

function lowest(bits: number): number {
  return bits === 0 ? -1 : 31 - Math.clz32(bits & -bits);
}

/**
 * Goes back from one return, along all ways that lead there, to the first emulated instruction on each. It gives up at
 * what might do more than end the function (calls, stores, a branch whose other way leaves too) and where the result is
 * made.
 */
class Cover {
  readonly #machine: Machine;
  readonly #flow: ControlFlow;
  readonly #entryAt: number;
  readonly #seen = new Set<number>();
  readonly #sites: ChosenSite[] = [];

  constructor(machine: Machine, flow: ControlFlow, entryAt: number) {
    this.#machine = machine;
    this.#flow = flow;
    this.#entryAt = entryAt;
  }

  of(returnAt: number): readonly ChosenSite[] | undefined {
    return this.#before(this.#flow.places.get(returnAt)!, this.#machine.resultRegister) ? this.#sites : undefined;
  }

  /** Is each way to a place covered, with the result in `register` when the place is reached? */
  #before(place: Place, register: number): boolean {
    if (this.#seen.has(place.at) || place.at === 0 || place.previous.length === 0) return false;
    if (this.#seen.size === MAX_STEPS_BACK) return false;
    this.#seen.add(place.at);
    return place.previous.every((at) => this.#through(this.#flow.places.get(at)!, place, register));
  }

  #through(place: Place, next: Place, register: number): boolean {
    const { at, step, depthBytes } = place;
    if (at <= this.#entryAt || step.stores) return false;
    if (step.flow === 'branch') {
      const others = place.next.filter((other) => other !== next.at);
      if (others.some((other) => this.#flow.places.get(other)?.leaves !== false)) return false;
    } else if (step.flow !== 'next' && step.flow !== 'jump') return false;
    const { copy } = step;
    const before = copy?.to === register ? copy.from : register;
    if (before === register && (step.writes & (1 << register)) !== 0) return false;
    if (!isSite(step)) return step.flow === 'next' && this.#before(place, before);
    const encoded = before === this.#machine.resultRegister ? 0 : before;
    if (!canEncode(encoded, depthBytes) || this.#sites.length === MAX_SITES_PER_RETURN) return false;
    this.#sites.push({ at, cost: step.cost, register: encoded, depthBytes });
    return true;
  }
}
