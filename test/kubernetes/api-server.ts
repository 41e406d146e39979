/**
 * An API server for the tests: lists in pages, watches with versions, bookmarks and 410, over HTTPS and with tokens. It
 * keeps the rules of the API concepts (resource versions, field selectors on spec.nodeName, Status objects) and can be made
 * to break them. Everything it holds was put there by the test.
 */

import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { temporaryFolder } from '../kernel/harness.ts';

const run = promisify(execFile);

const LISTS: Readonly<Record<string, { readonly name: string; readonly kind: string; readonly version: string }>> = {
  '/api/v1/pods': { name: 'pods', kind: 'Pod', version: 'v1' },
  '/api/v1/services': { name: 'services', kind: 'Service', version: 'v1' },
  '/api/v1/nodes': { name: 'nodes', kind: 'Node', version: 'v1' },
  '/api/v1/namespaces': { name: 'namespaces', kind: 'Namespace', version: 'v1' },
  '/apis/discovery.k8s.io/v1/endpointslices': {
    name: 'endpointslices',
    kind: 'EndpointSlice',
    version: 'discovery.k8s.io/v1',
  },
};

// biome-ignore lint/suspicious/noExplicitAny: objects of the API have dozens of shapes, and tests make broken ones too
export type ApiObject = any;

interface Change {
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly resource: string;
  readonly object: ApiObject;
}

interface Watcher {
  readonly resource: string;
  readonly node: string;
  readonly response: ServerResponse;
}

export interface ServerCertificate {
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
}

/** An authority, and a certificate of it for 127.0.0.1. */
export async function makeServerCertificate(folder: string, { expired = false } = {}): Promise<ServerCertificate> {
  mkdirSync(folder, { recursive: true });
  const path = (name: string) => join(folder, name);
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const ca = ['-subj', '/CN=test authority', '-days', '2', '-keyout', path('ca.key'), '-out', path('ca.crt')];
  await run('openssl', ['req', '-x509', ...curve, ...ca]);
  writeFileSync(path('extensions'), 'subjectAltName=IP:127.0.0.1');
  await run('openssl', ['req', ...curve, '-subj', '/CN=test', '-keyout', path('tls.key'), '-out', path('tls.csr')]);
  const signed = ['-CA', path('ca.crt'), '-CAkey', path('ca.key'), '-CAcreateserial', '-extfile', path('extensions')];
  const days = ['-days', expired ? '-1' : '2'];
  await run('openssl', ['x509', '-req', '-in', path('tls.csr'), ...signed, ...days, '-out', path('tls.crt')]);
  return { authority: path('ca.crt'), certificate: path('tls.crt'), key: path('tls.key') };
}

const WRONG_ANSWERS: Readonly<Record<string, string>> = {
  'no json': '<html>a proxy</html>',
  half: '{"metadata":{"resourceVersion":"1"},"items":[{"metadata":{',
};

export class ApiServer {
  token = 'first-token';
  /** Instead of an answer: by resource, or for all by `*`. */
  readonly broken = new Map<string, 'unauthorized' | 'forbidden' | 'garbage' | 'no json' | 'half' | 'endless'>();
  readonly requests: string[] = [];
  pageLimit = 500;
  #server: Server | undefined;
  #port = 0;
  readonly #objects = new Map<string, ApiObject>();
  readonly #watchers = new Set<Watcher>();
  readonly #sockets = new Set<Duplex>();
  #changes: Change[] = [];
  #version = 100;
  /** Watches must begin at or after this version. */
  #oldest = 0;
  readonly #certificate: ServerCertificate;

  constructor(certificate: ServerCertificate) {
    this.#certificate = certificate;
  }

  static async start(t: TestContext, options: { expired?: boolean } = {}): Promise<ApiServer> {
    const certificate = await makeServerCertificate(temporaryFolder(t), options);
    const server = new ApiServer(certificate);
    await server.listen();
    t.after(() => server.close());
    return server;
  }

  get url(): string {
    return `https://127.0.0.1:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  get authority(): string {
    return this.#certificate.authority;
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  async listen(): Promise<void> {
    const { certificate, key } = this.#certificate;
    const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (request, response) =>
      this.#answer(request, response),
    );
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    server.on('tlsClientError', () => {});
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
  }

  /** The server goes away, with all its connections. */
  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.dropConnections();
    if (server) await new Promise((resolve) => server.close(resolve));
  }

  dropConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#watchers.clear();
  }

  /** Ends watches in an orderly way, as their timeout does. */
  endWatches(): void {
    for (const { response } of this.#watchers) response.end();
    this.#watchers.clear();
  }

  /** What happened before now is forgotten. */
  compact(): void {
    this.#oldest = ++this.#version;
    this.#changes = [];
  }

  bookmark(): void {
    for (const { response, resource } of this.#watchers) {
      const kind = Object.values(LISTS).find(({ name }) => name === resource)?.kind;
      const object = { kind, metadata: { resourceVersion: String(this.#version) } };
      response.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
    }
  }

  /** Ends watches with a Status object in them, as for a version that was compacted meanwhile. */
  sendStatus(code: number): void {
    for (const { response } of this.#watchers) {
      response.end(`${JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code } })}\n`);
    }
    this.#watchers.clear();
  }

  put(resource: string, object: ApiObject): void {
    const key = keyOf(resource, object);
    const type = this.#objects.has(key) ? 'MODIFIED' : 'ADDED';
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } };
    this.#objects.set(key, stored);
    this.#tell({ version: this.#version, type, resource, object: stored });
  }

  remove(resource: string, object: ApiObject): void {
    const key = keyOf(resource, object);
    const stored = this.#objects.get(key);
    if (stored === undefined) return;
    this.#objects.delete(key);
    const metadata = { ...stored.metadata, resourceVersion: String(++this.#version) };
    this.#tell({ version: this.#version, type: 'DELETED', resource, object: { ...stored, metadata } });
  }

  clear(resource: string): void {
    for (const [key, object] of this.#objects) if (key.startsWith(`${resource} `)) this.remove(resource, object);
  }

  #tell(change: Change): void {
    this.#changes.push(change);
    for (const watcher of this.#watchers) this.#send(watcher, change);
  }

  #send({ resource, node, response }: Watcher, change: Change): void {
    if (change.resource !== resource || !isOn(node, change.object)) return;
    response.write(`${JSON.stringify({ type: change.type, object: change.object })}\n`);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '', this.url);
    const list = LISTS[url.pathname];
    this.requests.push(`${list?.name ?? url.pathname} ${url.searchParams}`);
    const problem = this.broken.get(list?.name ?? '') ?? this.broken.get('*');
    const known = request.headers.authorization === `Bearer ${this.token}` && problem !== 'unauthorized';
    if (list === undefined || !known || problem === 'forbidden') {
      status(response, list === undefined ? 404 : known ? 403 : 401);
      return;
    }
    const text = problem === undefined ? undefined : WRONG_ANSWERS[problem];
    if (problem === 'endless') endless(response);
    if (text !== undefined) response.end(text);
    if (problem === 'endless' || text !== undefined) return;
    const node = /^spec\.nodeName=(.*)$/.exec(url.searchParams.get('fieldSelector') ?? '')?.[1] ?? '';
    if (url.searchParams.get('watch') === '1') this.#watch(list.name, node, url, response);
    else this.#list(list, node, url, response);
  }

  #list({ name, kind, version }: (typeof LISTS)[string], node: string, url: URL, response: ServerResponse): void {
    const all = [...this.#objects].filter(([key, object]) => key.startsWith(`${name} `) && isOn(node, object));
    const limit = Math.min(Number(url.searchParams.get('limit') ?? this.pageLimit), this.pageLimit);
    const from = Number(url.searchParams.get('continue') ?? 0);
    const left = all.length - from - limit;
    const metadata = {
      resourceVersion: String(this.#version),
      ...(left > 0 ? { continue: String(from + limit), remainingItemCount: left } : {}),
    };
    response.setHeader('content-type', 'application/json');
    response.write(`{"kind":"${kind}List","apiVersion":"${version}","metadata":${JSON.stringify(metadata)},"items":[`);
    all.slice(from, from + limit).forEach(([, object], index) => {
      response.write(`${index === 0 ? '' : ','}${JSON.stringify(object)}`);
    });
    response.end(']}\n');
  }

  #watch(resource: string, node: string, url: URL, response: ServerResponse): void {
    const from = Number(url.searchParams.get('resourceVersion'));
    const watcher = { resource, node, response };
    response.setHeader('content-type', 'application/json');
    if (this.broken.get(resource) === 'garbage') {
      response.end('{"type":"ADDED","object":{"metadata":\u0000 this is not JSON\n');
      return;
    }
    if (from < this.#oldest) {
      response.end(`${JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } })}\n`);
      return;
    }
    response.flushHeaders();
    for (const change of this.#changes) if (change.version > from) this.#send(watcher, change);
    this.#watchers.add(watcher);
    response.on('close', () => this.#watchers.delete(watcher));
  }
}

function keyOf(resource: string, { metadata }: ApiObject): string {
  return `${resource} ${metadata.namespace ?? ''}/${metadata.name}`;
}

function isOn(node: string, object: ApiObject): boolean {
  return node === '' || object.spec?.nodeName === node;
}

function status(response: ServerResponse, code: number): void {
  response.statusCode = code;
  response.end(JSON.stringify({ kind: 'Status', status: 'Failure', code, message: 'the server says no' }));
}

function endless(response: ServerResponse): void {
  const piece = 'x'.repeat(64 * 1024);
  response.write('{"metadata":{"resourceVersion":"1"},"items":[{"a":"');
  const more = () => {
    while (!response.destroyed && response.write(piece));
    if (!response.destroyed) response.once('drain', more);
  };
  more();
}
