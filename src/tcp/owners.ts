/**
 * From the numbers by which the kernel side names owners of sockets to the labels they are counted under. A number is asked
 * for once, and again after a while: labels can come later than the first connection. Limit: `MAX` numbers, the least
 * recently used go first, as in the kernel's own table.
 */

import { LRUCache } from 'lru-cache';
import { OWNER } from '../abi/events.ts';
import type { BpfMap } from '../native.ts';
import type { OwnerHint } from '../process/process-table.ts';
import type { Owner } from '../stream/contract.ts';

const MAX = 8192;
/** Kubernetes names a pod some seconds after its first packet. */
const AGAIN_MS = 30_000;

interface Entry {
  readonly pid: number;
  readonly hint: OwnerHint;
  owner: Owner;
  askedMs: number;
}

export class TcpOwners {
  readonly #map: BpfMap;
  readonly #ownerOf: (pid: number, hint: OwnerHint) => Owner;
  readonly #clock: () => number;
  readonly #known = new LRUCache<bigint, Entry>({ max: MAX });

  constructor(map: BpfMap, ownerOf: (pid: number, hint: OwnerHint) => Owner, clock: () => number) {
    this.#map = map;
    this.#ownerOf = ownerOf;
    this.#clock = clock;
  }

  /** undefined when the kernel has forgotten it, and we have. */
  owner(id: bigint): Owner | undefined {
    const now = this.#clock();
    let entry = this.#known.get(id);
    if (entry === undefined) {
      const described = this.#read(id);
      if (described === undefined) return undefined;
      entry = { ...described, owner: this.#ownerOf(described.pid, described.hint), askedMs: now };
      this.#known.set(id, entry);
    } else if (now - entry.askedMs > AGAIN_MS) {
      entry.owner = this.#ownerOf(entry.pid, entry.hint);
      entry.askedMs = now;
    }
    return entry.owner;
  }

  #read(id: bigint): { readonly pid: number; readonly hint: OwnerHint } | undefined {
    const value = this.#map.lookup(new Uint8Array(BigUint64Array.of(id).buffer));
    if (value === undefined) return undefined;
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
    const name = value.subarray(OWNER.executable, OWNER.executable + OWNER.executableBytes);
    const end = name.indexOf(0);
    const executable = Buffer.from(name.subarray(0, end < 0 ? name.length : end)).toString('utf8');
    return {
      pid: view.getUint32(OWNER.pid, true),
      hint: {
        startTimeNs: Number(view.getBigUint64(OWNER.processStartNs, true)),
        cgroupId: Number(view.getBigUint64(OWNER.cgroupId, true)),
        comm: executable,
        executable,
      },
    };
  }
}
