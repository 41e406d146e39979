/**
 * The method that the :path of a gRPC call names: `/` service `/` method (the gRPC over HTTP/2 protocol). Only names of
 * letters, digits, `_` and `.` of limited length are taken: whatever else a client sends stays out of the labels.
 */

export interface GrpcMethodName {
  readonly service: string;
  readonly method: string;
}

/** Longest service, longest method. */
export const MAX_NAME_BYTES = 128;
export const MAX_GRPC_PATH_BYTES = 2 * MAX_NAME_BYTES + 2;
/** Names that are kept for good; what comes beyond is built anew each time. */
const MAX_INTERNED = 4096;

const SLASH = 0x2f;
const DOT = 0x2e;
const UNDERSCORE = 0x5f;

/** The path names no method of that form. */
export const OTHER_GRPC_METHOD: GrpcMethodName = { service: 'other', method: 'other' };
/** The path was not seen. */
export const UNKNOWN_GRPC_METHOD: GrpcMethodName = { service: 'unknown', method: 'unknown' };

const interned = new Map<string, GrpcMethodName>();

function isNameByte(c: number): boolean {
  return (
    (c >= 0x61 && c <= 0x7a) || (c >= 0x41 && c <= 0x5a) || (c >= 0x30 && c <= 0x39) || c === UNDERSCORE || c === DOT
  );
}

/** Is `bytes[0, length)` such a path? */
export function isGrpcPath(bytes: Uint8Array, length: number): boolean {
  if (length < 4 || length > MAX_GRPC_PATH_BYTES || bytes[0] !== SLASH) return false;
  let slash = 0;
  for (let at = 1; at < length; at++) {
    const c = bytes[at]!;
    if (c === SLASH) {
      if (slash > 0) return false;
      slash = at;
    } else if (!isNameByte(c)) {
      return false;
    }
  }
  const service = slash - 1;
  const method = length - slash - 1;
  return service >= 1 && service <= MAX_NAME_BYTES && method >= 1 && method <= MAX_NAME_BYTES;
}

/** Of a path for which isGrpcPath() said yes. */
export function grpcMethodName(path: string): GrpcMethodName {
  const known = interned.get(path);
  if (known !== undefined) return known;
  const slash = path.indexOf('/', 1);
  const name = { service: path.slice(1, slash), method: path.slice(slash + 1) };
  if (interned.size < MAX_INTERNED) interned.set(path, name);
  return name;
}
