/**
 * The 64-bit attach cookie: what the BPF programs must know of the site they were hit at. bpf/tls-call.h decodes the same:
 *
 * | bits   | what                                                                                                    |
 * |--------|---------------------------------------------------------------------------------------------------------|
 * | 0..1   | the operation                                                                                           |
 * | 2      | the `_ex` convention                                                                                    |
 * | 3      | a return site that is a uretprobe: on x86-64 the stack pointer is 8 above its value at the entry        |
 * | 4..7   | return site: the register that holds the result (0: the ABI's, which is register 0 on both machines);   |
 * |        | entry site: the register that holds the fourth argument (0: the ABI's)                                  |
 * | 8..19  | how far the stack pointer is below its value at the function's entry, in units of 8 bytes; bit 3: 0     |
 * | 20..27 | return site: where an SSL object has its BIO for reading, in units of 8 bytes, with that for writing behind it; |
 * |        | 0: the layout is not known, and the bits that follow are 0                                              |
 * | 28     | 1: the object is a TLS connection only if its first 32 bits are 0                                       |
 * | 29..30 | where a BIO has its method, in units of 8 bytes; the method begins with its type                        |
 * | 31..38 | where a socket BIO has its descriptor, in units of 4 bytes                                              |
 * | 39..63 | 0                                                                                                       |
 *
 * So `stack pointer + 8 * bits 8..19` (with bit 3 on x86-64: `stack pointer - 8`) is the stack pointer at the entry, and
 * the same at the entry site and at the return site of one call. Registers are numbered as instructions encode them: rax,
 * rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8..r15; x0..x15.
 */

/** By their number in the cookie. */
export const PROBE_OPERATIONS = ['read', 'write', 'free', 'shutdown'] as const;
export type ProbeOperation = (typeof PROBE_OPERATIONS)[number];

/** `n`: f(ctx, buffer, n) returns the byte count. `ex`: the count is behind the 4th argument, success returns 1. */
export type CallConvention = 'n' | 'ex';

/** Where the descriptor of a TLS connection's socket is; all in bytes. */
export interface SocketFields {
  readonly sslReadBio: number;
  readonly sslWriteBio: number;
  /** undefined: every SSL object is a TLS connection. */
  readonly sslKind: number | undefined;
  readonly bioMethod: number;
  readonly methodType: number;
  readonly bioNumber: number;
}

export interface Cookie {
  readonly operation: ProbeOperation;
  readonly convention: CallConvention;
  readonly uretprobe: boolean;
  /** 0..15; 0: where the ABI has it. */
  readonly register: number;
  /** 0..MAX_DEPTH_BYTES, a multiple of 8. */
  readonly depthBytes: number;
}

const OPERATION_MASK = 0x3;
const EX_BIT = 0x4;
const URETPROBE_BIT = 0x8;
const REGISTER_SHIFT = 4;
const REGISTER_MASK = 0xf;
const DEPTH_SHIFT = 8;
const DEPTH_MASK = 0xfff;
const DEPTH_UNIT_BYTES = 8;
const CALL_BITS = 0xfffffn;
const SSL_BIO_SHIFT = 20;
const SSL_BIO_MASK = 0xff;
const SSL_KIND_SHIFT = 28;
const BIO_METHOD_SHIFT = 29;
const BIO_METHOD_MASK = 3;
const BIO_NUMBER_SHIFT = 31;
const BIO_NUMBER_MASK = 0xff;

export const MAX_REGISTER = REGISTER_MASK;
export const MAX_DEPTH_BYTES = DEPTH_MASK * DEPTH_UNIT_BYTES;

export function canEncode(register: number, depthBytes: number): boolean {
  return (
    register >= 0 &&
    register <= MAX_REGISTER &&
    depthBytes >= 0 &&
    depthBytes <= MAX_DEPTH_BYTES &&
    depthBytes % DEPTH_UNIT_BYTES === 0
  );
}

/** @throws RangeError for what canEncode() refuses. */
export function encodeCookie(cookie: Cookie): bigint {
  const { operation, convention, uretprobe, register, depthBytes } = cookie;
  if (!canEncode(register, depthBytes))
    throw new RangeError(`no cookie has register ${register} and depth ${depthBytes}`);
  return BigInt(
    PROBE_OPERATIONS.indexOf(operation) |
      (convention === 'ex' ? EX_BIT : 0) |
      (uretprobe ? URETPROBE_BIT : 0) |
      (register << REGISTER_SHIFT) |
      ((depthBytes / DEPTH_UNIT_BYTES) << DEPTH_SHIFT),
  );
}

/** Bits to add to a cookie of a return site; 0 for a layout that does not fit into them. */
export function encodeSocketFields(fields: SocketFields): bigint {
  const { sslReadBio, sslWriteBio, sslKind, bioMethod, methodType, bioNumber } = fields;
  const ssl = sslReadBio / 8;
  const method = bioMethod / 8;
  const number = bioNumber / 4;
  const fits =
    isWithin(ssl, SSL_BIO_MASK) && ssl > 0 && isWithin(method, BIO_METHOD_MASK) && isWithin(number, BIO_NUMBER_MASK);
  if (!fits || sslWriteBio !== sslReadBio + 8 || (sslKind ?? 0) !== 0 || methodType !== 0) return 0n;
  return (
    (BigInt(ssl) << BigInt(SSL_BIO_SHIFT)) |
    ((sslKind === undefined ? 0n : 1n) << BigInt(SSL_KIND_SHIFT)) |
    (BigInt(method) << BigInt(BIO_METHOD_SHIFT)) |
    (BigInt(number) << BigInt(BIO_NUMBER_SHIFT))
  );
}

function isWithin(value: number, mask: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= mask;
}

/** undefined for a value that encodeCookie() never gives. */
export function decodeCookie(value: bigint): Cookie | undefined {
  if (value < 0n || value > CALL_BITS) return undefined;
  const word = Number(value);
  return {
    operation: PROBE_OPERATIONS[word & OPERATION_MASK]!,
    convention: (word & EX_BIT) === 0 ? 'n' : 'ex',
    uretprobe: (word & URETPROBE_BIT) !== 0,
    register: (word >> REGISTER_SHIFT) & REGISTER_MASK,
    depthBytes: ((word >> DEPTH_SHIFT) & DEPTH_MASK) * DEPTH_UNIT_BYTES,
  };
}
