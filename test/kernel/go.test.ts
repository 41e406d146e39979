import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countLines, makeCertificate, run, sleep, startAgent, startNginx, temporaryFolder, until } from './harness.ts';

/** hey as Debian ships it: a stripped Go program with its own TLS. */
test('a stripped Go client over TLS: each of 1,000 requests at 20 connections is counted once, on both sides', async (t) => {
  const nginx = await startNginx(t, { tls: await makeCertificate(temporaryFolder(t)) });
  const agent = await startAgent(t);
  const load = async (method: string, path: string, count: number, ...options: string[]) => {
    const url = `https://127.0.0.1:${nginx.port}${path}`;
    const { stdout } = await run('hey', ['-n', String(count), '-m', method, ...options, url]);
    return Number(/\[(?:200|204|404)\]\s+(\d+) responses/.exec(stdout)?.[1]);
  };
  // The first program of a kind is found while it runs: this one does for two seconds.
  const warm = load('GET', '/empty', 20, '-c', '1', '-q', '10');
  await until('hey is attached', async () => {
    const status = (await (await fetch(`${agent.url}/api/status`)).json()) as { libraries: { library: string }[] };
    return status.libraries.some(({ library }) => library === 'go') || undefined;
  });
  assert.equal(await warm, 20);
  await sleep(200);
  const seen = (await agent.scrape()).transactions('client', { service: 'hey', scheme: 'https' });
  assert.ok((seen.get('GET 204') ?? 0) >= 10);
  assert.equal((await load('GET', '/ok', 500, '-c', '20')) + (await load('POST', '/missing', 500, '-c', '20')), 1000);
  const expected = new Map([...seen, ['GET 200', 500], ['POST 404', 500]]);
  const exposition = await agent.expect('client', { service: 'hey', scheme: 'https' }, expected);
  await agent.expect('server', { service: 'nginx', scheme: 'https' }, countLines(await nginx.accessLog()));
  assert.equal(exposition.lost(), 0);
  assert.equal(exposition.sum('plainsight_socket_binding_total', { method: 'nested', result: 'conflict' }), 0);
});
