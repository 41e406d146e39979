/**
 * Servers whose TLS goes through memory, so that no socket operation is made by a TLS call, and which call out over TLS
 * while they serve. Each client and each upstream has an address of its own, and a status that tells which it is; all
 * messages are of the same length, so that lengths alone would mislead. A peer is right or unknown, never another.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import {
  type Certificate,
  copyNode,
  freePort,
  hasSocketTracepoints,
  makeCertificate,
  PLAINSIGHT,
  PYTHON,
  scaled,
  sleep,
  start,
  temporaryFolder,
  until,
  written,
} from './harness.ts';

const CLIENTS = 10;
const REQUESTS = scaled(1000, 100);
const STATUS = 210;
const UPSTREAM_STATUS = 410;

/** Answers /NNN with that status, after a while that differs. */
async function startUpstream(t: TestContext, { certificate, key }: Certificate): Promise<number> {
  let turn = 0;
  const server = https.createServer(
    { cert: readFileSync(certificate), key: readFileSync(key) },
    (request, response) => {
      setTimeout(() => {
        response.statusCode = Number(request.url!.slice(1));
        response.end('ok\n');
      }, turn++ % 4);
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
  t.after(() => server.close().closeAllConnections());
  return (server.address() as AddressInfo).port;
}

/** From an address of its own; every other client takes a new connection for each request. */
async function runClient(number: number, port: number, requests: number): Promise<void> {
  const keepAlive = number % 2 === 0 ? new https.Agent({ keepAlive: true, maxSockets: 1 }) : undefined;
  const options = { host: '127.0.0.1', port, localAddress: `127.0.1.${number}`, rejectUnauthorized: false };
  const path = `/${number}/${STATUS + number}/${UPSTREAM_STATUS + number}`;
  for (let i = 0; i < requests; i++) {
    const status = await new Promise((resolve, reject) => {
      const request = https.get({ ...options, path, agent: keepAlive ?? false }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      });
      request.on('error', reject);
    });
    assert.equal(status, STATUS + number);
  }
  keepAlive?.destroy();
}

interface Line {
  readonly role: 'server' | 'client';
  readonly status: number;
  readonly peer: string;
}

function judge(line: Line, upstreamPort: number): 'right' | 'unknown' | 'wrong' {
  if (line.peer === 'unknown') return 'unknown';
  const [address, port] = line.peer.split(':');
  if (line.role === 'server') return address === `127.0.1.${line.status - STATUS}` ? 'right' : 'wrong';
  const isUpstream = address === `127.0.2.${line.status - UPSTREAM_STATUS}` && Number(port) === upstreamPort;
  return isUpstream ? 'right' : 'wrong';
}

/** Where sockets have no tracepoints, `auto` is the system calls. */
const SOURCES = hasSocketTracepoints() ? ['auto', 'syscall'] : ['auto'];
const CASES = ['asyncio', 'Node.js'].flatMap((name) => SOURCES.map((source) => ({ name, source })));

for (const { name, source } of CASES) {
  const ways = `${written(REQUESTS)} transactions each way`;
  test(`${name}, serving and calling out over TLS, --socket-source=${source}: ${ways}`, async (t) => {
    const tls = await makeCertificate(temporaryFolder(t));
    const upstreamPort = await startUpstream(t, tls);
    const port = await freePort();
    const [program, script] =
      name === 'asyncio' ? [PYTHON, 'asyncio-relay.py'] : [copyNode(temporaryFolder(t)), 'node-relay.mjs'];
    const args = [String(port), tls.certificate, tls.key, String(upstreamPort)];
    const server = start(t, program, [fromRoot(`fixtures/servers/${script}`), ...args]);
    await until('the server listens', () => server.stdout().includes('ready') || undefined);

    const flags = ['--tls', '--socket-source', source, '--pid', String(server.pid)];
    const tail = start(t, PLAINSIGHT, ['tail', '--json', ...flags]);
    const lines = (): Line[] =>
      tail
        .stdout()
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Line);
    // Client 0 is only for this.
    await until('tail is attached', async () => {
      await runClient(CLIENTS + 1, port, 1);
      return lines().length > 0 || undefined;
    });
    await sleep(300);

    const before = lines().length;
    const clients = Array.from({ length: CLIENTS }, (_, i) => runClient(i + 1, port, REQUESTS / CLIENTS));
    await Promise.all(clients);
    const seen = await until('all transactions', () => {
      const now = lines().slice(before);
      return now.length >= 2 * REQUESTS ? now : undefined;
    });

    for (const role of ['server', 'client'] as const) {
      const verdicts = seen.filter((line) => line.role === role).map((line) => judge(line, upstreamPort));
      const count = (verdict: string) => verdicts.filter((each) => each === verdict).length;
      t.diagnostic(
        `${name}, ${source}, ${role}: ${count('right')} right, ${count('unknown')} unknown, ${count('wrong')} wrong of ${verdicts.length}`,
      );
      assert.equal(verdicts.length, REQUESTS);
      assert.equal(count('wrong'), 0);
      // Where two connections move at the same moment nothing is concluded; the next message of each tells.
      assert.ok(count('unknown') <= REQUESTS / 20, `${count('unknown')} of ${REQUESTS} are unknown`);
    }
  });
}
