/**
 * The one error class and the one table of its codes. What is an ordinary answer ("not mine", "no data", "not
 * supported here") is a value with a reason, never one of these. A message tells what happened, to what, and what to do.
 */

/** code -> exit status of the process when the error ends it (sysexits.h where it has a word for it). */
export const ERROR_CODES = {
  /** unknown flag, bad value, unreadable configuration */
  USAGE: 64,
  /** a malformed capture file or configuration file */
  BAD_INPUT: 65,
  /** this kernel, this user or this machine cannot run the agent */
  UNSUPPORTED: 2,
  /** the native addon or a BPF object is not built */
  NOT_BUILT: 2,
  /** the listening address cannot be used */
  LISTEN: 69,
  /** a BPF object was refused by the kernel */
  LOAD: 71,
  /** a probe could not be attached */
  ATTACH: 71,
  /** a BPF map could not be read or written */
  MAP: 71,
  /** a file or mapping could not be read */
  FILE: 74,
  /** not an ELF file, or one whose headers lie */
  BAD_ELF: 65,
  /** a defect of Plainsight */
  INTERNAL: 70,
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export class PlainsightError extends Error {
  readonly code: ErrorCode;
  /** The positive errno of the failed system call, where there was one. */
  readonly errno: number | undefined;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; errno?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'PlainsightError';
    this.code = code;
    this.errno = options.errno;
  }

  get exitCode(): number {
    return ERROR_CODES[this.code];
  }
}
