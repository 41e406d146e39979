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
  CGROUP_MADE: 9,
  CGROUP_GONE: 10,
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

export const SCOPE = {
  UNLIMITED: 0,
  IN: 1,
  OUT: 2,
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
  TCP_OVERFLOW: 18,
  TCP_UNTRACKED: 19,
  LOST_FRAMES: 20,
  QUIC: 21,
  COUNT: 22,
} as const;

export const ROLE = {
  CLIENT: 0,
  SERVER: 1,
} as const;

export const FAILURE = {
  REFUSED: 0,
  TIMEOUT: 1,
  UNREACHABLE: 2,
  RESET: 3,
  ABORTED: 4,
  ERROR: 5,
  COUNT: 6,
} as const;

export const HELD = {
  LISTENERS: 0,
  CLIENTS: 1,
  SERVERS: 2,
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
  pieces: 50,
  slots: 51,
} as const;

export const PIECE = {
  sizeBytes: 8,
  length: 0,
  captured: 4,
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

export const CGROUP_EVENT = {
  sizeBytes: 552,
  cgroupId: 32,
  path: 40,
  pathBytes: 512,
} as const;

export const SETTINGS = {
  sizeBytes: 24,
  selfPid: 0,
  onlyPid: 4,
  captureBytes: 8,
  filterEpoch: 12,
  scope: 16,
} as const;

export const OWNER = {
  sizeBytes: 72,
  cgroupId: 0,
  executable: 8,
  executableBytes: 48,
  processStartNs: 56,
  pid: 64,
} as const;

export const FLOW_KEY = {
  sizeBytes: 40,
  owner: 0,
  peerOwner: 8,
  peer: 16,
  peerBytes: 16,
  port: 32,
  role: 34,
} as const;

export const FLOW = {
  sizeBytes: 248,
  opened: 0,
  failed: 8,
  failedBytes: 48,
  retransmits: 56,
  sent: 64,
  received: 72,
  connectUs: 80,
  rttUs: 88,
  openScan: 96,
  openCount: 104,
  connect: 112,
  connectBytes: 68,
  rtt: 180,
  rttBytes: 68,
} as const;

export const TCP_TUPLE = {
  sizeBytes: 40,
  client: 0,
  clientBytes: 16,
  server: 16,
  serverBytes: 16,
  clientPort: 32,
  serverPort: 34,
  netns: 36,
} as const;

export const TCP_ENDPOINT = {
  sizeBytes: 24,
  address: 0,
  addressBytes: 16,
  port: 16,
  netns: 20,
} as const;

export const TCP_PROCESS = {
  sizeBytes: 16,
  owner: 0,
  pid: 8,
  self: 12,
} as const;

export const TCP_SCAN = {
  sizeBytes: 16,
  number: 0,
  sample: 8,
  held: 12,
} as const;
