/**
 * From finished transactions to edges. A connection that is traced at both ends gives each request twice: what the client
 * saw counts, what the server saw adds its durations. Whether the other end is traced shows with its first request, so
 * the counts of a new connection wait for `GRACE_MS`.
 *
 * An end whose address is not proven gives no edge: better none than one to the wrong peer; it is counted. The two ends are found by
 * the addresses of the connection, loopback ones within a network namespace, or by the client's alone where the client's peer is
 * virtual. Limit: `max` connections, the least recently used go first.
 */

import { LRUCache } from 'lru-cache';
import type { ConnectionInfo, Owner, Peer, Role, Transaction, TransactionSink } from '../stream/contract.ts';
import type { ConnectionType, Edges, Node, Times } from './edges.ts';

const GRACE_MS = 2000;
const DEFAULT_MAX = 16_384;
const ERROR_STATUS = 500;

/** The ends of a connection as the kernel has them. */
export interface Tuple {
  readonly client: string;
  readonly server: string;
  /** 0: does not matter. */
  readonly netns: number;
}

export interface RequestPeers {
  /** Of the process' network namespace where an address is a loopback one, else 0. */
  netnsFor(endpoint: string, pid: number): number;
  serverOf(tuple: Tuple): Peer;
  clientOf(tuple: Tuple): Peer;
}

interface Link {
  /** The labels of the end, when it is traced. */
  client: Owner | undefined;
  server: Owner | undefined;
  readonly tuple: Tuple;
  /** What one end has told, as long as it is not known whether there is another. */
  requests: number;
  failed: number;
  readonly times: Times;
  sinceMs: number;
  peer: Peer | undefined;
}

export class RequestEdges implements TransactionSink {
  readonly #edges: Edges;
  readonly #peers: RequestPeers;
  readonly #clock: () => number;
  readonly #links = new WeakMap<ConnectionInfo, Link | null>();
  readonly #byTuple: LRUCache<string, Link>;
  /** Links of clients whose peer is virtual, by the client's end. */
  readonly #byClient: LRUCache<string, Link>;
  readonly #waiting = new Set<Link>();
  #unresolved = 0;

  constructor(edges: Edges, peers: RequestPeers, clock: () => number, max = DEFAULT_MAX) {
    this.#edges = edges;
    this.#peers = peers;
    this.#clock = clock;
    // What a forgotten link still waits for is told as one end told it.
    const dispose = (link: Link) => this.#settle(link);
    this.#byTuple = new LRUCache({ max, dispose });
    this.#byClient = new LRUCache({ max: 1024 });
  }

  /** Transactions whose other end could not be told. */
  get unresolved(): number {
    return this.#unresolved;
  }

  transaction(transaction: Transaction): void {
    const { connection, owner, role, status, durationNs } = transaction;
    let link = this.#links.get(connection);
    if (link === undefined) {
      link = this.#link(connection, owner, role);
      this.#links.set(connection, link);
    }
    if (link === null) {
      this.#unresolved++;
      return;
    }
    if (link[role] === undefined) this.#join(link, role);
    link[role] = owner;
    const failed = status >= ERROR_STATUS ? 1 : 0;
    if (link.client !== undefined && link.server !== undefined) {
      const edge = this.#edges.edge(link.client, link.server, '');
      this.#edges.observe(role === 'client' ? edge.clientTimes : edge.serverTimes, durationNs);
      if (role === 'server') return;
      edge.requests++;
      edge.failed += failed;
      return;
    }
    if (link.requests === 0 && link.sinceMs === 0) link.sinceMs = this.#clock();
    link.requests++;
    link.failed += failed;
    this.#edges.observe(link.times, durationNs);
    this.#waiting.add(link);
  }

  incomplete(): void {}

  /** Tells what has waited long enough. Every second or so, and before the edges are read. */
  tick(): void {
    const before = this.#clock() - GRACE_MS;
    for (const link of this.#waiting) if (link.sinceMs <= before) this.#settle(link);
  }

  #link(connection: ConnectionInfo, owner: Owner, role: Role): Link | null {
    const { local, remote } = connection;
    if (local === undefined || remote === undefined) return null;
    const [client, server] = role === 'client' ? [local, remote] : [remote, local];
    const tuple = { client, server, netns: this.#peers.netnsFor(remote, owner.pid) };
    const key = `${client} ${server} ${tuple.netns}`;
    const known = this.#byTuple.get(key) ?? (role === 'server' ? this.#byClient.get(client) : undefined);
    // A second client at the same end: the port was used again.
    if (known !== undefined && known[role] === undefined) return known;
    const link: Link = {
      client: undefined,
      server: undefined,
      tuple,
      requests: 0,
      failed: 0,
      times: this.#edges.times(),
      sinceMs: 0,
      peer: undefined,
    };
    if (role === 'client') {
      link.peer = this.#peers.serverOf(tuple);
      if (link.peer.virtual) this.#byClient.set(client, link);
    }
    this.#byTuple.set(key, link);
    return link;
  }

  /** The second end of a connection appears: what the first has told is the client's, or durations only. */
  #join(link: Link, role: Role): void {
    if (link.requests === 0) return;
    if (role === 'server') {
      // It was the client's: its peer is known now, in case it was virtual.
      link.peer = undefined;
      return;
    }
    link.requests = 0;
    link.failed = 0;
  }

  #settle(link: Link): void {
    if (!this.#waiting.delete(link)) return;
    const { client, server } = link;
    let from: Node | undefined = client;
    let to: Node | undefined = server;
    let type: ConnectionType = '';
    if (client === undefined || server === undefined) {
      const peer = link.peer ?? this.#peerOf(link);
      link.peer = peer;
      if (peer.kind === 'agent') {
        this.#clear(link);
        return;
      }
      if (peer.kind !== 'workload') type = 'virtual_node';
      from ??= peer;
      to ??= peer;
    }
    const edge = this.#edges.edge(from!, to!, type);
    edge.requests += link.requests;
    edge.failed += link.failed;
    // With both ends there, `times` are those of the end that came first: the server's when its counts were dropped.
    const times =
      client !== undefined && (server === undefined || link.requests > 0) ? edge.clientTimes : edge.serverTimes;
    for (const [i, count] of link.times.counts.entries()) times.counts[i]! += count;
    times.sumNs += link.times.sumNs;
    this.#clear(link);
  }

  #peerOf(link: Link): Peer {
    return link.server === undefined ? this.#peers.serverOf(link.tuple) : this.#peers.clientOf(link.tuple);
  }

  #clear(link: Link): void {
    link.requests = 0;
    link.failed = 0;
    link.times.counts.fill(0);
    link.times.sumNs = 0;
  }
}
