/**
 * HTTP/2 of real servers under h2load, 100 streams at a time on each of four connections: every request is counted on both
 * sides, with its method and status, and the durations are those that the client measured.
 */

import assert from 'node:assert/strict';
import { makeCertificate, temporaryFolder } from '../kernel/harness.ts';
import { makeUnit } from '../kernel/unit.ts';
import { FILE_SERVERS } from './file-servers.ts';
import { expectBoth, load, Sent, startAgentUnderLoad, warmUp, writeFiles } from './load.ts';
import { serve } from './rows.ts';

for (const { name, packages, start, loads } of FILE_SERVERS) {
  for (const isTls of [true, false]) {
    const each = { server: name, protocol: 'HTTP/2', isTls, client: 'h2load', what: '100 streams at a time' };
    serve({ ...each, ...(packages && { packages }) }, async (t, row) => {
      const folder = temporaryFolder(t);
      writeFiles(folder);
      const tls = isTls ? await makeCertificate(folder) : undefined;
      const agent = await startAgentUnderLoad(t);
      const { service, port } = await start(t, tls, folder);
      const base = `${isTls ? 'https' : 'http'}://127.0.0.1:${port}`;
      const all = loads(folder);
      const before = await warmUp(t, agent, service, base, { ...all[0]!, requests: 4 * all[0]!.paths.length });
      const client = makeUnit(t, 'h2load');
      const sent = new Sent();
      for (const what of all) await load(client, sent, base, what);
      assert.ok(sent.total >= 5000);
      await expectBoth(t, row, agent, sent, before, service, client.name, isTls ? 'https' : 'http');
    });
  }
}
