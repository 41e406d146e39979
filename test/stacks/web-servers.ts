/** Servers and proxies: as a server they end TLS, as a client they speak it to a server behind them. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, readCounts, startPythonServer } from '../kernel/harness.ts';
import { listens, pythonClient, STATUSES, startIn } from './scenario.ts';
import type { Stack, Stage } from './stack.ts';

/** A proxy that listens on `port` without TLS and speaks TLS to `upstream`: our client sends through it. */
async function through(start: (port: number) => Promise<void>, count: number) {
  const port = await freePort();
  await start(port);
  return readCounts(await pythonClient(`http://127.0.0.1:${port}`, count));
}

async function startNginx({ t, folder, unit }: Stage, server: string): Promise<void> {
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; pid ${folder}/pid; error_log stderr; worker_processes 2; user root;
events { worker_connections 256; }
http { ${paths.join(' ')} access_log off; keepalive_requests 1000000; ${server} }`,
  );
  await startIn(t, unit, ['/usr/sbin/nginx', '-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr']);
}

const nginx: Stack = {
  name: 'nginx',
  library: 'openssl',
  packages: ['nginx'],
  async server(stage, port) {
    const { certificate, key } = stage.certificate;
    const locations = STATUSES.map((status) => `location /status/${status} { return ${status}; }`).join(' ');
    await startNginx(
      stage,
      `server { listen 127.0.0.1:${port} ssl; ssl_certificate ${certificate}; ssl_certificate_key ${key}; ${locations} }`,
    );
    await listens(port);
  },
  client: (stage, port, count) =>
    through(async (own) => {
      const upstream = `upstream back { server 127.0.0.1:${port}; keepalive 4; }`;
      const proxy = 'proxy_pass https://back; proxy_http_version 1.1; proxy_set_header Connection "";';
      await startNginx(stage, `${upstream} server { listen 127.0.0.1:${own}; location / { ${proxy} } }`);
      await listens(own);
    }, count),
};

const APACHE_MODULES = ['mpm_event', 'authz_core', 'rewrite', 'ssl', 'socache_shmcb', 'proxy', 'proxy_http'];

async function startApache({ t, folder, unit }: Stage, lines: readonly string[]): Promise<void> {
  const modules = APACHE_MODULES.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`);
  const base = [
    `ServerRoot ${folder}`,
    `PidFile ${folder}/pid`,
    'ServerName localhost',
    `ErrorLog ${folder}/error.log`,
  ];
  const limits = ['KeepAlive On', 'MaxKeepAliveRequests 0', 'KeepAliveTimeout 60', `DefaultRuntimeDir ${folder}`];
  const user = ['User nobody', 'Group nogroup', 'Mutex pthread', `DocumentRoot ${folder}`];
  writeFileSync(join(folder, 'httpd.conf'), `${[...modules, ...base, ...limits, ...user, ...lines].join('\n')}\n`);
  await startIn(t, unit, ['/usr/sbin/apache2', '-f', join(folder, 'httpd.conf'), '-D', 'FOREGROUND']);
}

const apache: Stack = {
  name: 'Apache httpd (mod_ssl)',
  library: 'openssl',
  packages: ['apache2-bin'],
  async server(stage, port) {
    const { certificate, key } = stage.certificate;
    await startApache(stage, [
      `Listen 127.0.0.1:${port}`,
      'SSLEngine On',
      `SSLCertificateFile ${certificate}`,
      `SSLCertificateKeyFile ${key}`,
      'RewriteEngine On',
      ...STATUSES.map((status) => `RewriteRule ^/status/${status}$ ${status === 301 ? '/' : '-'} [R=${status},L]`),
    ]);
    await listens(port);
  },
  client: (stage, port, count) =>
    through(async (own) => {
      await startApache(stage, [
        `Listen 127.0.0.1:${own}`,
        'SSLProxyEngine On',
        'SSLProxyVerify none',
        'SSLProxyCheckPeerName Off',
        'SSLProxyCheckPeerExpire Off',
        `ProxyPass / https://127.0.0.1:${port}/`,
      ]);
      await listens(own);
    }, count),
};

async function startHaproxy({ t, folder, unit }: Stage, sections: string): Promise<void> {
  const defaults = 'defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n';
  writeFileSync(join(folder, 'haproxy.cfg'), `global\n  maxconn 256\n${defaults}${sections}`);
  await startIn(t, unit, ['/usr/sbin/haproxy', '-db', '-f', join(folder, 'haproxy.cfg')]);
}

const haproxy: Stack = {
  name: 'HAProxy',
  library: 'openssl',
  packages: ['haproxy'],
  async server(stage, port) {
    const { certificate, key } = stage.certificate;
    const both = join(stage.folder, 'both.pem');
    writeFileSync(both, readFileSync(certificate, 'utf8') + readFileSync(key, 'utf8'));
    const back = await startPythonServer(stage.t, undefined);
    await startHaproxy(
      stage,
      `frontend f\n  bind 127.0.0.1:${port} ssl crt ${both}\n  default_backend b\nbackend b\n  server s 127.0.0.1:${back.port}\n`,
    );
    await listens(port);
  },
  client: (stage, port, count) =>
    through(async (own) => {
      const back = `backend b\n  server s 127.0.0.1:${port} ssl verify none\n`;
      await startHaproxy(stage, `frontend f\n  bind 127.0.0.1:${own}\n  default_backend b\n${back}`);
      await listens(own);
    }, count),
};

async function startStunnel({ t, folder, unit }: Stage, service: string): Promise<void> {
  const base = `foreground = yes\npid =\nsyslog = no\n`;
  writeFileSync(join(folder, 'stunnel.conf'), `${base}[service]\n${service}`);
  await startIn(t, unit, ['/usr/bin/stunnel4', join(folder, 'stunnel.conf')]);
}

const stunnel: Stack = {
  name: 'stunnel',
  library: 'openssl',
  packages: ['stunnel4'],
  async server(stage, port) {
    const { certificate, key } = stage.certificate;
    const back = await startPythonServer(stage.t, undefined);
    await startStunnel(
      stage,
      `accept = 127.0.0.1:${port}\nconnect = 127.0.0.1:${back.port}\ncert = ${certificate}\nkey = ${key}\n`,
    );
    await listens(port);
  },
  client: (stage, port, count) =>
    through(async (own) => {
      await startStunnel(stage, `client = yes\naccept = 127.0.0.1:${own}\nconnect = 127.0.0.1:${port}\n`);
      await listens(own);
    }, count),
};

export const WEB_SERVERS: readonly Stack[] = [nginx, apache, haproxy, stunnel];
