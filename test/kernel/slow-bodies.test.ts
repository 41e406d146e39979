/**
 * Bodies that take 3 s, as they move: written in chunks, sent by sendfile or splice without ever being in the memory of the
 * process, throttled by nginx. They last as long as the client says, 3 s or, on an emulated processor, some more, and the
 * request behind them on the same connection is in step.
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

async function expectBoth(agent: RunningAgent, services: readonly [string, string], took: number[], t: TestContext) {
  const sum = took[0]! + took[1]!;
  const expected = new Map([['GET 200', 2]]);
  const server = await agent.expect('server', { service: services[0] }, expected);
  const client = await agent.expect('client', { service: services[1] }, expected);
  const measured = [
    server.sum('http_request_duration_seconds_sum', { service: services[0] }),
    client.sum('http_client_request_duration_seconds_sum', { service: services[1] }),
  ];
  t.diagnostic(`the client says ${sum.toFixed(3)} s, measured ${measured.map((s) => s.toFixed(3)).join(' and ')} s`);
  assert.ok(sum >= (1 - TOLERANCE) * 2 * SECONDS, `the client says ${sum} s`);
  for (const seconds of measured)
    assert.ok(Math.abs(seconds - sum) <= TOLERANCE * sum, `${seconds} s, the client says ${sum} s`);
  assert.equal(client.lost(), 0);
}

async function startSlow(t: TestContext, tls: Certificate | undefined) {
  const port = await freePort();
  const unit = makeUnit(t, 'slow');
  const secure = tls ? [tls.certificate, tls.key] : [];
  const [command, ...args] = unit.command(
    PYTHON,
    fromRoot('fixtures/servers/slow-bodies.py'),
    String(port),
    String(SECONDS),
    ...secure,
  );
  const server = start(t, command, args);
  await until('the server listens', () => (server.stdout().includes('ready') ? true : undefined));
  return { port, service: unit.name };
}

for (const scheme of ['http', 'https'] as const) {
  for (const how of ['chunked', 'sendfile', 'splice'] as const) {
    if (scheme === 'https' && how === 'splice') continue;
    const written = scheme === 'https' && how === 'sendfile' ? 'written' : how;
    test(`${scheme}, ${written}: 3 s are 3 s, on both sides`, async (t) => {
      const tls = scheme === 'https' ? await makeCertificate(temporaryFolder(t)) : undefined;
      const { port, service } = await startSlow(t, tls);
      const client = makeUnit(t, 'client');
      const agent = await startAgent(t);
      const took = await getTwice(`${scheme}://127.0.0.1:${port}/${how}`, client.command('curl'));
      await expectBoth(agent, [service, client.name], took, t);
    });
  }

  test(`${scheme}, a file that nginx sends in 3 s: 3 s are 3 s, on both sides`, async (t) => {
    const tls = scheme === 'https' ? await makeCertificate(temporaryFolder(t)) : undefined;
    const nginx = await startNginx(t, { tls, locations: 'location /file { sendfile on; limit_rate 1m; }' });
    // nginx lets through what is due each second, so the last bytes go 3 s behind the first.
    writeFileSync(join(nginx.folder, 'file'), '');
    truncateSync(join(nginx.folder, 'file'), SECONDS * 2 ** 20 + 1000);
    const client = makeUnit(t, 'client');
    const agent = await startAgent(t);
    const took = await getTwice(`${scheme}://127.0.0.1:${nginx.port}/file`, client.command('curl'));
    await expectBoth(agent, ['nginx', client.name], took, t);
  });
}
