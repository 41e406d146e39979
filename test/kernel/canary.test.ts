import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { PLAINSIGHT, run, start, startAgent, startNginx, temporaryFolder, until } from './harness.ts';

test('a canary in URL, header and body is nowhere: metrics, endpoints, debug log, recorded file', async (t) => {
  const canary = 'c4n4ry-7f3b';
  const folder = temporaryFolder(t);
  const nginx = await startNginx(t, { tls: undefined });
  const agent = await startAgent(t, '--log-level', 'debug');
  const capture = join(folder, 'capture');
  const record = start(t, PLAINSIGHT, ['record', '--out', capture]);
  await until('record is attached', () => (record.stderr().includes('recording to') ? true : undefined));
  const headers = [
    '-H',
    `X-Secret: ${canary}`,
    '-H',
    `Cookie: a=${canary}`,
    '-A',
    canary,
    '-H',
    `Host: ${canary}.example`,
  ];
  const url = `http://127.0.0.1:${nginx.port}/ok?token=${canary}`;
  for (let i = 0; i < 20; i++) await run('curl', ['-s', ...headers, '-d', canary.repeat(50), url]);
  await agent.expect('client', { service: 'curl' }, new Map([['POST 200', 20]]));
  let texts = '';
  for (const path of ['/metrics', '/', '/api/status', '/healthz', '/readyz']) {
    texts += await (await fetch(agent.url + path)).text();
  }
  assert.equal((await record.stop('SIGINT')).code, 0, record.stderr());
  texts += agent.stdout() + agent.stderr() + record.stdout() + record.stderr();
  const { stdout: recorded } = await run('cat', [capture], { maxBuffer: 256 * 1024 * 1024 });
  for (const line of recorded.trim().split('\n')) {
    const { data } = JSON.parse(line) as { data?: string };
    texts += data === undefined ? line : Buffer.from(data, 'base64').toString('latin1');
  }
  assert.ok(recorded.includes('"service":"curl"'));
  assert.ok(!texts.includes(canary));
  // And what was recorded is still enough: the same transactions.
  const { stdout: replayed } = await run(PLAINSIGHT, ['replay', capture, '--transactions'], {
    maxBuffer: 64 * 1024 * 1024,
  });
  const posts = replayed
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ service }) => service === 'curl');
  assert.equal(posts.length, 20);
});
