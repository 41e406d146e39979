/**
 * What is known of connections beyond their requests: the parts behind the TCP metrics, the service graph and /api/graph,
 * put together. Where the TCP programs are off, requests still give edges, to peers named by the ends that are traced.
 */

import { COUNTER } from './abi/events.ts';
import type { Config } from './config.ts';
import { Edges } from './graph/edges.ts';
import { RequestEdges, type Tuple } from './graph/requests.ts';
import type { Log } from './log.ts';
import type { WorkloadFamily } from './metrics/series.ts';
import { serviceGraphFamilies } from './metrics/service-graph.ts';
import { TcpMetrics } from './metrics/tcp.ts';
import type { BpfObject } from './native.ts';
import type { OwnerHint } from './process/process-table.ts';
import type { Owner, Peer, PeerResolver, TransactionSink } from './stream/contract.ts';
import { addressBytes, isLoopback, splitEndpoint } from './tcp/address.ts';
import { FAILURE_REASONS, type FlowChange, type FlowNames, FlowTable, TIME_BOUNDS_SECONDS } from './tcp/flow-table.ts';
import { LocalPeers, netnsOf } from './tcp/local-peers.ts';
import { TcpOwners } from './tcp/owners.ts';

/** Round-trip times of open connections are observed this often. */
const SAMPLE_MS = 10_000;
/** Addresses of this node and of DNS names. */
const PEERS_MS = 60_000;
const UNKNOWN: Peer = { namespace: '', service: 'unknown', kind: 'external' };

export interface TopologyOptions {
  readonly config: Config;
  readonly log: Log;
  readonly ownerOf: (pid: number, hint: OwnerHint) => Owner;
  /** The owner with the labels that hold now; undefined: nothing about it may be counted. */
  readonly counted?: (owner: Owner) => Owner | undefined;
  /** Knows more of addresses than this node's sockets do. */
  readonly peers?: PeerResolver;
}

export class Topology {
  readonly families: readonly WorkloadFamily[];
  readonly requests: TransactionSink;
  readonly #options: TopologyOptions;
  readonly #edges: Edges;
  readonly #requests: RequestEdges;
  readonly #tcp: TcpMetrics;
  #flows: FlowTable | undefined;
  #peers: LocalPeers | undefined;
  #timers: NodeJS.Timeout[] = [];

  constructor(options: TopologyOptions) {
    const { buckets, maxSeries, procRoot } = options.config;
    const clock = () => performance.now();
    this.#options = options;
    this.#edges = new Edges(buckets, clock);
    this.#tcp = new TcpMetrics({ maxSeries, buckets: TIME_BOUNDS_SECONDS, reasons: FAILURE_REASONS });
    this.families = [...this.#tcp.families, ...serviceGraphFamilies(this.#edges)];
    const peers = {
      netnsFor: (endpoint: string, pid: number) => {
        const bytes = addressBytes(splitEndpoint(endpoint).address);
        return bytes && isLoopback(bytes) ? (netnsOf(pid, procRoot) ?? 0) : 0;
      },
      serverOf: ({ server, netns }: Tuple) => {
        const { address, port } = splitEndpoint(server);
        return this.#resolve(address, port, netns);
      },
      clientOf: (tuple: Tuple) => this.#clientOf(tuple),
    };
    this.#requests = new RequestEdges(this.#edges, peers, clock);
    this.requests = this.#requests;
  }

  /** After the TCP programs are attached; `object` is undefined where they are off. */
  async start(object: BpfObject | undefined): Promise<void> {
    this.#every(1000, () => this.#requests.tick());
    this.#every(5000, () => this.#edges.mark());
    if (object === undefined) return;
    const { config, log, ownerOf, peers: first } = this.#options;
    const clock = () => performance.now();
    const owners = new TcpOwners(object.map('owners'), ownerOf, clock);
    const report = (message: string) => log.once(message, 'warn', message);
    const { externalPeers: external } = config;
    const peers = new LocalPeers({ object, owners, external, report, ...(first === undefined ? {} : { first }) });
    const sink = {
      begin: () => this.#tcp.begin(),
      flow: (names: FlowNames, change: FlowChange) => this.#flow(names, change),
    };
    this.#peers = peers;
    await peers.refresh();
    this.#flows = new FlowTable({ object, owners, peers, sink, clock });
    this.#flows.adoptHeld();
    this.#every(SAMPLE_MS, () => this.#read(true));
    this.#every(PEERS_MS, () => void peers.refresh());
  }

  stop(): void {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    this.#flows = undefined;
  }

  /** Before the families are read. */
  refresh(): void {
    this.#requests.tick();
    this.#read(false);
  }

  /** What plainsight_unplaced_total tells, from the kernel's counters. */
  unplaced(counters: Float64Array): Readonly<Record<string, number>> {
    return {
      flow: counters[COUNTER.TCP_OVERFLOW]!,
      connection: counters[COUNTER.TCP_UNTRACKED]!,
      request: this.#requests.unresolved,
    };
  }

  /** What /api/graph shows. Rates and times are those of the last half to whole minute, counts since the start. */
  graph() {
    this.refresh();
    const nodes = new Map<string, { namespace: string; service: string }>();
    const name = ({ namespace, service }: { namespace: string; service: string }) => {
      const id = namespace === '' ? service : `${namespace}/${service}`;
      nodes.set(id, { namespace, service });
      return id;
    };
    const edges = [...this.#edges.rates()].map(({ edge, ...rates }) => ({
      client: name(edge.client),
      server: name(edge.server),
      connectionType: edge.connectionType,
      requests: edge.requests,
      errors: edge.failed,
      requestBytes: edge.requestBytes,
      responseBytes: edge.responseBytes,
      rate: rates.requestsPerSecond,
      errorRate: rates.failedPerSecond,
      bytesPerSecond: rates.bytesPerSecond,
      p50: rates.p50 ?? null,
      p99: rates.p99 ?? null,
    }));
    return { nodes: [...nodes].map(([id, node]) => ({ id, ...node })), edges };
  }

  #read(sample: boolean): void {
    try {
      this.#flows?.read(sample);
    } catch (error) {
      this.#options.log.once('tcp read', 'error', `TCP connections could not be read: ${(error as Error).message}`);
    }
  }

  #flow({ owner: first, peer, port, role, twice }: FlowNames, change: FlowChange): void {
    const owner = this.#options.counted === undefined ? first : this.#options.counted(first);
    if (owner === undefined) return;
    this.#tcp.flow(owner, { role, namespace: peer.namespace, service: peer.service, port }, change);
    if (peer.kind === 'agent' || change.sentBytes + change.receivedBytes === 0) return;
    // What the client tells of as well is counted there.
    if (role === 'server' && twice) return;
    const type = peer.kind === 'workload' ? '' : 'virtual_node';
    const edge = role === 'client' ? this.#edges.edge(owner, peer, type) : this.#edges.edge(peer, owner, type);
    edge.requestBytes += role === 'client' ? change.sentBytes : change.receivedBytes;
    edge.responseBytes += role === 'client' ? change.receivedBytes : change.sentBytes;
  }

  #clientOf({ client, server, netns }: Tuple): Peer {
    const from = splitEndpoint(client);
    const to = splitEndpoint(server);
    const owner = this.#peers?.clientOf(from.address, from.port, to.address, to.port, netns);
    if (owner !== undefined) return { namespace: owner.namespace, service: owner.service, kind: 'workload' };
    return this.#resolve(from.address, 0, netns);
  }

  #resolve(address: string, port: number, netns: number): Peer {
    if (this.#peers === undefined) return this.#options.peers?.resolvePeer(address, port) ?? UNKNOWN;
    return this.#peers.resolvePeer(address, port, netns === 0 ? undefined : netns);
  }

  #every(ms: number, run: () => void): void {
    this.#timers.push(setInterval(run, ms));
  }
}
