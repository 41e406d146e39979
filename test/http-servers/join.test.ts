/**
 * An agent that is started in the middle of running HTTP/2 connections: from then on it counts every request, each with its
 * method and status, or with `unknown` where that stood in an entry of a header table that was made before.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { canConnect, freePort, makeCertificate, sleep, start, temporaryFolder, until } from '../kernel/harness.ts';
import { makeUnit } from '../kernel/unit.ts';
import { CLIENTS, startAgentUnderLoad, writeFiles } from './load.ts';
import { serve } from './rows.ts';

const SECONDS = 20;
const BEFORE_MS = 5000;
/** Of each connection: below what the agent and both programs take on two processors. */
const REQUESTS_PER_SECOND = 500;
/** Around a scrape: what is on its way to the metrics, and what the two clocks differ by. */
const MARGIN_MS = 200;

for (const isTls of [false, true]) {
  const what = `${SECONDS} s, the agent comes after ${BEFORE_MS / 1000} s`;
  const each = { server: 'nghttpd', protocol: 'HTTP/2', isTls, client: 'h2load', packages: ['nghttp2-server'] };
  serve({ ...each, what }, async (t, row) => {
    const folder = temporaryFolder(t);
    writeFiles(folder);
    const port = await freePort();
    const tls = isTls ? await makeCertificate(folder) : undefined;
    const server = makeUnit(t, 'nghttpd');
    const rest = tls ? [String(port), tls.key, tls.certificate] : ['--no-tls', String(port)];
    const [command, ...args] = server.command('nghttpd', '-a', '127.0.0.1', '-d', join(folder, 'root'), ...rest);
    start(t, command, args);
    await until('nghttpd listens', async () => (await canConnect(port)) || undefined);
    const client = makeUnit(t, 'h2load');
    const log = join(folder, 'log');
    const options = ['-c', String(CLIENTS), '-m', '100', `--rps=${REQUESTS_PER_SECOND}`, `--log-file=${log}`];
    const count = SECONDS * REQUESTS_PER_SECOND * CLIENTS;
    const url = `${isTls ? 'https' : 'http'}://localhost:${port}`;
    const [program, ...words] = client.command('h2load', '-n', String(count), ...options, `${url}/f100`, `${url}/none`);
    const load = start(t, program, words);
    await sleep(BEFORE_MS);
    const agent = await startAgentUnderLoad(t);
    await sleep(1500);
    const asked = Date.now();
    const first = await agent.scrape();
    const answered = Date.now();
    await load.exited;
    await sleep(1000);
    const last = await agent.scrape();

    // Tab-separated: start in microseconds since the epoch, status, microseconds to the end.
    const ends = readFileSync(log, 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split('\t').map(Number))
      .map(([from, , took]) => (from! + took!) / 1000);
    assert.equal(ends.length, count);
    const most = ends.filter((end) => end > asked - MARGIN_MS).length;
    const least = ends.filter((end) => end > answered + MARGIN_MS).length;
    for (const [role, service] of [
      ['server', server.name],
      ['client', client.name],
    ] as const) {
      const total = (exposition: typeof last) =>
        [...exposition.transactions(role, { service }).values()].reduce((a, b) => a + b, 0);
      const found = last.transactions(role, { service });
      const counted = total(last) - total(first);
      const unknown = [...found].filter(([key]) => key.includes('unknown') || key.endsWith(' 0'));
      const share = unknown.reduce((sum, [, n]) => sum + n, 0) / total(last);
      const incomplete = last.sum('http_requests_incomplete_total', { service });
      t.diagnostic(
        `${role}: ${counted} counted of ${least} to ${most}; ${(100 * share).toFixed(2)} % of ${total(last)} unknown, ` +
          `${incomplete} incomplete; ${[...found].map(([key, n]) => `${key}: ${n}`).join(', ')}`,
      );
      row.sent = `${least} to ${most}`;
      row[role === 'server' ? 'served' : 'asked'] = counted;
      assert.ok(counted >= least && counted <= most, `${counted} of ${least} to ${most}`);
      assert.ok([...found.keys()].every((key) => /^(GET|unknown) (200|404|unknown|0)$/.test(key)));
    }
    assert.equal(last.lost(), 0);
  });
}
