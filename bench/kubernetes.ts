/**
 * Resident memory of `plainsight run` on a node with 200 pods, in a cluster with 2,000 services and 10,000 endpoints, beside one
 * without Kubernetes, as /proc tells it. Needs root. The API server is the one of the tests, in this process.
 */

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromRoot } from '../src/root.ts';
import { ApiServer, makeServerCertificate } from '../test/kubernetes/api-server.ts';
import { ENDPOINTS_EACH, fill, isRead, PODS, SERVICES } from '../test/kubernetes/large-cluster.ts';

const LIMIT_MS = 60_000;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function residentMegabytes(env: Record<string, string>, ready: (status: string) => boolean): Promise<number> {
  const args = [
    'run',
    '--listen',
    '127.0.0.1:0',
    '--node-name',
    'node-1',
    '--kubernetes',
    env.KUBECONFIG ? 'on' : 'off',
  ];
  const agent = spawn(fromRoot('bin/plainsight'), args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  try {
    const url = await new Promise<string>((resolve, reject) => {
      agent.stdout.on('data', (data) => {
        const found = /http:\/\/[^/]+/.exec(String(data))?.[0];
        if (found) resolve(found);
      });
      agent.on('exit', (code) => reject(new Error(`the agent ended with ${code}`)));
    });
    const deadline = Date.now() + LIMIT_MS;
    while (!ready(await (await fetch(`${url}/api/status`)).text())) {
      if (Date.now() > deadline) throw new Error('the agent has not read the cluster');
      await sleep(100);
    }
    for (let i = 0; i < 5; i++) await (await fetch(`${url}/metrics`)).text();
    await sleep(5000);
    return (Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${agent.pid}/status`, 'utf8'))?.[1]) * 1024) / 1e6;
  } finally {
    agent.removeAllListeners('exit');
    agent.kill();
    await new Promise((resolve) => agent.on('close', resolve));
  }
}

export async function benchKubernetes(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'plainsight-bench-'));
  const server = new ApiServer(await makeServerCertificate(folder));
  try {
    fill(server);
    await server.listen();
    const path = join(folder, 'kubeconfig');
    const cluster = { server: server.url, 'certificate-authority': server.authority };
    const config = {
      'current-context': 'bench',
      contexts: [{ name: 'bench', context: { cluster: 'bench', user: 'bench' } }],
      clusters: [{ name: 'bench', cluster }],
      users: [{ name: 'bench', user: { token: server.token } }],
    };
    writeFileSync(path, JSON.stringify(config));
    const without = await residentMegabytes({}, () => true);
    const with_ = await residentMegabytes({ KUBECONFIG: path }, isRead);
    console.log(`memory with ${PODS} pods on the node, ${SERVICES} services, ${SERVICES * ENDPOINTS_EACH} endpoints`);
    console.log(`  without Kubernetes      VmRSS ${without.toFixed(1)} MB`);
    console.log(
      `  with it                 VmRSS ${with_.toFixed(1)} MB, ${(with_ / without).toFixed(2)} times as much`,
    );
  } finally {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
