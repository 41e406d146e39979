/**
 * What the reference of metrics says beyond what the families say of themselves: when one is absent, which buckets it has,
 * what its labels mean, and what a missing feature costs. By patterns where it can be, so that a new family of a known kind
 * needs no line here.
 */

interface Note {
  readonly pattern: RegExp;
  readonly text: string;
}

/** The first that fits holds. */
const ABSENT: readonly Note[] = [
  { pattern: /^grpc_/, text: 'Until a gRPC call of that kind has ended.' },
  { pattern: /^http_stream_/, text: 'Until a stream has ended.' },
  { pattern: /^http_requests_incomplete_/, text: 'While every request that was seen could be measured.' },
  { pattern: /^http_client_/, text: 'Until a process has sent a request and had its response.' },
  { pattern: /^http_/, text: 'Until a process has received a request and answered it.' },
  {
    pattern: /^(node_)?tcp_/,
    text: 'Where the TCP programs are off (`plainsight_feature_enabled{feature="tcp"}`); else until there is one to count.',
  },
  { pattern: /^traces_service_graph_/, text: 'Until a request between two ends that have a name.' },
  { pattern: /^plainsight_kubernetes_/, text: 'Where the agent has no view of a cluster.' },
  { pattern: /^plainsight_tls_(plaintext|ciphertext)_/, text: 'Until a process has moved bytes by TLS.' },
  { pattern: /^plainsight_tls_processes$/, text: 'While no process maps a TLS library that is known, or speaks TLS.' },
  { pattern: /^plainsight_(series|events|feature|connections|socket)/, text: 'Never, while the agent runs.' },
];

const BY_PRESENCE = {
  always: 'Never, while the agent runs.',
  quiet: 'While there is nothing to say.',
  observed: 'Until something was observed.',
} as const;

/** When a scrape has no sample of the family. */
export function absentWhen(name: string, presence: keyof typeof BY_PRESENCE): string {
  return ABSENT.find(({ pattern }) => pattern.test(name))?.text ?? BY_PRESENCE[presence];
}

/** Of a histogram. */
export function bucketsOf(name: string): string {
  return /^tcp_/.test(name) ? 'fixed, finer than those of requests' : 'those of `--buckets`';
}

/** Label -> what its values are. */
export const LABEL_MEANINGS: Readonly<Record<string, string>> = {
  namespace: "Kubernetes namespace of the traced process' pod; empty outside of Kubernetes.",
  pod: 'Its pod; empty outside of Kubernetes.',
  container:
    'Its container; empty outside of Kubernetes. `_overflow` in the overflow series of families without `service`.',
  service:
    "Its service; outside of Kubernetes the systemd unit or else the executable's file name. `_overflow` in the overflow series.",
  method:
    'HTTP method: a registered one, else `OTHER`; `unknown` when the agent came in between. Of `plainsight_socket_binding_total`: how the socket was found (`nested`, `record`, `offset`, `unknown`).',
  status: 'HTTP status, `100` to `599`; `unknown` when the agent came in between.',
  scheme: '`http` or `https`.',
  role: '`server`: the traced process received the request, or accepted the connection. `client`: it sent or opened it. `unknown`: not known.',
  kind: "Of streams: `sse`, `websocket`, `grpc`, `connect`. Of the agent's own families: what is counted.",
  reason: 'From a closed set for each family: see below and [troubleshooting](troubleshooting.md).',
  state: '`attached`, `pending`, `unsupported` or `failed`.',
  library: 'TLS library, as in the registry of `src/tls/`; empty where none was found.',
  stage: 'Where the event was lost: see below.',
  grpc_service:
    '`package.Service` of the call; `other`: the path names none, or there are too many; `unknown` mid-stream.',
  grpc_method: 'As `grpc_service`.',
  grpc_code: '`OK`, `Canceled`, ...; `unknown`: no status was seen.',
  feature: 'A part of the agent that this kernel may lack: see [kernels](kernels.md).',
  metric: 'Name of the family whose series are counted.',
  version: 'Version of the agent.',
  kernel: 'Release of the running kernel.',
  arch: 'As Node.js names it: `x64`, `arm64`.',
  result: '`bound`, `agreed`, `conflict` or `unbound`.',
  resource: 'Kind of object of the API server.',
  dest_namespace: 'Namespace of the other end.',
  dest_service: 'Service of the other end.',
  dest_port: 'Port of the serving side, whichever side is traced.',
  client: 'Service that sent the requests.',
  client_namespace: 'Its namespace.',
  server: 'Service that received them.',
  server_namespace: 'Its namespace.',
  connection_type: 'As the service graph of Grafana reads it.',
};

/** Feature -> what it needs, and what its absence costs. docs/kernels.md shows those that src/programs.ts has. */
export const FEATURE_NOTES: Readonly<Record<string, readonly [needs: string, without: string]>> = {
  socket: [
    '6.3: the tracepoints `sock_send_length` and `sock_recv_length`',
    'unencrypted HTTP is read at the exits of system calls (`syscall`) instead: every system call of every process is slower, by 105 to 130 ns (6.18, one run)',
  ],
  unix: ['6.3, where `socket` works', 'HTTP over Unix sockets is not seen'],
  syscall: [
    '5.8',
    "`not_needed` where `socket` works. If both are off, unencrypted HTTP is not seen, and the peer of a TLS connection only where the library's own structures tell it",
  ],
  tls: ['5.8', 'no HTTPS'],
  gotls: ['5.15 (it needs `attach_cookie`)', 'no HTTPS of Go programs'],
  process: [
    '5.8',
    'processes are found by looking at all of them every few seconds; those that live shorter are missed',
  ],
  uprobe_multi: ['6.6', 'a perf event for each probe site: `CAP_SYS_ADMIN` is needed'],
  attach_cookie: ['5.15', 'one program for each kind of function; returns are seen by uretprobe only; no Go'],
  uretprobe: [
    'a kernel where it is safe',
    'functions whose exits cannot be probed are not probed: `returns cannot be covered`',
  ],
  tcp: ['5.9', 'no metrics of TCP connections; edges of the service graph come from requests only'],
  cgroup: ['5.8', 'containers that start are found a little later, by their processes'],
  kubernetes: ['a Kubernetes API server', 'labels of pods are empty, and namespaces cannot be chosen'],
};
