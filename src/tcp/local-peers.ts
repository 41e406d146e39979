/**
 * Who is at an address, from what this node knows itself: the sockets on which its processes listen and have accepted, its
 * own addresses, and the names of `--external-peers`. Asks nobody on the network but for the DNS names among those.
 * Limits: `--external-peers` has 48 entries at most, a DNS name 16 addresses.
 */

import { lookup } from 'node:dns/promises';
import { readlinkSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { TCP_ENDPOINT, TCP_PROCESS, TCP_TUPLE } from '../abi/events.ts';
import type { ExternalPeer } from '../config.ts';
import type { BpfMap, BpfObject } from '../native.ts';
import type { Owner, Peer, PeerResolver } from '../stream/contract.ts';
import { addressBytes, isLoopback } from './address.ts';
import type { TcpOwners } from './owners.ts';

const NAME_ADDRESSES = 16;
/** What is told apart without being asked: private and local addresses (RFC 1918, 6598, 3927, 4193, 4291). */
const INSIDE = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '169.254.0.0/16',
  '127.0.0.0/8',
  'fc00::/7',
  'fe80::/10',
  '::1/128',
];

const EXTERNAL: Peer = { namespace: '', service: 'external', kind: 'external' };
const NODE: Peer = { namespace: '', service: 'node', kind: 'node' };
const AGENT: Peer = { namespace: '', service: 'plainsight', kind: 'agent' };

interface NamedPrefix {
  readonly bytes: Uint8Array;
  readonly bits: number;
  readonly peer: Peer;
}

export interface LocalPeersOptions {
  readonly object: BpfObject;
  readonly owners: TcpOwners;
  readonly external: readonly ExternalPeer[];
  /** Asked first: knows more than addresses. */
  readonly first?: PeerResolver;
  readonly report: (message: string) => void;
}

export class LocalPeers implements PeerResolver {
  readonly #options: LocalPeersOptions;
  readonly #servers: BpfMap;
  readonly #listeners: BpfMap;
  readonly #clients: BpfMap;
  readonly #inside: BpfMap;
  /** Of the agent, which is the host's wherever it sees the host's traffic. */
  readonly #netns = netnsOf('self') ?? 0;
  #named: readonly NamedPrefix[] = [];
  #own = new Set<string>();

  constructor(options: LocalPeersOptions) {
    this.#options = options;
    this.#servers = options.object.map('servers');
    this.#listeners = options.object.map('listeners');
    this.#clients = options.object.map('clients');
    this.#inside = options.object.map('inside');
    for (const prefix of INSIDE) {
      const [address = '', bits] = prefix.split('/');
      this.#tellApart(addressBytes(address)!, widthOf(address, Number(bits)));
    }
  }

  /** Reads the node's addresses, and looks the DNS names up. Before the first use, and every minute. */
  async refresh(): Promise<void> {
    const own = new Set<string>();
    for (const { address } of Object.values(networkInterfaces()).flatMap((found) => found ?? [])) {
      const bytes = addressBytes(address);
      if (bytes === undefined) continue;
      own.add(keyOf(bytes));
      this.#tellApart(bytes, 128);
    }
    this.#own = own;
    const named: NamedPrefix[] = [];
    for (const { name, address, prefixBits } of this.#options.external) {
      const peer: Peer = { namespace: '', service: name, kind: 'external' };
      const addresses = address === undefined ? await this.#lookup(name) : [address];
      for (const found of addresses) {
        const bytes = addressBytes(found);
        if (bytes) named.push({ bytes, bits: address === undefined ? 128 : widthOf(found, prefixBits), peer });
      }
    }
    // The longest prefix is the one that is meant.
    this.#named = named.sort((a, b) => b.bits - a.bits);
    for (const { bytes, bits } of named) this.#tellApart(bytes, bits);
  }

  /** Never undefined: what nobody knows is `external`. `netns`: of the process that has the connection. */
  resolvePeer(address: string, port: number, netns = this.#netns): Peer {
    const known = this.#options.first?.resolvePeer(address, port);
    if (known !== undefined) return known;
    const bytes = addressBytes(address);
    if (bytes === undefined) return EXTERNAL;
    const loopback = isLoopback(bytes);
    const isOwn = loopback || this.#own.has(keyOf(bytes));
    if (port > 0) {
      const server = lookupEndpoint(this.#servers, bytes, port, loopback ? netns : 0);
      const found = server ?? (isOwn ? this.#listener(bytes, port, netns) : undefined);
      const peer = found && this.#workload(found);
      if (peer !== undefined) return peer;
    }
    return this.#named.find((prefix) => isWithin(bytes, prefix))?.peer ?? (isOwn ? NODE : EXTERNAL);
  }

  /** The process on this node that opened the connection; undefined when it is not from here, or long gone. */
  clientOf(client: string, clientPort: number, server: string, serverPort: number, netns: number): Owner | undefined {
    const from = addressBytes(client);
    const to = addressBytes(server);
    if (from === undefined || to === undefined) return undefined;
    const key = new Uint8Array(TCP_TUPLE.sizeBytes);
    const view = new DataView(key.buffer);
    key.set(from, TCP_TUPLE.client);
    key.set(to, TCP_TUPLE.server);
    view.setUint16(TCP_TUPLE.clientPort, clientPort, true);
    view.setUint16(TCP_TUPLE.serverPort, serverPort, true);
    view.setUint32(TCP_TUPLE.netns, isLoopback(from) ? netns : 0, true);
    const value = this.#clients.lookup(key);
    return value && this.#options.owners.owner(ownerOf(value));
  }

  #listener(bytes: Uint8Array, port: number, netns: number): Uint8Array | undefined {
    const exact = lookupEndpoint(this.#listeners, bytes, port, netns);
    return exact ?? lookupEndpoint(this.#listeners, new Uint8Array(16), port, netns);
  }

  #workload(process: Uint8Array): Peer | undefined {
    if (process[TCP_PROCESS.self] === 1) return AGENT;
    const owner = this.#options.owners.owner(ownerOf(process));
    return owner && { namespace: owner.namespace, service: owner.service, kind: 'workload' };
  }

  #tellApart(bytes: Uint8Array, bits: number): void {
    const key = new Uint8Array(20);
    new DataView(key.buffer).setUint32(0, bits, true);
    key.set(bytes, 4);
    try {
      this.#inside.update(key, Uint8Array.of(1));
    } catch (error) {
      this.#options.report(`an address range is not told apart: ${(error as Error).message}`);
    }
  }

  async #lookup(name: string): Promise<string[]> {
    try {
      return (await lookup(name, { all: true })).slice(0, NAME_ADDRESSES).map(({ address }) => address);
    } catch (error) {
      this.#options.report(`--external-peers: ${name} has no address (${(error as NodeJS.ErrnoException).code})`);
      return [];
    }
  }
}

function widthOf(address: string, bits: number): number {
  return address.includes(':') ? bits : bits + 96;
}

function keyOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function ownerOf(process: Uint8Array): bigint {
  return new DataView(process.buffer, process.byteOffset, process.byteLength).getBigUint64(TCP_PROCESS.owner, true);
}

function lookupEndpoint(map: BpfMap, bytes: Uint8Array, port: number, netns: number): Uint8Array | undefined {
  const key = new Uint8Array(TCP_ENDPOINT.sizeBytes);
  const view = new DataView(key.buffer);
  key.set(bytes, TCP_ENDPOINT.address);
  view.setUint16(TCP_ENDPOINT.port, port, true);
  view.setUint32(TCP_ENDPOINT.netns, netns, true);
  return map.lookup(key);
}

function isWithin(bytes: Uint8Array, prefix: NamedPrefix): boolean {
  const whole = prefix.bits >> 3;
  for (let i = 0; i < whole; i++) if (bytes[i] !== prefix.bytes[i]) return false;
  const rest = prefix.bits & 7;
  return rest === 0 || ((bytes[whole]! ^ prefix.bytes[whole]!) & (0xff00 >> rest) & 0xff) === 0;
}

/** The inode of a network namespace; undefined when the process is gone. */
export function netnsOf(pid: number | 'self', procRoot = '/proc'): number | undefined {
  try {
    const digits = /\[(\d+)\]/.exec(readlinkSync(`${procRoot}/${pid}/ns/net`))?.[1];
    return digits === undefined ? undefined : Number(digits);
  } catch {
    return undefined;
  }
}
