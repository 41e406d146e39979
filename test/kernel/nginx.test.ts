import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import {
  countLines,
  h2load,
  hasSocketTracepoints,
  makeCertificate,
  PLAINSIGHT,
  run,
  scaled,
  startAgent,
  startNginx,
  temporaryFolder,
  written,
} from './harness.ts';

const PATHS = ['/ok', '/empty', '/moved', '/missing', '/error'];
const GETS = scaled(10_000, 500);
const POSTS = scaled(2_000, 100);

/** GET and POST, five statuses: the access log and h2load say how many there were. */
async function load(base: string, folder: string): Promise<number> {
  writeFileSync(`${folder}/body`, 'b'.repeat(300));
  const gets = await h2load(base, PATHS, GETS);
  const posts = await h2load(base, PATHS, POSTS, '-d', `${folder}/body`);
  return gets + posts;
}

async function countedOnBothSides(t: TestContext, scheme: 'https' | 'http', options: readonly string[]): Promise<void> {
  const folder = temporaryFolder(t);
  const tls = scheme === 'https' ? await makeCertificate(folder) : undefined;
  const nginx = await startNginx(t, { tls });
  const agent = await startAgent(t, ...options);
  const done = await load(`${scheme}://127.0.0.1:${nginx.port}`, folder);
  const expected = countLines(await nginx.accessLog());
  assert.equal(done, GETS + POSTS);
  assert.equal(
    [...expected.values()].reduce((a, b) => a + b, 0),
    GETS + POSTS,
  );
  const server = await agent.expect('server', { service: 'nginx', scheme }, expected);
  const client = await agent.expect('client', { service: 'h2load', scheme }, expected);
  assert.equal(client.lost(), 0);
  assert.equal(client.sum('http_requests_incomplete_total', { service: 'nginx' }), 0, server.text);
  assert.equal((await agent.stop()).code, 0, agent.stderr());
}

const outcome = `each of ${written(GETS + POSTS)} requests is counted once, on both sides`;

for (const probe of ['sites', 'uretprobe'] as const) {
  test(`nginx, https, return probe ${probe}: ${outcome}`, (t) =>
    countedOnBothSides(t, 'https', ['--socket-source', 'off', '--return-probe', probe === 'sites' ? 'auto' : probe]));
}

test(`nginx, http, socket source syscall: ${outcome}`, (t) =>
  countedOnBothSides(t, 'http', ['--socket-source', 'syscall', '--tls', 'off']));

if (hasSocketTracepoints()) {
  test(`nginx, http, socket source socket: ${outcome}`, (t) =>
    countedOnBothSides(t, 'http', ['--socket-source', 'socket', '--tls', 'off']));
} else {
  test('nginx, http, socket source socket: not supported here, and said so', async (t) => {
    const refused = run(PLAINSIGHT, ['run', '--listen', '127.0.0.1:0', '--socket-source', 'socket', '--tls', 'off']);
    await assert.rejects(refused, { code: 2 });
    const agent = await startAgent(t, '--socket-source', 'socket');
    const exposition = await agent.scrape();
    const feature = { feature: 'socket', reason: 'unsupported' };
    assert.ok(exposition.samples.some(({ labels }) => labels.feature === 'socket' && labels.reason === 'unsupported'));
    assert.equal(exposition.sum('plainsight_feature_enabled', feature), 0);
    assert.equal((await agent.stop()).code, 0, agent.stderr());
  });

  test(`nginx, http, socket source auto is the system calls: ${outcome}`, (t) =>
    countedOnBothSides(t, 'http', ['--tls', 'off']));
}
