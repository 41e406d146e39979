/**
 * nghttp and nghttpd with what frames can carry besides: padding, CONTINUATION, trailers in both directions, priorities, pushed
 * responses, small windows and small header tables. A pushed response answers a request that nobody made: it is not counted.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { makeCertificate, startAgent, temporaryFolder } from '../kernel/harness.ts';
import { makeUnit, runInUnit, type Unit } from '../kernel/unit.ts';
import { startNghttpd } from './file-servers.ts';
import { Sent, writeFiles } from './load.ts';
import { readStatuses } from './nghttp.ts';
import { serve } from './rows.ts';
import { expectCounts, seen } from './seen.ts';

const RUNS = 20;
/** Of each path. */
const TIMES = 10;
const SERVER_FLAGS = ['--trailer', 'x-sum: 1', '-b', '200', '--push=/f256=/f1,/f100', '-c', '256'];

for (const isTls of [true, false]) {
  const what = 'padding, CONTINUATION, trailers, push, small tables and windows';
  const each = { server: 'nghttpd', protocol: 'HTTP/2', isTls, client: 'nghttp', packages: ['nghttp2-server'] };
  serve({ ...each, what }, async (t, row) => {
    const folder = temporaryFolder(t);
    const root = writeFiles(folder);
    const tls = isTls ? await makeCertificate(folder) : undefined;
    const agent = await startAgent(t);
    const server = await startNghttpd(t, tls, folder, ...SERVER_FLAGS);
    const url = `${isTls ? 'https' : 'http'}://127.0.0.1:${server.port}`;
    const nghttp = (unit: Unit, ...words: string[]) => runInUnit(unit, ['nghttp', '-ns', ...words]);
    const before = await seen(t, agent, server.service, async (unit) => void (await nghttp(unit, `${url}/f1`)));
    const client = makeUnit(t, 'nghttp');
    const sent = new Sent();
    const send = async (method: string, ...words: string[]) => {
      const statuses = readStatuses(await nghttp(client, ...words));
      assert.notEqual(statuses.length, 0);
      for (const status of statuses) sent.add(`${method} ${status}`, 1);
    };
    const files = ['/f0', '/f256', '/f100000'].map((path) => url + path);
    const paths = [...files, `${url}/none`];
    for (let i = 0; i < RUNS; i++) {
      await send('GET', '--continuation', '-m', String(TIMES), '-b', '100', ...paths);
      await send('GET', '-c', '64', '-w', '12', '--no-dep', '-m', String(TIMES), ...paths);
      // nghttpd never ends the response to HEAD of what it does not have, where it is to send trailers.
      await send('HEAD', '-H', ':method: HEAD', ...files);
      await send('POST', '-d', join(root, 'f16384'), '--trailer', 'x-sum: 2', `${url}/f1`);
    }
    assert.equal(sent.total, RUNS * (2 * TIMES * paths.length + files.length + 1));
    await expectCounts(row, agent, server.service, client.name, sent, before);
  });
}
