/**
 * Bytes that the kernel side copies per request and side, of responses of several kinds. Needs root. nginx answers, h2load
 * asks, and both are traced, so that each request is copied from twice.
 */

import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fromRoot } from '../src/root.ts';

const run = promisify(execFile);
const PORT = 18_470;
const LARGE_BYTES = 1_000_000;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

interface Kind {
  readonly name: string;
  readonly path: string;
  readonly http2: boolean;
  readonly requests: number;
}

const KINDS: readonly Kind[] = [false, true].flatMap((http2) => {
  const version = http2 ? 'HTTP/2' : 'HTTP/1.1';
  return [
    { name: `${version}, 100 B`, path: '/small', http2, requests: 5000 },
    { name: `${version}, 1 MB, length known`, path: '/large', http2, requests: 200 },
    { name: `${version}, 1 MB, length not known`, path: '/large.html', http2, requests: 200 },
  ];
});

async function start(folder: string) {
  const server = (port: number, options: string) =>
    `server { listen 127.0.0.1:${port} ${options}; root ${folder}; location ~ html { ssi on; ssi_types *; } }`;
  writeFileSync(join(folder, 'small'), Buffer.alloc(100, 'x'));
  for (const name of ['large', 'large.html']) writeFileSync(join(folder, name), Buffer.alloc(LARGE_BYTES, 'x'));
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; pid ${folder}/pid; error_log stderr; worker_processes 1; user root; events {}
     http { access_log off; keepalive_requests 1000000; client_body_temp_path ${folder}/body;
     ${server(PORT, '')} ${server(PORT + 1, 'http2')} }`,
  );
  const nginx = spawn('/usr/sbin/nginx', ['-c', join(folder, 'nginx.conf'), '-e', 'stderr'], { stdio: 'ignore' });
  const agent = spawn(fromRoot('bin/plainsight'), ['run', '--listen', '127.0.0.1:0', '--tls', 'off'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const url = await new Promise<string>((resolve, reject) => {
    agent.on('exit', () => {
      nginx.kill();
      reject(new Error('the agent ended'));
    });
    agent.stdout.on('data', (data) => {
      const found = /http:\/\/127\.0\.0\.1:\d+/.exec(String(data))?.[0];
      if (found) resolve(`${found}/metrics`);
    });
  });
  return { nginx, agent, url };
}

async function copied(url: string): Promise<number> {
  await sleep(200);
  const text = await (await fetch(url)).text();
  return Number(/^plainsight_captured_bytes_total (\S+)$/m.exec(text)?.[1]);
}

export async function benchCapture(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'plainsight-bench-'));
  const { nginx, agent, url } = await start(folder);
  console.log('bytes copied per request and side');
  try {
    for (const { name, path, http2, requests } of KINDS) {
      // What the agent and its reader say to each other is not traced or small; it is measured and taken off.
      const idle = await copied(url);
      const before = await copied(url);
      const how = http2 ? ['-m', '10'] : ['--h1'];
      const base = `http://127.0.0.1:${PORT + Number(http2)}${path}`;
      await run('h2load', [...how, '-c', '4', '-n', String(requests), base]);
      const bytes = (await copied(url)) - before - (before - idle);
      console.log(
        `  ${name.padEnd(32)} ${Math.round(bytes / requests / 2)
          .toString()
          .padStart(8)}`,
      );
    }
  } finally {
    nginx.kill();
    agent.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}
