/** The status codes of gRPC (statuscodes.md of the protocol), spelled as gRPC for Go and its metrics spell them. */

/** By number. */
export const GRPC_CODES = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
] as const;

/** What a receiver takes a number for that is not in the table. */
const CODE_UNKNOWN = 2;

/** The number of a `grpc-status` of digits; what is none, or is not in the table, is code 2. */
export function grpcCode(bytes: Uint8Array, length: number): number {
  let code = 0;
  for (let at = 0; at < length; at++) {
    const digit = bytes[at]! - 0x30;
    if (digit < 0 || digit > 9) return CODE_UNKNOWN;
    code = code * 10 + digit;
  }
  return length > 0 && length <= 2 && code < GRPC_CODES.length ? code : CODE_UNKNOWN;
}
