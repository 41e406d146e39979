/** Servers in front of a Node.js server, or that one alone, each in a unit of its own. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import { type Certificate, copyNode, freePort } from '../kernel/harness.ts';
import { type Running, startIn } from './programs.ts';

export async function startBackend(t: TestContext, folder: string, tls?: Certificate): Promise<Running> {
  const port = await freePort();
  const secure = tls ? [tls.certificate, tls.key] : [];
  const script = fromRoot('fixtures/servers/mixed-server.mjs');
  return startIn(t, 'backend', port, copyNode(folder), script, String(port), ...secure);
}

export async function startNginxBefore(t: TestContext, backend: Running, tls: Certificate | undefined, folder: string) {
  const port = await freePort();
  const secure = tls ? `ssl_certificate ${tls.certificate}; ssl_certificate_key ${tls.key};` : '';
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; pid ${folder}/pid; error_log stderr; worker_processes 2; user root;
events { worker_connections 1024; }
http {
  ${paths.join(' ')}
  access_log off; keepalive_requests 1000000; client_max_body_size 0; proxy_max_temp_file_size 0;
  upstream backend { server 127.0.0.1:${backend.port}; keepalive 16; }
  server {
    listen 127.0.0.1:${port} ${tls ? 'ssl' : ''}; ${secure}
    location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}`,
  );
  return startIn(t, 'nginx', port, '/usr/sbin/nginx', '-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr');
}

/** Apache with the event MPM; plain, it also speaks h2c by Upgrade, and opens tunnels to the port `connectTo`. */
export async function startApacheBefore(
  t: TestContext,
  backend: Running,
  tls: Certificate | undefined,
  folder: string,
  connectTo = 0,
): Promise<Running> {
  const port = await freePort();
  const modules = ['mpm_event', 'authz_core', 'proxy', 'proxy_http', 'proxy_connect', 'ssl', 'http2'];
  const secure = tls ? `SSLEngine on\nSSLCertificateFile ${tls.certificate}\nSSLCertificateKeyFile ${tls.key}` : '';
  mkdirSync(join(folder, 'apache'));
  writeFileSync(
    join(folder, 'apache.conf'),
    `ServerRoot ${folder}/apache
${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
ServerName localhost
User www-data
Group www-data
Listen 127.0.0.1:${port}
PidFile ${folder}/apache/pid
ErrorLog ${folder}/apache/log
Mutex file:${folder}/apache
StartServers 2
# None of its processes is to be ended as one too many.
MaxSpareThreads 400
MaxKeepAliveRequests 0
KeepAliveTimeout 60
ProxyErrorOverride Off
${tls ? '' : 'Protocols h2c http/1.1'}
${secure}
${connectTo ? `ProxyRequests On\nAllowCONNECT ${connectTo}` : ''}
ProxyPass / http://127.0.0.1:${backend.port}/
`,
  );
  return startIn(t, 'apache', port, '/usr/sbin/apache2', '-DFOREGROUND', '-f', join(folder, 'apache.conf'));
}

export async function startCaddyBefore(
  t: TestContext,
  backend: Running,
  tls: Certificate | undefined,
  folder: string,
): Promise<Running> {
  const port = await freePort();
  writeFileSync(
    join(folder, 'Caddyfile'),
    `{
  admin off
  auto_https off
}
http${tls ? 's' : ''}://:${port} {
  bind 127.0.0.1
  ${tls ? `tls ${tls.certificate} ${tls.key}` : ''}
  reverse_proxy 127.0.0.1:${backend.port}
}
`,
  );
  return startIn(t, 'caddy', port, ...caddyCommand(folder));
}

/** The Caddyfile of the folder. What it remembers of earlier runs stays in the folder too. */
export function caddyCommand(folder: string): [string, ...string[]] {
  const config = join(folder, 'Caddyfile');
  return ['env', `HOME=${folder}`, 'caddy', 'run', '--adapter', 'caddyfile', '--config', config];
}
