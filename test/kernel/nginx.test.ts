import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countLines, h2load, makeCertificate, startAgent, startNginx, temporaryFolder } from './harness.ts';

const PATHS = ['/ok', '/empty', '/moved', '/missing', '/error'];

/** GET and POST, five statuses: the access log and h2load say how many there were. */
async function load(base: string, folder: string): Promise<number> {
  const { writeFileSync } = await import('node:fs');
  writeFileSync(`${folder}/body`, 'b'.repeat(300));
  const gets = await h2load(base, PATHS, 10_000);
  const posts = await h2load(base, PATHS, 2_000, '-d', `${folder}/body`);
  return gets + posts;
}

for (const scheme of ['https', 'http'] as const) {
  const sources = scheme === 'https' ? ['off'] : ['socket', 'syscall'];
  for (const source of sources) {
    test(`nginx, ${scheme}, socket source ${source}: each of 12,000 requests is counted once, on both sides`, async (t) => {
      const folder = temporaryFolder(t);
      const tls = scheme === 'https' ? await makeCertificate(folder) : undefined;
      const nginx = await startNginx(t, { tls });
      const agent = await startAgent(t, '--socket-source', source, ...(tls ? [] : ['--tls', 'off']));
      const done = await load(`${scheme}://127.0.0.1:${nginx.port}`, folder);
      const expected = countLines(await nginx.accessLog());
      assert.equal(done, 12_000);
      assert.equal(
        [...expected.values()].reduce((a, b) => a + b, 0),
        12_000,
      );
      const server = await agent.expect('server', { service: 'nginx', scheme }, expected);
      const client = await agent.expect('client', { service: 'h2load', scheme }, expected);
      assert.equal(client.lost(), 0);
      assert.equal(client.sum('http_requests_incomplete_total', { service: 'nginx' }), 0, server.text);
      assert.equal((await agent.stop()).code, 0, agent.stderr());
    });
  }
}
