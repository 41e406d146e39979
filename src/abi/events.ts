/**
 * Generated from the BTF of the objects of bpf/ (bpf/events.h): field offsets and sizes in bytes from the start of the
 * record, numbers little-endian. Do not edit: change bpf/events.h, then run: npm run generate
 */

export const EVENT_KIND = {
  OPEN: 1,
  DATA: 2,
  END: 3,
  CLOSE: 4,
  EXEC: 5,
  EXIT: 6,
  TLS_SEEN: 7,
  BOUND: 8,
} as const;

export const DIRECTION = {
  INGRESS: 0,
  EGRESS: 1,
} as const;

export const SOURCE = {
  SOCKET: 0,
  SYSCALL: 1,
  TLS: 2,
} as const;

export const COUNTER = {
  LOST_RING: 0,
  LOST_MAP_FULL: 1,
  LOST_READ: 2,
  UNPAIRED_RETURN: 3,
  CAPTURED_BYTES: 4,
  CHUNKS_HTTP: 5,
  CHUNKS_TLS: 6,
  CHUNKS_OTHER: 7,
  CHUNKS_EXCLUDED: 8,
  CHUNKS_OPAQUE: 9,
  CHUNKS_INSIDE_TLS: 10,
  BOUND_NESTED: 11,
  NESTED_CONFLICT: 12,
  BOUND_RECORD: 13,
  RECORD_CONFLICT: 14,
  BOUND_OFFSET: 15,
  OFFSET_AGREED: 16,
  OFFSET_CONFLICT: 17,
  UNBOUND: 18,
  QUIC: 19,
  COUNT: 20,
} as const;

export const EVENT_HEADER = {
  sizeBytes: 32,
  size: 0,
  kind: 4,
  source: 6,
  timeNs: 8,
  pid: 16,
  tid: 20,
  connection: 24,
} as const;

export const OPEN_EVENT = {
  sizeBytes: 160,
  processStartNs: 32,
  cgroupId: 40,
  tls: 48,
  family: 56,
  localPort: 58,
  remotePort: 60,
  local: 64,
  localBytes: 16,
  remote: 80,
  remoteBytes: 16,
  comm: 96,
  commBytes: 16,
  executable: 112,
  executableBytes: 48,
} as const;

export const DATA_EVENT = {
  sizeBytes: 56,
  position: 32,
  length: 40,
  captured: 44,
  direction: 48,
  tail: 49,
} as const;

export const END_EVENT = {
  sizeBytes: 40,
  direction: 32,
} as const;

export const CLOSE_EVENT = {
  sizeBytes: 40,
  reset: 32,
} as const;

export const BOUND_EVENT = {
  sizeBytes: 72,
  family: 32,
  localPort: 34,
  remotePort: 36,
  local: 40,
  localBytes: 16,
  remote: 56,
  remoteBytes: 16,
} as const;

export const PROCESS_EVENT = {
  sizeBytes: 112,
  processStartNs: 32,
  cgroupId: 40,
  comm: 48,
  commBytes: 16,
  executable: 64,
  executableBytes: 48,
} as const;

export const TLS_PROCESS = {
  sizeBytes: 24,
  plaintext: 0,
  ciphertext: 8,
  known: 16,
} as const;

export const SETTINGS = {
  sizeBytes: 16,
  selfPid: 0,
  onlyPid: 4,
  captureBytes: 8,
  filterEpoch: 12,
} as const;
