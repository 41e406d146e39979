import assert from 'node:assert/strict';
import { test } from 'node:test';
import { h2load, makeCertificate, PLAINSIGHT, start, startNginx, temporaryFolder, until } from './harness.ts';

test('the peer of a HTTPS connection is the other end of its socket, on both sides', async (t) => {
  const nginx = await startNginx(t, { tls: await makeCertificate(temporaryFolder(t)) });
  const base = `https://127.0.0.1:${nginx.port}`;
  const tail = start(t, PLAINSIGHT, ['tail', '--json', '--tls']);
  await until('tail is attached', async () => {
    await h2load(base, ['/empty'], 8);
    return tail.stdout().includes('"status":204') || undefined;
  });
  await h2load(base, ['/missing'], 200);
  const transactions = await until('all transactions', () => {
    const lines = tail.stdout().split('\n').slice(0, -1);
    const missing = lines.map((line) => JSON.parse(line)).filter(({ status }) => status === 404);
    return missing.length >= 400 ? missing : undefined;
  });
  const peers = (role: string) => transactions.filter((one) => one.role === role).map(({ peer }) => peer as string);
  assert.deepEqual(new Set(peers('client')), new Set([`127.0.0.1:${nginx.port}`]));
  const clients = new Set(peers('server'));
  assert.equal(clients.size, 8, [...clients].join(' '));
  for (const peer of clients) assert.match(peer, /^127\.0\.0\.1:\d+$/);
});
