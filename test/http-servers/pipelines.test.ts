/** Pipelined HTTP/1.1: eight requests at a time on each connection, answered in their order. */

import assert from 'node:assert/strict';
import { makeCertificate, temporaryFolder } from '../kernel/harness.ts';
import { makeUnit } from '../kernel/unit.ts';
import { expectBoth, load, Sent, startAgentUnderLoad, warmUp } from './load.ts';
import { startApacheBefore, startBackend, startCaddyBefore, startNginxBefore } from './proxies.ts';
import { serve } from './rows.ts';

const REQUESTS = 5000;
const AT_ONCE = 8;
/** Apache closes a connection after 500 and 503. */
const PATHS = ['/200/10/length/0', '/404/100/chunked/2', '/201/4000/length/1', '/410/0/length/0', '/200/300/chunked/0'];
const STATUSES = [200, 404, 201, 410, 200];

const SERVERS = [
  { server: 'nginx', start: startNginxBefore },
  { server: 'Apache', start: startApacheBefore, packages: ['apache2-bin'] },
  { server: 'Caddy', start: startCaddyBefore, packages: ['caddy'] },
  { server: 'Node.js', start: undefined },
];

for (const { server, start, packages = [] } of SERVERS) {
  for (const isTls of [false, true]) {
    const each = { server, protocol: 'HTTP/1.1', isTls, client: 'h2load', packages };
    serve({ ...each, what: `pipelines of ${AT_ONCE}` }, async (t, row) => {
      const folder = temporaryFolder(t);
      const tls = isTls ? await makeCertificate(folder) : undefined;
      const backend = await startBackend(t, folder, start ? undefined : tls);
      const { service, port } = start ? await start(t, backend, tls, folder) : backend;
      const agent = await startAgentUnderLoad(t);
      const base = `${isTls ? 'https' : 'http'}://127.0.0.1:${port}`;
      const what = { paths: PATHS, statuses: STATUSES, version: '1.1', streams: AT_ONCE } as const;
      const before = await warmUp(t, agent, service, base, { ...what, requests: 200 });
      const client = makeUnit(t, 'h2load');
      const sent = new Sent();
      await load(client, sent, base, { ...what, requests: REQUESTS });
      await expectBoth(t, row, agent, sent, before, service, client.name, isTls ? 'https' : 'http');
      const incomplete = (await agent.scrape()).sum('http_requests_incomplete_total', { service });
      assert.equal(incomplete, 0);
    });
  }
}
