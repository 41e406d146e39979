/**
 * Resident memory of `plainsight run` after 100,000 HTTPS requests of nginx, as /proc tells it. Needs root. The load
 * generator is traced too, so that each request is two transactions.
 */

import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fromRoot } from '../src/root.ts';
import { makeCertificate } from '../test/kernel/harness.ts';

const run = promisify(execFile);
const REQUESTS = Number(process.env.BENCH_REQUESTS ?? 100_000);
const PORT = 18_460;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function resident(pid: number): string {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const megabytes = (name: string) => (Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) * 1024) / 1e6;
  const parts = ['VmRSS', 'RssAnon', 'RssFile'].map((name) => `${name} ${megabytes(name).toFixed(1)} MB`);
  return parts.join(', ');
}

export async function benchMemory(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'plainsight-bench-'));
  const { certificate, key } = await makeCertificate(folder);
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; pid ${folder}/pid; error_log stderr; worker_processes 1; user root; events {}
     http { access_log off; keepalive_requests 1000000; client_body_temp_path ${folder}/body;
     server { listen 127.0.0.1:${PORT} ssl; ssl_certificate ${certificate}; ssl_certificate_key ${key};
       location / { return 200 "ok\\n"; } } }`,
  );
  const nginx = spawn('/usr/sbin/nginx', ['-c', join(folder, 'nginx.conf'), '-e', 'stderr'], { stdio: 'ignore' });
  const agent = spawn(fromRoot('bin/plainsight'), ['run', '--listen', '127.0.0.1:0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const url = await new Promise<string>((resolve, reject) => {
      agent.stdout.on('data', (data) => {
        const found = /http:\/\/\S+\/metrics/.exec(String(data))?.[0];
        if (found) resolve(found);
      });
      agent.on('exit', (code) => reject(new Error(`the agent ended with ${code}`)));
    });
    await sleep(1000);
    console.log('memory of `plainsight run`');
    console.log(`  after the start         ${resident(agent.pid!)}`);
    await run('h2load', ['--h1', '-n', String(REQUESTS), '-c', '16', `https://127.0.0.1:${PORT}/`]);
    await sleep(1000);
    console.log(`  after ${REQUESTS} requests   ${resident(agent.pid!)}`);
    for (let i = 0; i < 5; i++) await (await fetch(url)).text();
    await sleep(500);
    console.log(`  after five scrapes      ${resident(agent.pid!)}`);
    const text = await (await fetch(url)).text();
    const counted = /^http_request_duration_seconds_count\{.*service="nginx".*\} (\d+)$/m.exec(text)?.[1];
    const lost = [...text.matchAll(/^plainsight_events_lost_total\{.*\} (\d+)$/gm)].reduce(
      (n, [, value]) => n + Number(value),
      0,
    );
    console.log(`  counted ${counted} of ${REQUESTS}, lost ${lost}`);
  } finally {
    agent.removeAllListeners('exit');
    agent.kill();
    nginx.kill();
    await Promise.all([agent, nginx].map((child) => new Promise((resolve) => child.on('exit', resolve))));
    rmSync(folder, { recursive: true, force: true });
  }
}
