import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { PageFile } from '../../src/web/page-files.ts';
import { WebServer, type WebServerOptions } from '../../src/web/server.ts';

const TEXT = 'text/plain; version=0.0.4; charset=utf-8';
const OPEN_METRICS = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

const html = Buffer.from('<!doctype html>');
const PAGE: ReadonlyMap<string, PageFile> = new Map([
  ['/', { contentType: 'text/html; charset=utf-8', plain: html, gzip: gzipSync(html), headers: { 'X-Page': 'yes' } }],
]);

const running: WebServer[] = [];

afterEach(async () => {
  for (const server of running.splice(0)) await server.close();
});

async function start(options: Partial<WebServerOptions> = {}): Promise<{ port: number; server: WebServer }> {
  const server = new WebServer({
    listen: '127.0.0.1:0',
    metrics: async (openMetrics) => ({
      contentType: openMetrics ? OPEN_METRICS : TEXT,
      body: openMetrics ? 'up 1\n# EOF\n' : 'up 1\n',
    }),
    ready: () => ({ ready: true, reason: 'probes attached' }),
    status: () => ({ features: [], lost: { ring: 0 } }),
    summary: () => ({ services: [] }),
    page: PAGE,
    ...options,
  });
  running.push(server);
  return { port: (await server.start()).port, server };
}

/** Sends bytes as they are and gives all bytes that come back until the server closes. */
async function exchange(port: number, request: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  const parts: Buffer[] = [];
  socket.on('data', (part) => parts.push(part));
  // A server that closes before it read everything resets the connection; what it had sent counts.
  socket.on('error', () => {});
  socket.write(request);
  await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(parts).toString('latin1');
}

function get(port: number, path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}${path}`, { method, headers: { connection: 'close', ...headers } });
}

async function connected(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

describe('routes', () => {
  test('/metrics is the text format unless OpenMetrics is asked for', async () => {
    const { port } = await start();
    const text = await get(port, '/metrics');
    assert.equal(text.status, 200);
    assert.equal(text.headers.get('content-type'), TEXT);
    assert.equal(text.headers.get('vary'), 'Accept, Accept-Encoding');
    assert.equal(await text.text(), 'up 1\n');
    const open = await get(port, '/metrics', { accept: 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5' });
    assert.equal(open.headers.get('content-type'), OPEN_METRICS);
    assert.equal(await open.text(), 'up 1\n# EOF\n');
  });

  test('a query changes nothing', async () => {
    const { port } = await start();
    assert.equal(await (await get(port, '/metrics?name[]=up')).text(), 'up 1\n');
  });

  test('/healthz', async () => {
    const { port } = await start({ ready: () => ({ ready: false, reason: 'loading' }) });
    const response = await get(port, '/healthz');
    assert.equal(response.status, 200);
    assert.equal(await response.text(), 'ok\n');
  });

  test('/readyz follows the state of the probes', async () => {
    let ready = false;
    const { port } = await start({ ready: () => ({ ready, reason: ready ? 'probes attached' : 'loading probes' }) });
    const before = await get(port, '/readyz');
    assert.deepEqual([before.status, await before.text()], [503, 'not ready: loading probes\n']);
    ready = true;
    const after = await get(port, '/readyz');
    assert.deepEqual([after.status, await after.text()], [200, 'ready: probes attached\n']);
  });

  test('/api/status is JSON', async () => {
    const { port } = await start();
    const response = await get(port, '/api/status');
    assert.equal(response.headers.get('content-type'), 'application/json; charset=utf-8');
    assert.deepEqual(await response.json(), { features: [], lost: { ring: 0 } });
  });

  test('/api/summary gets the query and is packed', async () => {
    const queries: string[] = [];
    const services = Array.from({ length: 100 }, (_, index) => ({ service: `service-${index}` }));
    const { port } = await start({
      summary: (query) => {
        queries.push(query.toString());
        return { services };
      },
    });
    const response = await get(port, '/api/summary?role=client&service=a%26b');
    assert.equal(response.headers.get('content-type'), 'application/json; charset=utf-8');
    assert.equal(response.headers.get('content-encoding'), 'gzip');
    assert.equal(response.headers.get('vary'), 'Accept-Encoding');
    assert.deepEqual(await response.json(), { services });
    const plain = await exchange(port, 'GET /api/summary HTTP/1.0\r\n\r\n');
    assert.doesNotMatch(plain, /content-encoding/i);
    assert.deepEqual(JSON.parse(plain.slice(plain.indexOf('\r\n\r\n'))), { services });
    assert.deepEqual(queries, ['role=client&service=a%26b', '']);
  });

  test('the files of the page are served from memory, packed when asked for, each with its own head', async () => {
    const { port } = await start();
    const page = await get(port, '/?theme=dark');
    assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8');
    assert.equal(page.headers.get('content-encoding'), 'gzip');
    assert.equal(page.headers.get('x-page'), 'yes');
    assert.equal(page.headers.get('cache-control'), 'no-store');
    assert.equal(await page.text(), '<!doctype html>');
    const plain = await exchange(port, 'GET / HTTP/1.0\r\n\r\n');
    assert.ok(plain.endsWith('\r\n\r\n<!doctype html>'), plain);
    assert.doesNotMatch(plain, /content-encoding/i);
  });

  test('HEAD gives the head that GET gives', async () => {
    const { port } = await start();
    for (const path of ['/', '/metrics', '/healthz', '/readyz', '/api/status', '/api/summary']) {
      const heads = [];
      for (const method of ['GET', 'HEAD']) {
        const response = await get(port, path, {}, method);
        const body = await response.text();
        assert.equal(body === '', method === 'HEAD', path);
        heads.push([response.status, ...[...response.headers].filter(([name]) => name !== 'date')]);
      }
      assert.deepEqual(heads[1], heads[0], path);
    }
  });

  test('404 for every other path, and it is not echoed', async () => {
    const { port } = await start();
    for (const path of ['/metrics/', '/METRICS', '/canary-4711', '//metrics', '/%2e%2e/etc/passwd', '/favicon.ico']) {
      const response = await get(port, path);
      assert.deepEqual([response.status, await response.text()], [404, 'not found\n'], path);
    }
  });

  test('405 for every other method, with what is allowed', async () => {
    const { port } = await start();
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
      const response = await get(port, '/metrics', {}, method);
      assert.equal(response.status, 405, method);
      assert.equal(response.headers.get('allow'), 'GET, HEAD', method);
    }
  });

  test('every response forbids guessing of its type and keeping it', async () => {
    const { port } = await start();
    for (const path of ['/', '/metrics', '/nowhere']) {
      const { headers } = await get(port, path);
      assert.equal(headers.get('x-content-type-options'), 'nosniff', path);
      assert.equal(headers.get('cache-control'), 'no-store', path);
      assert.equal(headers.get('access-control-allow-origin'), null, path);
    }
  });
});

describe('compression', () => {
  const long = 'metric_with_a_name 1\n'.repeat(200);
  const metrics = async (): Promise<{ contentType: string; body: string }> => ({ contentType: TEXT, body: long });

  /** The body as it is on the wire. */
  async function wire(port: number, acceptEncoding: string): Promise<{ head: string; body: Buffer }> {
    const request = `GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: ${acceptEncoding}\r\n\r\n`;
    const response = await exchange(port, request);
    const end = response.indexOf('\r\n\r\n');
    return { head: response.slice(0, end), body: Buffer.from(response.slice(end + 4), 'latin1') };
  }

  test('gzip where it is accepted', async () => {
    const { port } = await start({ metrics });
    const { head, body } = await wire(port, 'deflate, gzip;q=0.8');
    assert.match(head, /\r\nContent-Encoding: gzip/);
    assert.match(head, new RegExp(`\r\nContent-Length: ${body.length}(\r|$)`));
    assert.ok(body.length < long.length / 4);
    assert.equal(gunzipSync(body).toString(), long);
  });

  test('not where it is refused or not named', async () => {
    const { port } = await start({ metrics });
    for (const encoding of ['identity', 'gzip;q=0', 'br']) {
      const { head, body } = await wire(port, encoding);
      assert.doesNotMatch(head, /Content-Encoding/);
      assert.equal(body.toString(), long, encoding);
    }
  });

  test('not for a short body', async () => {
    const { port } = await start({ metrics: async () => ({ contentType: TEXT, body: 'x'.repeat(1024) }) });
    assert.doesNotMatch((await wire(port, 'gzip')).head, /Content-Encoding/);
  });
});

describe('failures inside', () => {
  test('are status 500 without details, and are reported', async () => {
    const failure = new Error('canary-4711');
    const reported: unknown[] = [];
    const fail = (): never => {
      throw failure;
    };
    const { port } = await start({
      metrics: async () => fail(),
      ready: fail,
      status: fail,
      report: (error) => reported.push(error),
    });
    for (const path of ['/metrics', '/readyz', '/api/status']) {
      const response = await get(port, path);
      assert.deepEqual([response.status, await response.text()], [500, 'internal error\n'], path);
    }
    assert.deepEqual(reported, [failure, failure, failure]);
    assert.equal((await get(port, '/healthz')).status, 200);
  });

  test('a failed scrape does not spoil the next', async () => {
    let calls = 0;
    const { port } = await start({
      metrics: async () => {
        if (calls++ === 0) throw new Error('once');
        return { contentType: TEXT, body: 'up 1\n' };
      },
    });
    assert.equal((await get(port, '/metrics')).status, 500);
    assert.equal((await get(port, '/metrics')).status, 200);
  });
});

describe('clients that do harm', () => {
  test('scrapes that come in while one is rendered share it', async () => {
    let calls = 0;
    const { port } = await start({
      metrics: async () => {
        calls++;
        await setImmediate();
        return { contentType: TEXT, body: 'up 1\n' };
      },
    });
    const request = 'GET /metrics HTTP/1.1\r\nHost: x\r\n';
    // In one segment, so that all have come in before the first is answered.
    const response = await exchange(port, `${request}\r\n${request}\r\n${request}Connection: close\r\n\r\n`);
    assert.equal(response.split('up 1\n').length - 1, 3);
    assert.equal(calls, 1);
    await get(port, '/metrics');
    assert.equal(calls, 2);
  });

  test('a head over 8 KiB is refused', async () => {
    const { port } = await start();
    const response = await exchange(port, `GET / HTTP/1.1\r\nHost: x\r\nX: ${'canary-4711'.repeat(1000)}\r\n\r\n`);
    assert.match(response, /^HTTP\/1\.1 431 /);
    assert.doesNotMatch(response, /canary/);
  });

  test('what is not HTTP is refused and not echoed', async () => {
    const { port } = await start();
    for (const bytes of [
      'canary-4711\r\n\r\n',
      'GET /canary-4711 HTTP/9.9\r\n\r\n',
      '\x16\x03\x01\x02\x00\x01canary-4711',
    ]) {
      const response = await exchange(port, bytes);
      assert.match(response, /^HTTP\/1\.1 400 /);
      assert.doesNotMatch(response, /canary/);
    }
  });

  test('nothing of a request is in a response', async () => {
    const { port } = await start();
    const head =
      'Host: canary-4711\r\nCookie: canary-4711\r\nX-Canary-4711: 1\r\nAccept: canary-4711\r\nConnection: close';
    for (const line of [
      'GET /metrics?canary-4711',
      'GET /canary-4711',
      'POST /canary-4711',
      'GET http://canary-4711/',
    ]) {
      const response = await exchange(port, `${line} HTTP/1.1\r\n${head}\r\n\r\n`);
      assert.match(response, /^HTTP\/1\.1 [24]0\d /, line);
      assert.doesNotMatch(response, /canary/i, line);
    }
  });

  test('a request body ends the connection and is not taken for a request', async () => {
    const { port } = await start();
    const smuggled = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n';
    const chunk = `${smuggled.length.toString(16)}\r\n${smuggled}\r\n`;
    const requests = [
      `Content-Length: ${smuggled.length + 1000}\r\n\r\n${smuggled}`,
      `Content-Length: ${smuggled.length}\r\n\r\n${smuggled}${smuggled}`,
      `Transfer-Encoding: chunked\r\n\r\n${chunk}`,
    ];
    for (const rest of requests) {
      const response = await exchange(port, `GET /metrics HTTP/1.1\r\nHost: x\r\n${rest}`);
      assert.match(response, /^HTTP\/1\.1 200 /, rest);
      assert.match(response, /\r\nConnection: close\r\n/, rest);
      assert.doesNotMatch(response, /ok\n/, rest);
    }
  });

  test('the 65th connection is closed, and there is room again when one goes', async () => {
    const { port } = await start();
    const sockets = await Promise.all(Array.from({ length: 64 }, () => connected(port)));
    assert.equal(await exchange(port, 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'), '');
    const first = sockets[0]!;
    const answered = once(first, 'close');
    first.resume().write('GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await answered;
    assert.equal((await get(port, '/healthz')).status, 200);
    for (const socket of sockets) socket.destroy();
  });
});

describe('addresses', () => {
  test('IPv6 loopback', async () => {
    const server = new WebServer({
      listen: '[::1]:0',
      metrics: async () => ({ contentType: TEXT, body: '' }),
      ready: () => ({ ready: true, reason: '' }),
      status: () => ({}),
      summary: () => ({}),
      page: new Map(),
    });
    running.push(server);
    const { host, port } = await server.start();
    assert.equal(host, '::1');
    assert.equal(await (await fetch(`http://[::1]:${port}/healthz`)).text(), 'ok\n');
  });

  test('all addresses', async () => {
    const { port } = await start({ listen: ':0' });
    assert.equal((await get(port, '/healthz')).status, 200);
  });

  test('given in parts', async () => {
    const { port } = await start({ listen: { host: '127.0.0.1', port: 0 } });
    assert.equal((await get(port, '/healthz')).status, 200);
  });

  test('a port in use', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as { port: number };
    await assert.rejects(start({ listen: `127.0.0.1:${port}` }), {
      code: 'LISTEN',
      errno: 98,
      message: `Cannot listen on 127.0.0.1:${port}: another process listens there. Stop it, or give another port with --listen.`,
    });
    holder.close();
    await once(holder, 'close');
    // Freed, the same server object can take it.
    const server = running.at(-1)!;
    assert.equal((await server.start()).port, port);
  });

  test('an address that is not of this machine', async () => {
    // TEST-NET-1, RFC 5737
    await assert.rejects(start({ listen: '192.0.2.1:0' }), {
      code: 'LISTEN',
      errno: 99,
      message: 'Cannot listen on 192.0.2.1:0: this machine has no such address. Give one that it has with --listen.',
    });
  });

  test('a malformed one', async () => {
    await assert.rejects(start({ listen: 'nonsense' }), { code: 'USAGE' });
  });

  test('a second start', async () => {
    const { server } = await start();
    await assert.rejects(server.start(), { code: 'INTERNAL' });
  });
});

describe('close', () => {
  test('ends idle connections, refuses new ones, and may be repeated', async () => {
    const { port, server } = await start();
    const idle = await connected(port);
    const ended = once(idle.resume(), 'close');
    await server.close();
    await ended;
    await server.close();
    await assert.rejects(get(port, '/healthz'));
  });

  test('does not wait for a client that never reads', async () => {
    const { port, server } = await start({
      metrics: async () => ({ contentType: TEXT, body: 'x'.repeat(32 * 1024 * 1024) }),
    });
    const stuck = await connected(port);
    stuck.on('error', () => {});
    stuck.pause();
    stuck.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(stuck, 'readable');
    await server.close();
    stuck.destroy();
  });

  test('before start does nothing', async () => {
    const server = new WebServer({
      listen: '127.0.0.1:0',
      metrics: async () => ({ contentType: TEXT, body: '' }),
      ready: () => ({ ready: true, reason: '' }),
      status: () => ({}),
      summary: () => ({}),
      page: new Map(),
    });
    await server.close();
  });
});
