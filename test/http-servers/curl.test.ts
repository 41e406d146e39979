/** curl as a client of HTTP/2: by ALPN over TLS, and with prior knowledge over TCP. One connection per run, several requests on it. */

import { join } from 'node:path';
import { test } from 'node:test';
import {
  canConnect,
  freePort,
  makeCertificate,
  run,
  start,
  startAgent,
  temporaryFolder,
  until,
} from '../kernel/harness.ts';
import { makeUnit, runInUnit, type Unit } from '../kernel/unit.ts';
import { LARGE, writeFiles } from './load.ts';

const RUNS = 20;

for (const isTls of [true, false]) {
  test(`curl ${isTls ? '--http2 over TLS' : '--http2-prior-knowledge'}: every request on both sides`, async (t) => {
    const folder = temporaryFolder(t);
    const root = writeFiles(folder);
    const port = await freePort();
    const tls = isTls ? await makeCertificate(folder) : undefined;
    const agent = await startAgent(t);
    const server = makeUnit(t, 'nghttpd');
    const rest = tls ? [String(port), tls.key, tls.certificate] : ['--no-tls', String(port)];
    const [command, ...args] = server.command('nghttpd', '-a', '127.0.0.1', '-d', root, ...rest);
    start(t, command, args);
    await until('nghttpd listens', async () => (await canConnect(port)) || undefined);
    const url = `${isTls ? 'https' : 'http'}://127.0.0.1:${port}`;
    const how = isTls ? ['--http2', '-k'] : ['--http2-prior-knowledge'];
    const curl = (unit: Unit, ...words: string[]) =>
      runInUnit(unit, ['curl', '-s', '-S', ...how, ...words] as [string, ...string[]]);
    const served = async () => {
      const exposition = await agent.scrape();
      return exposition.transactions('server', { service: server.name });
    };
    await until('nghttpd is seen', async () => {
      await run('curl', ['-s', ...how, `${url}/f1`]);
      return (await served()).size > 0 || undefined;
    });
    const before = await served();
    const client = makeUnit(t, 'curl');
    const sink = ['-o', '/dev/null'];
    for (let i = 0; i < RUNS; i++) {
      await curl(client, ...sink, `${url}/f${i % 2 ? 0 : 4096}`);
      await curl(client, ...sink, `${url}/none`);
      await curl(client, '-I', `${url}/f100`);
      await curl(client, ...sink, '-X', 'DELETE', `${url}/f1`);
      await curl(client, ...sink, '-T', join(root, 'f100000'), `${url}/f1`);
      await curl(client, ...sink, '-d', '@/etc/passwd', `${url}/f256`);
    }
    await curl(client, ...sink, `${url}/f${LARGE}`);
    const sent = new Map([
      ['GET 200', RUNS + 1],
      ['GET 404', RUNS],
      ['HEAD 200', RUNS],
      ['DELETE 200', RUNS],
      ['PUT 200', RUNS],
      ['POST 200', RUNS],
    ]);
    const all = new Map(sent);
    for (const [key, count] of before) all.set(key, (all.get(key) ?? 0) + count);
    await agent.expect('client', { service: client.name }, sent);
    await agent.expect('server', { service: server.name }, all);
  });
}
