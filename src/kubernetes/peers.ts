/**
 * Who has an address: the endpoints of all services of the cluster, the services themselves, and the nodes. An address is
 * kept once, with a short list of those who share it; strings are shared with the objects they come from.
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

/** Those who stand behind one address in one slice or service. */
interface Holder {
  /** Of the slice or the service: what is removed together. */
  readonly source: string;
  readonly namespace: string;
  readonly service: string;
  readonly pod: string;
  readonly ports: readonly number[];
}

export const EXTERNAL: Peer = { kind: 'external' };
const NODE: Peer = { kind: 'node' };

export class Peers {
  readonly #holders = new Map<string, Holder | Holder[]>();
  /** Slice or service -> its addresses. */
  readonly #sources = new Map<string, readonly string[]>();
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

  setSlice(key: string, slice: EndpointSlice): void {
    const source = `s ${key}`;
    const { namespace, service, ports, endpoints } = slice;
    this.#replace(
      source,
      endpoints.map(({ address, pod }) => [address, { source, namespace, service, pod, ports }]),
    );
  }

  deleteSlice(key: string): void {
    this.#replace(`s ${key}`, []);
  }

  setService(key: string, { namespace, name, addresses }: Service): void {
    const source = `c ${key}`;
    const holder: Holder = { source, namespace, service: name, pod: '', ports: [] };
    this.#replace(
      source,
      addresses.map((address) => [address, holder]),
    );
  }

  deleteService(key: string): void {
    this.#replace(`c ${key}`, []);
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
      .filter((holder) => holder.namespace === namespace && holder.pod === pod && holder.service !== '')
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
    return { kind: 'workload', namespace: best.namespace, service: best.service, pod: best.pod };
  }

  #isBetter(a: Holder, b: Holder): boolean {
    const headlessA = this.#isHeadless(a.namespace, a.service);
    if (headlessA !== this.#isHeadless(b.namespace, b.service)) return !headlessA;
    return a.service < b.service;
  }

  #at(address: string): readonly Holder[] {
    const found = this.#holders.get(address);
    return found === undefined ? [] : Array.isArray(found) ? found : [found];
  }

  #replace(source: string, entries: readonly (readonly [string, Holder])[]): void {
    for (const address of this.#sources.get(source) ?? []) {
      const left = this.#at(address).filter((holder) => holder.source !== source);
      this.#size -= this.#at(address).length - left.length;
      if (left.length === 0) this.#holders.delete(address);
      else this.#holders.set(address, left.length === 1 ? left[0]! : left);
    }
    this.#sources.delete(source);
    const kept: string[] = [];
    for (const [address, holder] of entries) {
      if (this.#size >= MAX_ADDRESSES) {
        this.#refused++;
        continue;
      }
      const found = this.#holders.get(address);
      if (found === undefined) this.#holders.set(address, holder);
      else if (Array.isArray(found)) found.push(holder);
      else this.#holders.set(address, [found, holder]);
      this.#size++;
      kept.push(address);
    }
    if (kept.length > 0) this.#sources.set(source, kept);
  }
}
