/** What is a stream and no request: WebSocket, server-sent events, CONNECT. Its set-up is a request, its length is not. */

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import {
  type Certificate,
  freePort,
  makeCertificate,
  PYTHON,
  type RunningAgent,
  startAgent,
  temporaryFolder,
  until,
} from '../kernel/harness.ts';
import { makeUnit, runInUnit } from '../kernel/unit.ts';
import { type Running, startReady } from './programs.ts';
import { startApacheBefore, startBackend } from './proxies.ts';
import { serve } from './rows.ts';
import { seen } from './seen.ts';
import type { Row } from './table.ts';

const STREAMS = 3;
const NAME = 'http_stream_duration_seconds';
const WEBSOCKET = fromRoot('fixtures/servers/websocket.py');

/** STREAMS streams of that length are counted on both sides as `kind`, and their set-ups are short. */
async function expectStreams(
  row: Row,
  agent: RunningAgent,
  [server, client]: readonly [string, string],
  { kind, seconds, warm }: { readonly kind: string; readonly seconds: number; readonly warm: number },
): Promise<void> {
  row.sent = STREAMS;
  const exposition = await until('the streams are over', async () => {
    const scraped = await agent.scrape();
    row.asked = scraped.sum(`${NAME}_count`, { service: client, role: 'client', kind });
    row.served = scraped.sum(`${NAME}_count`, { service: server, role: 'server', kind }) - warm;
    return row.asked >= STREAMS && row.served >= STREAMS ? scraped : undefined;
  });
  assert.deepEqual([row.asked, row.served], [STREAMS, STREAMS]);
  const all = exposition.sum(`${NAME}_count`, { service: client });
  assert.equal(all, STREAMS, 'of another kind');
  const took = exposition.sum(`${NAME}_sum`, { service: client, kind }) / STREAMS;
  // As long as the programs mean to take; they are late on a busy machine.
  assert.ok(took >= seconds && took < seconds * 1.3 + 0.2, `${client} ${kind}: ${took} s`);
  const setUp = exposition.sum('http_client_request_duration_seconds_sum', { service: client }) / STREAMS;
  assert.ok(setUp < seconds / 2, `a set-up took ${setUp} s`);
  assert.equal(exposition.sum('http_client_request_duration_seconds_count', { service: client }), STREAMS);
}

/** Streams of this server that are over. */
const streamsOf = async (agent: RunningAgent, service: string) =>
  (await agent.scrape()).sum(`${NAME}_count`, { service, role: 'server' });

for (const isTls of [false, true]) {
  const scheme = isTls ? 'https' : 'http';
  const prepare = async (t: TestContext) => {
    const folder = temporaryFolder(t);
    return { folder, tls: isTls ? await makeCertificate(folder) : undefined, client: makeUnit(t, 'client') };
  };
  const secureArguments = (tls: Certificate | undefined) => (tls ? [tls.certificate, tls.key] : []);

  const websocket = { protocol: 'WebSocket', isTls, packages: ['python3-websockets'] };
  serve({ ...websocket, server: 'Python websockets', client: 'Python websockets' }, async (t, row) => {
    const { tls, client } = await prepare(t);
    const port = await freePort();
    const words = [WEBSOCKET, 'server', String(port), ...secureArguments(tls)];
    const server = await startReady(t, 'websocket', port, PYTHON, ...words);
    const agent = await startAgent(t);
    const talk = (unit: typeof client, seconds: number) =>
      runInUnit(unit, [PYTHON, WEBSOCKET, 'client', String(port), String(seconds), ...(tls ? ['tls'] : [])]);
    await seen(t, agent, server.service, async (unit) => void (await talk(unit, 0.1)));
    const warm = await streamsOf(agent, server.service);
    await Promise.all(Array.from({ length: STREAMS }, () => talk(client, 2)));
    await expectStreams(row, agent, [server.service, client.name], { kind: 'websocket', seconds: 2, warm });
  });

  const events = { server: 'Node.js', protocol: 'server-sent events', isTls, client: 'curl' };
  serve(events, async (t, row) => {
    const { folder, tls, client } = await prepare(t);
    const backend = await startBackend(t, folder, tls);
    const agent = await startAgent(t);
    const get = (unit: typeof client, path: string) =>
      runInUnit(unit, ['curl', '-sSkN', `${scheme}://127.0.0.1:${backend.port}${path}`]);
    await seen(t, agent, backend.service, async (unit) => void (await get(unit, '/200/1/length/0')));
    await Promise.all(Array.from({ length: STREAMS }, () => get(client, '/events/10/100')));
    await expectStreams(row, agent, [backend.service, client.name], { kind: 'sse', seconds: 1, warm: 0 });
  });
}

/** A tunnel to the backend: what goes through it is HTTP too, and belongs to the tunnel. */
const connect = { server: 'Apache', protocol: 'CONNECT', isTls: false, client: 'curl', packages: ['apache2-bin'] };
serve(connect, async (t, row) => {
  const folder = temporaryFolder(t);
  const backend = await startBackend(t, folder);
  const proxy: Running = await startApacheBefore(t, backend, undefined, folder, backend.port);
  const client = makeUnit(t, 'client');
  const agent = await startAgent(t);
  const url = `http://127.0.0.1:${backend.port}/200/10/length/500`;
  const words = ['curl', '-sS', '-o', '/dev/null', '-p', '-x', `http://127.0.0.1:${proxy.port}`, url] as const;
  for (let i = 0; i < STREAMS; i++) await runInUnit(client, words);
  await expectStreams(row, agent, [proxy.service, client.name], { kind: 'connect', seconds: 0.5, warm: 0 });
});
