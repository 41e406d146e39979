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
import { mapOpenSsl, type Running, startReady } from './programs.ts';
import { startApacheBefore, startBackend } from './proxies.ts';
import { serve } from './rows.ts';
import { seen } from './seen.ts';
import type { Row } from './table.ts';

const STREAMS = 3;
/** Seconds: a connection is gone a little later than its end is known to who measures. */
const CLOCKS = 0.25;
const NAME = 'http_stream_duration_seconds';
const WEBSOCKET = fromRoot('fixtures/servers/websocket.py');

interface Streams {
  readonly kind: string;
  /** That the server or the client makes of each, at least. */
  readonly seconds: number;
  /** By the client's clock, with what was before and after the stream, in all. */
  readonly took: number;
  /** Streams that the server has been counted for before. */
  readonly warm: Warm;
}

interface Warm {
  readonly count: number;
  readonly seconds: number;
}

const NONE: Warm = { count: 0, seconds: 0 };

/** STREAMS streams of that length are counted on both sides as `kind`, and their set-ups are short. */
async function expectStreams(
  row: Row,
  agent: RunningAgent,
  [server, client]: readonly [string, string],
  { kind, seconds, took, warm }: Streams,
): Promise<void> {
  row.sent = STREAMS;
  const exposition = await until('the streams are over', async () => {
    const scraped = await agent.scrape();
    row.asked = scraped.sum(`${NAME}_count`, { service: client, role: 'client', kind });
    row.served = scraped.sum(`${NAME}_count`, { service: server, role: 'server', kind }) - warm.count;
    return row.asked >= STREAMS && row.served >= STREAMS ? scraped : undefined;
  });
  assert.deepEqual([row.asked, row.served], [STREAMS, STREAMS]);
  const all = exposition.sum(`${NAME}_count`, { service: client });
  assert.equal(all, STREAMS, 'of another kind');
  for (const [service, role] of [
    [client, 'client'],
    [server, 'server'],
  ] as const) {
    const measured = exposition.sum(`${NAME}_sum`, { service, role, kind }) - (role === 'server' ? warm.seconds : 0);
    const text = `${service} ${kind}: ${measured} s, by its own clock ${took} s`;
    assert.ok(measured >= STREAMS * seconds && measured < took + STREAMS * CLOCKS, text);
  }
  const setUp = exposition.sum('http_client_request_duration_seconds_sum', { service: client }) / STREAMS;
  assert.ok(setUp < seconds / 2, `a set-up took ${setUp} s`);
  assert.equal(exposition.sum('http_client_request_duration_seconds_count', { service: client }), STREAMS);
}

/** Prints how long it took and nothing else. */
const CURL = ['-sS', '-o', '/dev/null', '-w', '%{time_total}\n'] as const;

const sum = (outputs: readonly string[]) => outputs.reduce((seconds, text) => seconds + Number(text), 0);

/** The streams of this server, once all of them are over. */
function streamsOf(agent: RunningAgent, service: string): Promise<Warm> {
  return until('the first streams are over', async () => {
    const exposition = await agent.scrape();
    const count = exposition.sum(`${NAME}_count`, { service, role: 'server' });
    const begun = exposition.sum('http_request_duration_seconds_count', { service, status: '101' });
    const seconds = exposition.sum(`${NAME}_sum`, { service, role: 'server' });
    return count === begun ? { count, seconds } : undefined;
  });
}

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
    const took = sum(await Promise.all(Array.from({ length: STREAMS }, () => talk(client, 2))));
    await expectStreams(row, agent, [server.service, client.name], { kind: 'websocket', seconds: 2, took, warm });
  });

  const events = { server: 'Node.js', protocol: 'server-sent events', isTls, client: 'curl' };
  serve(events, async (t, row) => {
    const { folder, tls, client } = await prepare(t);
    const backend = await startBackend(t, folder, tls);
    if (isTls) await mapOpenSsl(t);
    const agent = await startAgent(t);
    const get = (unit: typeof client, path: string) =>
      runInUnit(unit, ['curl', ...CURL, '-kN', `${scheme}://127.0.0.1:${backend.port}${path}`]);
    await seen(t, agent, backend.service, async (unit) => void (await get(unit, '/200/1/length/0')));
    const took = sum(await Promise.all(Array.from({ length: STREAMS }, () => get(client, '/events/10/100'))));
    await expectStreams(row, agent, [backend.service, client.name], { kind: 'sse', seconds: 1, took, warm: NONE });
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
  const words = ['curl', ...CURL, '-p', '-x', `http://127.0.0.1:${proxy.port}`, url] as const;
  const outputs: string[] = [];
  for (let i = 0; i < STREAMS; i++) outputs.push(await runInUnit(client, words));
  const ends = [proxy.service, client.name] as const;
  await expectStreams(row, agent, ends, { kind: 'connect', seconds: 0.5, took: sum(outputs), warm: NONE });
});
