/**
 * Bodies over HTTP/2 that take 3 s, trickled in pieces and sent from a file at a limited rate, last 3 s; those of HTTP/1 are
 * among the kernel tests.
 */

import assert from 'node:assert/strict';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeCertificate, startAgent, temporaryFolder } from '../kernel/harness.ts';
import { makeUnit, runInUnit, type Unit } from '../kernel/unit.ts';
import { FILE_SERVERS, nginx } from './file-servers.ts';
import { Sent, writeFiles } from './load.ts';
import { mapOpenSsl } from './programs.ts';
import { serve } from './rows.ts';
import { expectCounts, seen } from './seen.ts';

const SECONDS = 3;
/** Of the seconds. */
const TOLERANCE = 0.05;
const AT_ONCE = 3;

const node = FILE_SERVERS.find(({ name }) => name === 'Node.js')!;

for (const isTls of [true, false]) {
  for (const { server, path, what } of [
    { server: node, path: `/200/trickle/${SECONDS * 1000}`, what: 'bodies trickled for 3 s' },
    { server: nginx, path: '/slow', what: 'files sent in 3 s' },
  ]) {
    serve({ server: server.name, protocol: 'HTTP/2', isTls, client: 'curl', what }, async (t, row) => {
      const folder = temporaryFolder(t);
      const root = writeFiles(folder);
      // nginx lets through what is due each second, so the last bytes go 3 s behind the first.
      writeFileSync(join(root, 'slow'), '');
      truncateSync(join(root, 'slow'), SECONDS * 2 ** 20 + 1000);
      const tls = isTls ? await makeCertificate(folder) : undefined;
      if (isTls) await mapOpenSsl(t);
      const agent = await startAgent(t);
      const { service, port } = await server.start(t, tls, folder);
      const base = `${isTls ? 'https' : 'http'}://127.0.0.1:${port}`;
      const flags = [
        '-sSk',
        isTls ? '--http2' : '--http2-prior-knowledge',
        '-w',
        '%{time_pretransfer} %{time_total}\n',
      ];
      const get = (unit: Unit, url: string) => runInUnit(unit, ['curl', ...flags, '-o', '/dev/null', url]);
      const before = await seen(t, agent, service, async (unit) => void (await get(unit, `${base}/404/0`)));
      const client = makeUnit(t, 'curl');
      const outputs = await Promise.all(Array.from({ length: AT_ONCE }, () => get(client, base + path)));
      const sent = new Sent();
      sent.add('GET 200', AT_ONCE);
      for (const [connected, total] of outputs.map((text) => text.split(' ').map(Number))) {
        sent.seconds += total! - connected!;
      }
      const after = await expectCounts(row, agent, service, client.name, sent, before);
      const asked = after.sum('http_client_request_duration_seconds_sum', { service: client.name });
      const served = after.sum('http_request_duration_seconds_sum', { service, status: '200' });
      row.difference = asked / sent.seconds - 1;
      t.diagnostic(
        `curl ${sent.seconds.toFixed(3)} s, at the client ${asked.toFixed(3)}, at the server ${served.toFixed(3)}`,
      );
      for (const sum of [sent.seconds, asked, served]) {
        assert.ok(Math.abs(sum / AT_ONCE - SECONDS) <= TOLERANCE * SECONDS, `${sum / AT_ONCE} s`);
      }
    });
  }
}
