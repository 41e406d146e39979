/**
 * One machine instruction, as far as the planner asks: where control goes, what the kernel does with a probe on it, and
 * what it may change. A decoder that is not sure says more changes, never fewer. Registers are numbers: on x86-64 as
 * instructions encode them (rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8..r15), on arm64 x0..x30.
 */

export type Flow =
  | 'next'
  | 'branch'
  | 'jump'
  | 'indirect-jump'
  | 'call'
  | 'indirect-call'
  | 'return'
  /** Nothing comes after it: ud2 and the like. */
  | 'stop';

/** `emulated`: one trap. `single-step`: two. `refused`: the kernel does not accept a probe there, or would break it. */
export type StepCost = 'emulated' | 'single-step' | 'refused';

export interface Copy {
  readonly from: number;
  readonly to: number;
  /** All 64 bits; else only the lower 32 are the same. */
  readonly wide: boolean;
}

export interface Step {
  readonly lengthBytes: number;
  readonly flow: Flow;
  /** Of a direct branch, jump or call, counted from the function's first byte; NaN for the others. */
  readonly target: number;
  readonly cost: StepCost;
  /** It moves the stack pointer down by a push: run a second time, the function would not find its return address. */
  readonly push: boolean;
  /** May be written, one bit per register. A call's own effects are not in it. */
  readonly writes: number;
  /** May write memory other than what it pushes. */
  readonly stores: boolean;
  readonly copy: Copy | undefined;
  /** Added to the stack pointer, in bytes; NaN when that is not known. */
  readonly stackBytes: number;
  /** Defined: the stack pointer becomes the frame pointer plus this. */
  readonly stackFromFrame: number | undefined;
  /** Defined: the frame pointer becomes the stack pointer (before this instruction) plus this. */
  readonly frameFromStack: number | undefined;
}

/** undefined: not understood, cut off, or no instruction at all. Never throws. */
export type Decoder = (code: Uint8Array, at: number) => Step | undefined;

/** What differs between the machines. */
export interface Machine {
  readonly decode: Decoder;
  /** The frame pointer's register. */
  readonly frameRegister: number;
  /** By position, from the first. */
  readonly argumentRegisters: readonly number[];
  readonly resultRegister: number;
  /** Holds the return address at the entry; undefined: it lies where the stack pointer points. */
  readonly linkRegister: number | undefined;
}
