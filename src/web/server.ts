/**
 * The HTTP endpoints. Read-only: GET and HEAD, no request body is read, nothing of a request comes back in a response.
 * It knows no other part of the agent: what it shows comes from the functions it is given.
 *
 * Limits: 64 connections, 8 KiB of request head, 5 s for a head and 10 s for a request, 20 s without progress. Of
 * concurrent scrapes that ask for the same, one is rendered and all get it.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { PlainsightError } from '../errors.ts';
import { formatListen, type ListenAddress, parseListen } from './address.ts';
import { acceptsGzip, wantsOpenMetrics } from './negotiate.ts';
import type { PageFile } from './page-files.ts';

export interface Exposition {
  readonly contentType: string;
  readonly body: string;
}

export interface Readiness {
  readonly ready: boolean;
  /** Why (not), in words of ours. */
  readonly reason: string;
}

export interface WebServerOptions {
  /** `HOST:PORT` (see `parseListen`) or its parts. Port 0 takes any free one. */
  readonly listen: string | ListenAddress;
  readonly metrics: (openMetrics: boolean) => Promise<Exposition>;
  readonly ready: () => Readiness;
  /** Anything that JSON can hold. */
  readonly status: () => unknown;
  /** Anything that JSON can hold, for the query of a request; nothing of the query may be in it. */
  readonly summary: (query: URLSearchParams) => unknown;
  /** By path; '/' is the page itself. */
  readonly page: ReadonlyMap<string, PageFile>;
  /** The service graph; likewise. Without it there is no /api/graph. */
  readonly graph?: () => unknown;
  /** Told of errors that a client only sees as status 500, and of failed accepts. */
  readonly report?: (error: unknown) => void;
}

interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

type Route = (request: IncomingMessage) => Answer | Promise<Answer>;

const TEXT = 'text/plain; charset=utf-8';
const JSON_TYPE = 'application/json; charset=utf-8';
const MAX_CONNECTIONS = 64;
const MAX_HEAD_BYTES = 8 * 1024;
const MAX_HEADERS = 64;
const HEAD_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;
/** Node.js lets it pass twice before it gives up on a client that does not read. */
const IDLE_TIMEOUT_MS = 10_000;
/** Shorter than any scrape interval in use: an idle client does not hold one of the few connections. */
const KEEP_ALIVE_TIMEOUT_MS = 5_000;
const REQUESTS_PER_CONNECTION = 1_000;
/** How often Node.js looks for requests past their time. */
const TIMEOUT_CHECK_MS = 1_000;
/** An answer that is being made when the agent stops gets this long; Node.js cuts one that is being sent. */
const CLOSE_GRACE_MS = 500;
/** Less is not worth the call. */
const GZIP_FROM_BYTES = 1024;
/** Samples compress to a tenth at any level; a higher one only costs time. */
const GZIP_LEVEL = 2;

const gzipAsync = promisify(gzip);

export class WebServer {
  readonly #options: WebServerOptions;
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #rendering = new Map<string, Promise<Answer>>();
  readonly #report: (error: unknown) => void;
  #server: Server | undefined;

  constructor(options: WebServerOptions) {
    this.#options = options;
    this.#report = options.report ?? (() => {});
    const routes = new Map<string, Route>([
      ...[...options.page].map(([path, file]): [string, Route] => [path, (request) => pageAnswer(file, request)]),
      ['/metrics', (request) => this.#metrics(request)],
      ['/healthz', () => ok(TEXT, 'ok\n')],
      ['/readyz', () => this.#ready()],
      ['/api/status', () => json(options.status())],
      ['/api/summary', (request) => this.#summary(request)],
    ]);
    const { graph } = options;
    if (graph) routes.set('/api/graph', () => json(graph()));
    this.#routes = routes;
  }

  /**
   * Resolves with the address in use once connections are accepted. Rejects with USAGE for a malformed address and with
   * LISTEN when it cannot be used.
   */
  async start(): Promise<{ host: string; port: number }> {
    if (this.#server !== undefined) throw new PlainsightError('INTERNAL', 'The web server was started twice.');
    const { listen } = this.#options;
    const { host, port } = typeof listen === 'string' ? parseListen(listen) : listen;
    const server = createServer(
      {
        maxHeaderSize: MAX_HEAD_BYTES,
        headersTimeout: HEAD_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
        connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      },
      (request, response) => this.#respond(request, response),
    );
    server.maxHeadersCount = MAX_HEADERS;
    server.maxConnections = MAX_CONNECTIONS;
    server.maxRequestsPerSocket = REQUESTS_PER_CONNECTION;
    server.timeout = IDLE_TIMEOUT_MS;
    this.#server = server;
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
          server.off('error', reject);
          resolve();
        });
      });
    } catch (error) {
      this.#server = undefined;
      throw listenError(formatListen({ host, port }), error);
    }
    server.on('error', this.#report);
    const address = server.address() as AddressInfo;
    return { host: address.address, port: address.port };
  }

  /** Accepts no more; resolves when all connections are closed, at most half a second later. */
  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const cut = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeIdleConnections();
    });
    clearTimeout(cut);
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: Answer;
    try {
      answer = await this.#answer(request);
    } catch (error) {
      this.#report(error);
      answer = { status: 500, contentType: TEXT, body: 'internal error\n' };
    }
    // A request body is never read: what follows on this connection could not be told from it.
    const hasBody =
      request.headers['transfer-encoding'] !== undefined || (request.headers['content-length'] ?? '0') !== '0';
    response.writeHead(answer.status, {
      'Content-Type': answer.contentType,
      'Content-Length': Buffer.byteLength(answer.body),
      'X-Content-Type-Options': 'nosniff',
      'Cross-Origin-Resource-Policy': 'same-origin',
      'Referrer-Policy': 'no-referrer',
      'Cache-Control': 'no-store',
      ...answer.headers,
      ...(hasBody || answer.status === 405 ? { Connection: 'close' } : {}),
    });
    response.end(request.method === 'HEAD' ? undefined : answer.body);
  }

  #answer(request: IncomingMessage): Answer | Promise<Answer> {
    const [path = ''] = (request.url ?? '').split('?', 1);
    const route = this.#routes.get(path);
    if (route === undefined) return { status: 404, contentType: TEXT, body: 'not found\n' };
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return { status: 405, contentType: TEXT, body: 'method not allowed\n', headers: { Allow: 'GET, HEAD' } };
    }
    return route(request);
  }

  #ready(): Answer {
    const { ready, reason } = this.#options.ready();
    return { status: ready ? 200 : 503, contentType: TEXT, body: `${ready ? 'ready' : 'not ready'}: ${reason}\n` };
  }

  #metrics(request: IncomingMessage): Promise<Answer> {
    const openMetrics = wantsOpenMetrics(request.headers.accept);
    const compress = acceptsGzip(request.headers['accept-encoding']?.toString());
    const key = `${openMetrics} ${compress}`;
    let rendering = this.#rendering.get(key);
    if (rendering === undefined) {
      rendering = this.#render(openMetrics, compress).finally(() => this.#rendering.delete(key));
      this.#rendering.set(key, rendering);
    }
    return rendering;
  }

  async #render(openMetrics: boolean, compress: boolean): Promise<Answer> {
    const { contentType, body } = await this.#options.metrics(openMetrics);
    return packed(ok(contentType, body), compress, 'Accept, Accept-Encoding');
  }

  #summary(request: IncomingMessage): Promise<Answer> {
    const url = request.url ?? '';
    const query = new URLSearchParams(url.includes('?') ? url.slice(url.indexOf('?')) : '');
    const body = `${JSON.stringify(this.#options.summary(query))}\n`;
    return packed(ok(JSON_TYPE, body), acceptsGzip(request.headers['accept-encoding']?.toString()), 'Accept-Encoding');
  }
}

async function packed(answer: Answer, compress: boolean, vary: string): Promise<Answer> {
  const headers = { Vary: vary };
  if (!compress || answer.body.length <= GZIP_FROM_BYTES) return { ...answer, headers };
  const body = await gzipAsync(answer.body, { level: GZIP_LEVEL });
  return { ...answer, body, headers: { ...headers, 'Content-Encoding': 'gzip' } };
}

function pageAnswer({ contentType, plain, gzip, headers }: PageFile, request: IncomingMessage): Answer {
  const compress = acceptsGzip(request.headers['accept-encoding']?.toString());
  const encoding: Record<string, string> = compress ? { 'Content-Encoding': 'gzip' } : {};
  return {
    ...ok(contentType, compress ? gzip : plain),
    headers: { ...headers, Vary: 'Accept-Encoding', ...encoding },
  };
}

function ok(contentType: string, body: string | Buffer): Answer {
  return { status: 200, contentType, body };
}

function json(value: unknown): Answer {
  return ok(JSON_TYPE, `${JSON.stringify(value, null, 2)}\n`);
}

function listenError(listen: string, cause: unknown): PlainsightError {
  const { code = '', errno, syscall } = cause as NodeJS.ErrnoException;
  const causes: Readonly<Record<string, string>> = {
    EADDRINUSE: 'another process listens there. Stop it, or give another port with --listen',
    EADDRNOTAVAIL: 'this machine has no such address. Give one that it has with --listen',
    EAFNOSUPPORT: 'this machine has no such address family. Give an IPv4 address with --listen',
    EACCES: 'ports below 1024 need the capability NET_BIND_SERVICE. Give a higher port with --listen',
    ENOTFOUND: 'the host name is not known. Give an address with --listen',
    EAI_AGAIN: 'the host name could not be resolved. Give an address with --listen',
  };
  const reason =
    causes[code] ?? `the system refused it (${code || 'unknown error'}). Give another address with --listen`;
  return new PlainsightError('LISTEN', `Cannot listen on ${listen}: ${reason}.`, {
    cause,
    ...(errno !== undefined && syscall === 'listen' ? { errno: Math.abs(errno) } : {}),
  });
}
