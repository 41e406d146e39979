/**
 * Who has an address: the endpoints of all services of the cluster, the services themselves, and the nodes. An address is
 * kept once, and leads to the slices and services it is of, which hold the rest in lists.
 *
 * Limits: 200,000 endpoints and services, of which the later ones are left out and counted.
 */

import type { EndpointSlice, Service } from './objects.ts';

const MAX_ADDRESSES = 200_000;

/** The other side of a connection. */
export type Peer =
  | {
      readonly kind: 'workload';
      readonly namespace: string;
      /** '' where no service has it. */
      readonly service: string;
      /** '' where the address is that of a service, or its pod is not known. */
      readonly pod: string;
    }
  | { readonly kind: 'node' }
  | { readonly kind: 'external' };

/** A slice or a service: what comes and goes together. */
interface Source {
  readonly namespace: string;
  readonly service: string;
  /** None: all. */
  readonly ports: readonly number[];
  readonly addresses: readonly string[];
  /** Of the addresses, in their order; none of a service. */
  readonly pods: readonly string[];
}

export const EXTERNAL: Peer = { kind: 'external' };
const NODE: Peer = { kind: 'node' };
const NONE: readonly never[] = [];

export class Peers {
  /** By address. Most have one. */
  readonly #holders = new Map<string, Source | Source[]>();
  readonly #slices = new Map<string, Source>();
  readonly #services = new Map<string, Source>();
  readonly #nodes = new Map<string, readonly string[]>();
  readonly #nodeAddresses = new Map<string, number>();
  readonly #isHeadless: (namespace: string, service: string) => boolean;
  #size = 0;
  #refused = 0;

  constructor(isHeadless: (namespace: string, service: string) => boolean) {
    this.#isHeadless = isHeadless;
  }

  get size(): number {
    return this.#size;
  }

  /** Endpoints that found no room. */
  get refused(): number {
    return this.#refused;
  }

  setSlice(key: string, { namespace, service, ports, endpoints }: EndpointSlice): void {
    this.#remove(this.#slices.get(key));
    const kept = endpoints.slice(0, this.#room(endpoints.length));
    // Lists that were grown by push() would keep room for three times as many.
    const addresses = kept.map(({ address }) => address);
    const pods = kept.map(({ pod }) => pod);
    this.#slices.set(key, this.#add({ namespace, service, ports, addresses, pods }));
  }

  deleteSlice(key: string): void {
    this.#remove(this.#slices.get(key));
    this.#slices.delete(key);
  }

  slices(): IterableIterator<string> {
    return this.#slices.keys();
  }

  get sliceCount(): number {
    return this.#slices.size;
  }

  setService(key: string, { namespace, name, addresses: all }: Service): void {
    this.#remove(this.#services.get(key));
    const room = this.#room(all.length);
    const addresses = room < all.length ? all.slice(0, room) : all;
    this.#services.set(key, this.#add({ namespace, service: name, ports: NONE, addresses, pods: NONE }));
  }

  deleteService(key: string): void {
    this.#remove(this.#services.get(key));
    this.#services.delete(key);
  }

  setNode(name: string, addresses: readonly string[]): void {
    this.deleteNode(name);
    this.#nodes.set(name, addresses);
    for (const address of addresses) this.#nodeAddresses.set(address, (this.#nodeAddresses.get(address) ?? 0) + 1);
  }

  deleteNode(name: string): void {
    for (const address of this.#nodes.get(name) ?? []) {
      const left = (this.#nodeAddresses.get(address) ?? 0) - 1;
      if (left > 0) this.#nodeAddresses.set(address, left);
      else this.#nodeAddresses.delete(address);
    }
    this.#nodes.delete(name);
  }

  /** Services whose endpoints are this pod at this address. */
  servicesOf(address: string, namespace: string, pod: string): readonly string[] {
    return this.#at(address)
      .filter((holder) => holder.namespace === namespace && podAt(holder, address) === pod && holder.service !== '')
      .map(({ service }) => service);
  }

  /**
   * Who serves at, or calls from, an address (as canonicalAddress() writes it). The pods that use a node's network share its
   * addresses: only a port that one of them serves tells it from the node.
   */
  resolve(address: string, port: number): Peer {
    const holders = this.#at(address);
    const serving = holders.filter(({ ports }) => ports.length === 0 || ports.includes(port));
    const isNode = this.#nodeAddresses.has(address);
    const candidates = serving.length > 0 ? serving : isNode ? [] : holders;
    if (candidates.length === 0) return isNode ? NODE : EXTERNAL;
    let best = candidates[0]!;
    for (const holder of candidates) if (this.#isBetter(holder, best)) best = holder;
    return { kind: 'workload', namespace: best.namespace, service: best.service, pod: podAt(best, address) };
  }

  #isBetter(a: Source, b: Source): boolean {
    const headlessA = this.#isHeadless(a.namespace, a.service);
    if (headlessA !== this.#isHeadless(b.namespace, b.service)) return !headlessA;
    return a.service < b.service;
  }

  #at(address: string): readonly Source[] {
    const found = this.#holders.get(address);
    return found === undefined ? [] : Array.isArray(found) ? found : [found];
  }

  /** How many of so many more find room. */
  #room(wanted: number): number {
    const room = Math.max(0, Math.min(wanted, MAX_ADDRESSES - this.#size));
    this.#refused += wanted - room;
    return room;
  }

  #add(source: Source): Source {
    for (const address of source.addresses) {
      const found = this.#holders.get(address);
      if (found === undefined) this.#holders.set(address, source);
      else if (Array.isArray(found)) found.push(source);
      else this.#holders.set(address, [found, source]);
    }
    this.#size += source.addresses.length;
    return source;
  }

  #remove(source: Source | undefined): void {
    if (source === undefined) return;
    for (const address of source.addresses) {
      const left = this.#at(address).filter((holder) => holder !== source);
      if (left.length === 0) this.#holders.delete(address);
      else this.#holders.set(address, left.length === 1 ? left[0]! : left);
    }
    this.#size -= source.addresses.length;
  }
}

function podAt({ addresses, pods }: Source, address: string): string {
  return pods.length === 0 ? '' : (pods[addresses.indexOf(address)] ?? '');
}
