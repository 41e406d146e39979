/**
 * Which TLS connections a process holds, by the address of their SSL object. A socket is closed by the kernel when its
 * process ends; an SSL object just disappears, and the next one may get its address. This is what tells the rest.
 * Limit: `max` connections, the oldest is forgotten first (the kernel's own table is smaller).
 */

import type { ConnectionId } from '../stream/contract.ts';

export interface TlsConnection {
  readonly id: ConnectionId;
  readonly pid: number;
  /** Address of the SSL object: user addresses are below 2^57, and their low bits are zero, so a double holds them. */
  readonly ssl: number;
  /** Its socket was found. */
  bound: boolean;
}

export class TlsConnections {
  readonly #byId = new Map<ConnectionId, TlsConnection>();
  readonly #byProcess = new Map<number, Map<number, TlsConnection>>();
  readonly #max: number;
  #unbound = 0;

  constructor(max = 65536) {
    this.#max = max;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Connections that have ended, here or in the kernel, and whose socket was never found. */
  get unbound(): number {
    return this.#unbound;
  }

  bound(id: ConnectionId): void {
    const connection = this.#byId.get(id);
    if (connection) connection.bound = true;
  }

  has(id: ConnectionId): boolean {
    return this.#byId.has(id);
  }

  /** Returns the connection that had this SSL object until now, if its end was not seen. */
  opened(connection: TlsConnection): TlsConnection | undefined {
    let ofProcess = this.#byProcess.get(connection.pid);
    if (!ofProcess) {
      ofProcess = new Map();
      this.#byProcess.set(connection.pid, ofProcess);
    }
    const before = ofProcess.get(connection.ssl);
    if (before) this.#forget(before);
    ofProcess.set(connection.ssl, connection);
    this.#byId.set(connection.id, connection);
    if (this.#byId.size > this.#max) this.closed(this.#byId.keys().next().value!);
    return before;
  }

  closed(id: ConnectionId): void {
    const connection = this.#byId.get(id);
    if (!connection) return;
    this.#forget(connection);
    const ofProcess = this.#byProcess.get(connection.pid)!;
    ofProcess.delete(connection.ssl);
    if (ofProcess.size === 0) this.#byProcess.delete(connection.pid);
  }

  /** The process is gone, or runs another image: returns what it held, and forgets it. */
  released(pid: number): readonly TlsConnection[] {
    const ofProcess = this.#byProcess.get(pid);
    if (!ofProcess) return [];
    this.#byProcess.delete(pid);
    for (const connection of ofProcess.values()) this.#forget(connection);
    return [...ofProcess.values()];
  }

  #forget(connection: TlsConnection): void {
    this.#byId.delete(connection.id);
    if (!connection.bound) this.#unbound++;
  }
}
