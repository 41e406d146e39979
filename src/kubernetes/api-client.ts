/**
 * Lists and watches of the API server, over HTTPS, each on a connection of its own that ends with it. Read-only: there is
 * no way to send anything but a GET. What arrives is handed on object by object.
 *
 * Limits: 20 s to answer, an object as large as list-splitter.ts takes. Redirects are refused: they would take the token
 * elsewhere.
 */

import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import type { Access, Presented } from './access.ts';
import { ApiError, problemOfError, problemOfStatus } from './api-error.ts';
import { LineSplitter, ListSplitter } from './list-splitter.ts';

const ANSWER_MS = 20_000;
/** Finds out that the other side went away without a word. */
const KEEP_ALIVE_MS = 30_000;
/** A server that asks for more is asked again sooner than it likes. */
const MAX_RETRY_AFTER_S = 60;

export interface ApiRequest {
  /** From the root of the server, such as `/api/v1/pods`. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Only the metadata of the objects is wanted. */
  readonly metadataOnly: boolean;
  readonly signal: AbortSignal;
  /** Without a byte for so long, the connection is given up. */
  readonly idleMs: number;
}

export class ApiClient {
  readonly #access: Access;

  constructor(access: Access) {
    this.#access = access;
  }

  /**
   * One page of a list. Returns the list without its items.
   * @throws ApiError, and what `onItem` throws.
   */
  async list(options: ApiRequest, onItem: (text: string) => void): Promise<unknown> {
    const splitter = new ListSplitter(onItem);
    await this.#read(options, 'List', (chunk) => splitter.push(chunk));
    return splitter.end();
  }

  /**
   * Follows a watch to its end, which is the server's ordinary way to have it begun anew.
   * @throws ApiError, and what `onLine` throws.
   */
  async watch(options: ApiRequest, onLine: (text: string) => void): Promise<void> {
    const splitter = new LineSplitter(onLine);
    await this.#read({ ...options, query: { ...options.query, watch: '1' } }, '', (chunk) => splitter.push(chunk));
  }

  async #read(options: ApiRequest, suffix: string, onChunk: (chunk: Buffer) => void): Promise<void> {
    let presented: Presented;
    try {
      presented = await this.#access.present();
    } catch (cause) {
      throw new ApiError('credentials', { cause });
    }
    let response: IncomingMessage | undefined;
    try {
      response = await this.#send(options, suffix, presented);
      const status = response.statusCode ?? 0;
      if (status === 401) this.#access.refused();
      if (status !== 200) {
        const retryAfterMs = readRetryAfter(response.headers['retry-after']);
        throw new ApiError(problemOfStatus(status), { retryAfterMs });
      }
      for await (const chunk of response) onChunk(chunk as Buffer);
    } catch (error) {
      options.signal.throwIfAborted();
      throw problemOfError(error);
    } finally {
      response?.destroy();
    }
  }

  #send(options: ApiRequest, suffix: string, { server, options: access }: Presented): Promise<IncomingMessage> {
    const url = new URL(server + options.path);
    for (const [name, value] of Object.entries(options.query)) url.searchParams.set(name, value);
    const reduced = `application/json;as=PartialObjectMetadata${suffix};g=meta.k8s.io;v=v1, application/json`;
    return new Promise((resolve, reject) => {
      const sent = request(url, {
        ...access,
        headers: {
          ...access.headers,
          accept: options.metadataOnly ? reduced : 'application/json',
          'user-agent': 'plainsight',
        },
        signal: options.signal,
      });
      sent.on('socket', (socket) => socket.setKeepAlive(true, KEEP_ALIVE_MS));
      sent.setTimeout(ANSWER_MS, () => sent.destroy(new ApiError('timeout')));
      sent.on('error', reject);
      sent.on('response', (response) => {
        sent.setTimeout(options.idleMs);
        resolve(response);
      });
      sent.end();
    });
  }
}

function readRetryAfter(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,4}$/.test(value) ? Math.min(Number(value), MAX_RETRY_AFTER_S) * 1000 : undefined;
}
