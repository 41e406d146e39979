import assert from 'node:assert/strict';
import { release } from 'node:os';
import { type TestContext, test } from 'node:test';
import {
  h2load,
  makeCertificate,
  PLAINSIGHT,
  start,
  startAgent,
  startNginx,
  temporaryFolder,
  until,
} from './harness.ts';

/** The layout of structures travels with the attach cookie of uprobes, which came with 5.15 (commit 7adfc6c9b315). */
const [major = 0, minor = 0] = release().split('.').map(Number);
const HAS_COOKIE = major > 5 || (major === 5 && minor >= 15);

/** What `tail` shows of 200 requests on 8 connections, as the server and as the client have it. */
async function peersOf(t: TestContext, ...options: string[]) {
  const nginx = await startNginx(t, { tls: await makeCertificate(temporaryFolder(t)) });
  const base = `https://127.0.0.1:${nginx.port}`;
  const tail = start(t, PLAINSIGHT, ['tail', '--json', '--tls', ...options]);
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
  return { server: `127.0.0.1:${nginx.port}`, seenByClient: peers('client'), seenByServer: new Set(peers('server')) };
}

test('the peer of a HTTPS connection is the other end of its socket, on both sides', async (t) => {
  const { server, seenByClient, seenByServer } = await peersOf(t);
  assert.deepEqual(new Set(seenByClient), new Set([server]));
  assert.equal(seenByServer.size, 8, [...seenByServer].join(' '));
  for (const peer of seenByServer) assert.match(peer, /^127\.0\.0\.1:\d+$/);
});

if (HAS_COOKIE) {
  test('without socket probes it is what the structures of the library say', async (t) => {
    const { server, seenByClient, seenByServer } = await peersOf(t, '--socket-source', 'off');
    assert.deepEqual(new Set(seenByClient), new Set([server]));
    assert.equal(seenByServer.size, 8, [...seenByServer].join(' '));
    for (const peer of seenByServer) assert.match(peer, /^127\.0\.0\.1:\d+$/);
  });
}

test('what the structures say agrees with what the system calls show, on 200 connections', async (t) => {
  const nginx = await startNginx(t, { tls: await makeCertificate(temporaryFolder(t)) });
  const agent = await startAgent(t);
  const bindings = async () => {
    const exposition = await agent.scrape();
    const of = (method: string, result: string) =>
      exposition.sum('plainsight_socket_binding_total', { method, result });
    return {
      nested: of('nested', 'bound'),
      agreed: of('offset', 'agreed'),
      conflict: of('offset', 'conflict') + of('nested', 'conflict'),
    };
  };
  await h2load(`https://127.0.0.1:${nginx.port}`, ['/ok'], 400, '-c', '200');
  const found = await until('both ends of all connections', async () => {
    const now = await bindings();
    return now.nested >= 400 && (!HAS_COOKIE || now.agreed >= 400) ? now : undefined;
  });
  // More of both where other programs of the host use TLS meanwhile.
  assert.equal(found.conflict, 0);
  assert.ok(found.agreed <= found.nested);
});
