/**
 * Bodies that take 3 s, as they move: written in chunks, sent by sendfile or splice without ever being in the memory of the
 * process, throttled by nginx; all at the same time, each by a server and a client of its own. They last as long as the client
 * says, 3 s or, on an emulated processor, some more, and the request behind them on the same connection is in step.
 */

import assert from 'node:assert/strict';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import {
  type Certificate,
  freePort,
  makeCertificate,
  PYTHON,
  type RunningAgent,
  run,
  start,
  startAgent,
  startNginx,
  temporaryFolder,
  until,
} from './harness.ts';
import { makeUnit } from './unit.ts';

const SECONDS = 3;
/** Of what the client says. */
const TOLERANCE = 0.05;

/** Two requests, one after the other on one connection. Returns how long each took by the client's clock. */
async function getTwice(url: string, curl: readonly [string, ...string[]]): Promise<number[]> {
  const [command, ...args] = curl;
  const format = '%{http_code} %{time_pretransfer} %{time_total} %{num_connects}\n';
  const { stdout } = await run(command, [...args, '-sk', '-w', format, '-o', '/dev/null', url, '-o', '/dev/null', url]);
  const answers = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map(Number));
  assert.deepEqual(
    answers.map(([status]) => status),
    [200, 200],
  );
  assert.deepEqual(
    answers.map(([, , , connects]) => connects),
    [1, 0],
  );
  return answers.map(([, before, total]) => total! - before!);
}

interface Slow {
  readonly what: string;
  readonly url: string;
  readonly service: string;
}

async function expectBoth(
  t: TestContext,
  agent: RunningAgent,
  slow: Slow,
  asker: string,
  took: number[],
): Promise<void> {
  const sum = took[0]! + took[1]!;
  const expected = new Map([['GET 200', 2]]);
  const server = await agent.expect('server', { service: slow.service }, expected);
  const client = await agent.expect('client', { service: asker }, expected);
  const measured = [
    server.sum('http_request_duration_seconds_sum', { service: slow.service }),
    client.sum('http_client_request_duration_seconds_sum', { service: asker }),
  ];
  const seen = measured.map((seconds) => seconds.toFixed(3)).join(' and ');
  t.diagnostic(`${slow.what}: the client says ${sum.toFixed(3)} s, measured ${seen} s`);
  assert.ok(sum >= (1 - TOLERANCE) * 2 * SECONDS, `the client says ${sum} s`);
  for (const seconds of measured) {
    assert.ok(Math.abs(seconds - sum) <= TOLERANCE * sum, `${seconds} s, the client says ${sum} s`);
  }
  assert.equal(client.lost(), 0);
}

async function startSlow(t: TestContext, how: string, tls: Certificate | undefined): Promise<Slow> {
  const port = await freePort();
  const unit = makeUnit(t, 'slow');
  const secure = tls ? [tls.certificate, tls.key] : [];
  const script = fromRoot('fixtures/servers/slow-bodies.py');
  const [command, ...args] = unit.command(PYTHON, script, String(port), String(SECONDS), ...secure);
  const server = start(t, command, args);
  await until('the server listens', () => (server.stdout().includes('ready') ? true : undefined));
  const what = tls && how === 'sendfile' ? 'written' : how;
  return { what, url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}/${how}`, service: unit.name };
}

/** It lets through what is due each second, so the last bytes go 3 s behind the first. */
async function startSlowNginx(t: TestContext, tls: Certificate | undefined): Promise<Slow> {
  const nginx = await startNginx(t, { tls, locations: 'location /file { sendfile on; limit_rate 1m; }' });
  writeFileSync(join(nginx.folder, 'file'), '');
  truncateSync(join(nginx.folder, 'file'), SECONDS * 2 ** 20 + 1000);
  const url = `${tls ? 'https' : 'http'}://127.0.0.1:${nginx.port}/file`;
  return { what: 'a file that nginx sends', url, service: 'nginx' };
}

for (const [scheme, ways] of [
  ['http', ['chunked', 'sendfile', 'splice']],
  ['https', ['chunked', 'sendfile']],
] as const) {
  const names = scheme === 'http' ? 'chunked, by sendfile, by splice' : 'chunked, written';
  test(`${scheme}, ${names}, a file that nginx sends: 3 s are 3 s, on both sides`, async (t) => {
    const tls = scheme === 'https' ? await makeCertificate(temporaryFolder(t)) : undefined;
    const slow = [await startSlowNginx(t, tls)];
    for (const how of ways) slow.push(await startSlow(t, how, tls));
    const clients = slow.map(() => makeUnit(t, 'client'));
    const agent = await startAgent(t);
    const took = await Promise.all(slow.map(({ url }, i) => getTwice(url, clients[i]!.command('curl'))));
    for (const [i, each] of slow.entries()) await expectBoth(t, agent, each, clients[i]!.name, took[i]!);
  });
}
