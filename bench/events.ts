/** Records as the kernel writes them, generated: keep-alive connections, requests and responses of eight headers each. */

import { DATA_EVENT, EVENT_HEADER, EVENT_KIND, OPEN_EVENT, SOURCE } from '../src/abi/events.ts';

export const REQUEST = Buffer.from(
  'GET /api/v1/carts/8f14e45f/items?limit=20 HTTP/1.1\r\nHost: shop.example.internal\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n' +
    'Accept: application/json\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.9\r\n' +
    'Authorization: Bearer 0123456789abcdef0123456789abcdef\r\nX-Request-Id: 6f1e8a52-9c1b-4d0e-8c43-2b6b7c1f0e11\r\nConnection: keep-alive\r\n\r\n',
);
export const RESPONSE = Buffer.from(
  'HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 02 Nov 2026 12:00:00 GMT\r\nContent-Type: application/json; charset=utf-8\r\n' +
    'Content-Length: 120\r\nConnection: keep-alive\r\nCache-Control: no-store\r\nVary: Accept-Encoding\r\nX-Frame-Options: DENY\r\n\r\n' +
    'x'.repeat(120),
);

/** Fills `batch` with records of `connections` connections; returns the bytes filled and the transactions in them. */
export class EventGenerator {
  readonly #batch: Uint8Array;
  readonly #view: DataView;
  readonly #positions: { ingress: number; egress: number }[];
  #timeNs = 1e12;
  #next = 0;

  constructor(batch: Uint8Array, connections: number) {
    this.#batch = batch;
    this.#view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
    this.#positions = Array.from({ length: connections }, () => ({ ingress: 0, egress: 0 }));
  }

  /** An open record for each connection. */
  open(): number {
    let at = 0;
    for (let id = 1; id <= this.#positions.length; id++) {
      this.#header(at, OPEN_EVENT.sizeBytes, EVENT_KIND.OPEN, id);
      this.#view.setUint16(at + OPEN_EVENT.family, 2, true);
      this.#batch.set(Buffer.from('nginx\0'), at + OPEN_EVENT.comm);
      this.#batch.set(Buffer.from('nginx\0'), at + OPEN_EVENT.executable);
      at += OPEN_EVENT.sizeBytes;
    }
    return at;
  }

  /** As many pairs of a request and a response as fit. */
  fill(): { filledBytes: number; transactions: number } {
    const pairBytes = 2 * (DATA_EVENT.sizeBytes + 8) + REQUEST.length + RESPONSE.length;
    let at = 0;
    let transactions = 0;
    while (at + pairBytes <= this.#batch.length) {
      const index = this.#next++ % this.#positions.length;
      const position = this.#positions[index]!;
      at = this.#data(at, index + 1, 0, position.ingress, REQUEST);
      at = this.#data(at, index + 1, 1, position.egress, RESPONSE);
      position.ingress += REQUEST.length;
      position.egress += RESPONSE.length;
      transactions++;
    }
    return { filledBytes: at, transactions };
  }

  #data(at: number, id: number, direction: number, position: number, bytes: Buffer): number {
    const size = DATA_EVENT.sizeBytes + bytes.length;
    this.#header(at, size, EVENT_KIND.DATA, id);
    this.#u64(at + DATA_EVENT.position, position);
    this.#view.setUint32(at + DATA_EVENT.length, bytes.length, true);
    this.#view.setUint32(at + DATA_EVENT.captured, bytes.length, true);
    this.#batch[at + DATA_EVENT.direction] = direction;
    this.#batch[at + DATA_EVENT.tail] = 0;
    this.#batch.set(bytes, at + DATA_EVENT.sizeBytes);
    return at + ((size + 7) & ~7);
  }

  #header(at: number, size: number, kind: number, id: number): void {
    this.#timeNs += 50_000;
    this.#batch.fill(0, at, at + Math.min(size, OPEN_EVENT.sizeBytes));
    this.#view.setUint32(at + EVENT_HEADER.size, size, true);
    this.#view.setUint16(at + EVENT_HEADER.kind, kind, true);
    this.#view.setUint16(at + EVENT_HEADER.source, SOURCE.SOCKET, true);
    this.#u64(at + EVENT_HEADER.timeNs, this.#timeNs);
    this.#view.setUint32(at + EVENT_HEADER.pid, 1, true);
    this.#u64(at + EVENT_HEADER.connection, id);
  }

  #u64(at: number, value: number): void {
    this.#view.setUint32(at, value % 2 ** 32, true);
    this.#view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  }
}
