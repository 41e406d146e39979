import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import {
  copyNode,
  makeCertificate,
  readCounts,
  run,
  scaled,
  startAgent,
  startNginx,
  startNodeServer,
  temporaryFolder,
  written,
} from './harness.ts';

const REQUESTS = scaled(1000, 500);

for (const scheme of ['https', 'http'] as const) {
  test(`curl and nginx, ${scheme}: ${written(REQUESTS)} requests of one process`, async (t) => {
    const tls = scheme === 'https' ? await makeCertificate(temporaryFolder(t)) : undefined;
    const nginx = await startNginx(t, { tls });
    const agent = await startAgent(t);
    await run('curl', ['-sk', '-o', '/dev/null', `${scheme}://127.0.0.1:${nginx.port}/ok?[1-${REQUESTS}]`]);
    const expected = new Map([['GET 200', REQUESTS]]);
    await agent.expect('server', { service: 'nginx', scheme }, expected);
    const exposition = await agent.expect('client', { service: 'curl', scheme }, expected);
    assert.equal(exposition.lost(), 0);
  });

  test(`Node.js server and client, ${scheme}: ${written(REQUESTS)} requests of five methods and seven statuses`, async (t) => {
    const folder = temporaryFolder(t);
    const node = copyNode(folder);
    const tls = scheme === 'https' ? await makeCertificate(folder) : undefined;
    const server = await startNodeServer(t, node, tls);
    const agent = await startAgent(t);
    const client = [fromRoot('fixtures/servers/node-client.mjs'), String(server.port), String(REQUESTS), '1', scheme];
    const { stdout } = await run(node, client);
    const expected = readCounts(stdout);
    // The two are the same executable, so the same service; the roles tell them apart.
    await agent.expect('server', { service: 'node-copy', scheme }, expected);
    const exposition = await agent.expect('client', { service: 'node-copy', scheme }, expected);
    assert.equal(exposition.lost(), 0);
  });
}
