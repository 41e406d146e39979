import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import {
  makeCertificate,
  PYTHON,
  readCounts,
  run,
  scaled,
  sleep,
  startAgent,
  startNginx,
  startPythonServer,
  temporaryFolder,
  until,
  written,
} from './harness.ts';

const REQUESTS = scaled(1000, 500);
const CLIENT = fromRoot('fixtures/servers/client.py');

for (const scheme of ['https', 'http'] as const) {
  test(`Python server and client, ${scheme}: ${written(REQUESTS)} requests of five methods and seven statuses`, async (t) => {
    const tls = scheme === 'https' ? await makeCertificate(temporaryFolder(t)) : undefined;
    const server = await startPythonServer(t, tls);
    const agent = await startAgent(t);
    // The client is not there yet when the agent starts: it is found when it comes, within a second.
    const { stdout } = await run(PYTHON, [CLIENT, `${scheme}://127.0.0.1:${server.port}`, String(REQUESTS), '1']);
    const expected = readCounts(stdout);
    const service = await serviceOf(server.pid);
    // The two are the same executable, so the same service; the roles tell them apart.
    const exposition = await agent.expect('server', { service, scheme }, expected);
    await agent.expect('client', { service, scheme }, expected);
    const lost = exposition.lost();
    if (lost !== 0) throw new Error(`${lost} events were lost`);
  });
}

test('a process that begins to use TLS long after its start is counted from then on', async (t) => {
  const tls = await makeCertificate(temporaryFolder(t));
  const server = await startPythonServer(t, tls);
  const agent = await startAgent(t);
  const script = `
import sys, time, http.client
time.sleep(4)
import ssl  # maps libssl only now
context = ssl._create_unverified_context()
c = http.client.HTTPSConnection("127.0.0.1", ${server.port}, context=context)
c.request("GET", "/status/204"); c.getresponse().read()
time.sleep(1)
for i in range(20):
    c.request("GET", "/status/204"); c.getresponse().read()
`;
  await run(PYTHON, ['-c', script]);
  const service = await serviceOf(server.pid);
  await until('the requests are counted', async () => {
    const client = (await agent.scrape()).transactions('client', { service, scheme: 'https' });
    return (client.get('GET 204') ?? 0) >= 20 || undefined;
  });
});

for (const kind of ['nginx', 'python'] as const) {
  test(`a connection of ${kind} from before the agent is counted from its next message`, async (t) => {
    const tls = await makeCertificate(temporaryFolder(t));
    const server = kind === 'nginx' ? await startNginx(t, { tls }) : await startPythonServer(t, tls);
    const script = `
import sys, http.client, ssl
context = ssl._create_unverified_context()
c = http.client.HTTPSConnection("127.0.0.1", ${server.port}, context=context)
for i in range(10):
    c.request("GET", "/ok"); c.getresponse().read()
print("go", flush=True)
sys.stdin.readline()
for i in range(25):
    c.request("GET", "/ok"); c.getresponse().read()
`;
    const client = spawn(PYTHON, ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
    t.after(() => client.kill());
    await new Promise((resolve) => client.stdout.once('data', resolve));
    const agent = await startAgent(t);
    await sleep(200);
    client.stdin.write('\n');
    const labels = { service: await serviceOf(server.pid), scheme: 'https' };
    await agent.expect('client', { scheme: 'https' }, new Map([['GET 200', 25]]));
    if (kind === 'nginx') {
      await agent.expect('server', labels, new Map([['GET 200', 25]]));
      return;
    }
    // Its thread waits inside SSL_read when the probes come: that call's entry was never seen, so what it returns is
    // not either. The response to it is an orphan, and counted as one.
    const exposition = await agent.expect('server', labels, new Map([['GET 200', 24]]));
    const orphans = { service: labels.service, role: 'server', reason: 'orphan' };
    assert.equal(exposition.sum('http_requests_incomplete_total', orphans), 1);
  });
}

/** The label of a process outside Kubernetes, found in another way than the agent does. */
async function serviceOf(pid: number): Promise<string> {
  const { stdout: groups } = await run('cat', [`/proc/${pid}/cgroup`]);
  const unit = /([^/\n]+)\.service$/m.exec(groups)?.[1];
  if (unit !== undefined) return unit;
  const { stdout } = await run('readlink', [`/proc/${pid}/exe`]);
  return stdout.trim().split('/').at(-1)!;
}
