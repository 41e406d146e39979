/** The HTTP/2 servers of the tests, which serve files and a few statuses, each in a unit of its own; Node.js makes up what it serves. */

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import { type Certificate, copyNode, freePort } from '../kernel/harness.ts';
import { LARGE, type Load, SIZES } from './load.ts';
import { type Running, startIn } from './programs.ts';
import { caddyCommand } from './proxies.ts';

export interface FileServer {
  readonly name: string;
  readonly packages?: readonly string[];
  /** The files are in `folder`/root. */
  start(t: TestContext, tls: Certificate | undefined, folder: string): Promise<Running>;
  /** 5,000 requests and more. */
  readonly loads: (folder: string) => readonly Load[];
}

const files = SIZES.map((size) => `/f${size}`);
const ok = (paths: readonly string[]) => paths.map(() => 200);

const fileLoads = (post: number, remove: number) => (folder: string) => [
  { paths: files, statuses: ok(files), requests: 3200 },
  { paths: files, statuses: ok(files), requests: 640, method: 'HEAD' },
  { paths: ['/missing', '/f100'], statuses: [404, 200], requests: 960 },
  { paths: [`/f${LARGE}`], statuses: [200], requests: 20, streams: 5 },
  { paths: ['/f100'], statuses: [post], requests: 200, body: join(folder, 'root/f16384') },
  { paths: ['/f1'], statuses: [remove], requests: 200, method: 'DELETE' },
];

const STATUS_LOAD: Load = {
  paths: ['/created', '/empty', '/moved', '/error'],
  statuses: [201, 204, 301, 503],
  requests: 800,
};

export const nginx: FileServer = {
  name: 'nginx',
  async start(t, tls, folder) {
    const port = await freePort();
    const secure = tls ? `ssl_certificate ${tls.certificate}; ssl_certificate_key ${tls.key};` : '';
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    writeFileSync(
      join(folder, 'nginx.conf'),
      `daemon off; pid ${folder}/pid; error_log stderr; worker_processes 2; user root;
events { worker_connections 1024; }
http {
  ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')}
  access_log off; keepalive_requests 1000000; client_max_body_size 0; http2_max_concurrent_streams 128; sendfile on;
  server {
    listen 127.0.0.1:${port} ${tls ? 'ssl' : ''} http2; root ${folder}/root; ${secure}
    location /created { return 201 "created\\n"; }
    location /empty { return 204; }
    location /moved { return 301 /f1; }
    location /error { return 503; }
    location /slow { limit_rate 1m; }
  }
}`,
    );
    const args = ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'];
    return startIn(t, 'nginx', port, '/usr/sbin/nginx', ...args);
  },
  loads: (folder) => [...fileLoads(405, 405)(folder), STATUS_LOAD],
};

const APACHE_MODULES = ['mpm_event', 'authz_core', 'alias', 'ssl', 'http2'];

const apache: FileServer = {
  name: 'Apache',
  packages: ['apache2-bin'],
  async start(t, tls, folder) {
    const port = await freePort();
    const home = join(folder, 'apache');
    mkdirSync(home);
    // Its children are of another user and read the files.
    chmodSync(folder, 0o755);
    const secure = tls ? `SSLEngine on\nSSLCertificateFile ${tls.certificate}\nSSLCertificateKeyFile ${tls.key}` : '';
    writeFileSync(
      join(folder, 'apache.conf'),
      `ServerRoot ${home}
${APACHE_MODULES.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
ServerName localhost
User www-data
Group www-data
Listen 127.0.0.1:${port}
PidFile ${home}/pid
ErrorLog ${home}/log
Mutex file:${home}
DocumentRoot ${folder}/root
StartServers 2
MaxSpareThreads 400
MaxKeepAliveRequests 0
KeepAliveTimeout 60
Protocols ${tls ? 'h2' : 'h2c'}
${secure}
Redirect 201 /created
Redirect 204 /empty
Redirect 301 /moved /f1
Redirect 503 /error
`,
    );
    return startIn(t, 'apache', port, '/usr/sbin/apache2', '-DFOREGROUND', '-f', join(folder, 'apache.conf'));
  },
  loads: (folder) => [...fileLoads(200, 405)(folder), STATUS_LOAD],
};

const nghttpd: FileServer = {
  name: 'nghttpd',
  packages: ['nghttp2-server'],
  start: (t, tls, folder) => startNghttpd(t, tls, folder, '-n', '2'),
  loads: fileLoads(200, 200),
};

export async function startNghttpd(
  t: TestContext,
  tls: Certificate | undefined,
  folder: string,
  ...flags: string[]
): Promise<Running> {
  const port = await freePort();
  const options = ['-a', '127.0.0.1', '-d', join(folder, 'root'), ...flags];
  const args = tls ? [String(port), tls.key, tls.certificate] : ['--no-tls', String(port)];
  return startIn(t, 'nghttpd', port, 'nghttpd', ...options, ...args);
}

const node: FileServer = {
  name: 'Node.js',
  async start(t, tls, folder) {
    const port = await freePort();
    const secure = tls ? [tls.certificate, tls.key] : [];
    const script = fromRoot('fixtures/servers/http2-server.mjs');
    return startIn(t, 'node', port, copyNode(folder), script, String(port), ...secure);
  },
  loads: (folder) => {
    const paths = SIZES.map((size, index) => `/${index % 2 ? 200 : 404}/${size}${index > 3 ? '/chunks' : ''}`);
    const statuses = SIZES.map((_, index) => (index % 2 ? 200 : 404));
    return [
      { paths, statuses, requests: 3200 },
      { paths: ['/204/0', '/500/10'], statuses: [204, 500], requests: 1000, method: 'DELETE' },
      { paths: ['/200/0'], statuses: [200], requests: 400, method: 'HEAD' },
      { paths: ['/201/300'], statuses: [201], requests: 400, body: join(folder, 'root/f100000') },
      { paths: [`/200/${LARGE}/chunks`], statuses: [200], requests: 20, streams: 5 },
    ];
  },
};

const caddy: FileServer = {
  name: 'Caddy',
  packages: ['caddy'],
  async start(t, tls, folder) {
    const port = await freePort();
    writeFileSync(
      join(folder, 'Caddyfile'),
      `{
  admin off
  auto_https off
  servers {
    protocols h1 h2 h2c
  }
}
http${tls ? 's' : ''}://:${port} {
  bind 127.0.0.1
  ${tls ? `tls ${tls.certificate} ${tls.key}` : ''}
  root * ${folder}/root
  respond /created "created" 201
  respond /empty 204
  redir /moved /f1 301
  respond /error 503
  file_server
}
`,
    );
    return startIn(t, 'caddy', port, ...caddyCommand(folder));
  },
  loads: (folder) => [...fileLoads(200, 200)(folder), STATUS_LOAD],
};

export const FILE_SERVERS: readonly FileServer[] = [nginx, apache, nghttpd, node, caddy];
