/**
 * It does not matter when a process, its library and the agent come, and nothing is missed when a library is replaced.
 * Each test has a copy of libssl of its own, so that no other process of this machine has it attached already, and a
 * unit of its own, so that no other process is taken for it.
 */

import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import {
  type Certificate,
  type Child,
  countLines,
  freePort,
  h2load,
  makeCertificate,
  PYTHON,
  run,
  sleep,
  start,
  startAgent,
  startNginx,
  startPythonServer,
  temporaryFolder,
  until,
} from './harness.ts';
import { makeUnit, type Unit } from './unit.ts';

const SERVER = fromRoot('fixtures/servers/server.py');
const ONE = new Map([['GET 204', 1]]);

/** A folder for LD_LIBRARY_PATH, with a libssl that nobody else has mapped. */
async function ownLibrary(t: TestContext): Promise<{ env: NodeJS.ProcessEnv; path: string }> {
  const script = 'import ssl; print(next(l.split()[-1] for l in open("/proc/self/maps") if "/libssl.so" in l))';
  const { stdout } = await run(PYTHON, ['-c', script]);
  const folder = temporaryFolder(t);
  const path = join(folder, stdout.trim().split('/').at(-1)!);
  copyFileSync(stdout.trim(), path);
  return { env: { LD_LIBRARY_PATH: folder }, path };
}

/** A Python program in a unit, with `one()` to send a request on a connection of its own. */
function startClient(t: TestContext, unit: Unit, env: NodeJS.ProcessEnv, port: number, lines: string): Child {
  const script = `
import sys, time, http.client
def one(context=None):
    import ssl
    c = http.client.HTTPSConnection("127.0.0.1", ${port}, context=context or ssl._create_unverified_context())
    c.request("GET", "/status/204"); c.getresponse().read(); c.close()
${lines}`;
  const [command, ...args] = unit.command(PYTHON, '-c', script);
  return start(t, command, args, env);
}

async function expectEnd(child: Child): Promise<void> {
  assert.deepEqual(await child.exited, { code: 0, signal: null }, child.stderr());
}

async function startServer(t: TestContext, unit: Unit, env: NodeJS.ProcessEnv, tls: Certificate): Promise<number> {
  const port = await freePort();
  const [command, ...args] = unit.command(PYTHON, SERVER, String(port), tls.certificate, tls.key);
  const child = start(t, command, args, env);
  await until('the server listens', () => child.stdout().includes('ready') || undefined);
  return port;
}

async function requests(port: number, count: number): Promise<void> {
  await h2load(`https://127.0.0.1:${port}`, ['/status/204'], count);
}

test('a process from before the agent: its first request is counted', async (t) => {
  const tls = await makeCertificate(temporaryFolder(t));
  const { port } = await startPythonServer(t, tls);
  const { env } = await ownLibrary(t);
  const unit = makeUnit(t, 'client');
  const go = join(temporaryFolder(t), 'go');
  const waiting = `while not os.path.exists("${go}"): time.sleep(0.05)`;
  const client = startClient(t, unit, env, port, `import os, ssl\nprint("here", flush=True)\n${waiting}\none()`);
  await until('the client is there', () => client.stdout().includes('here') || undefined);
  const agent = await startAgent(t);
  await sleep(1000);
  writeFileSync(go, '');
  await expectEnd(client);
  await agent.expect('client', { service: unit.name, scheme: 'https' }, ONE);
});

test('a process from after the agent: its first request, a second later, is counted', async (t) => {
  const tls = await makeCertificate(temporaryFolder(t));
  const { port } = await startPythonServer(t, tls);
  const { env } = await ownLibrary(t);
  const unit = makeUnit(t, 'client');
  const agent = await startAgent(t);
  await expectEnd(startClient(t, unit, env, port, 'import ssl\ntime.sleep(1)\none()'));
  await agent.expect('client', { service: unit.name, scheme: 'https' }, ONE);
});

test('a shell as the entry point that execs the program later: its first request is counted', async (t) => {
  const tls = await makeCertificate(temporaryFolder(t));
  const { port } = await startPythonServer(t, tls);
  const { env } = await ownLibrary(t);
  const unit = makeUnit(t, 'client');
  const agent = await startAgent(t);
  const file = join(temporaryFolder(t), 'client.py');
  writeFileSync(
    file,
    `import ssl, time, http.client
time.sleep(1)
c = http.client.HTTPSConnection("127.0.0.1", ${port}, context=ssl._create_unverified_context())
c.request("GET", "/status/204"); c.getresponse().read()
`,
  );
  const [command, ...args] = unit.command('sh', '-c', 'sleep 3; exec "$0" "$1"', PYTHON, file);
  await expectEnd(start(t, command, args, env));
  await agent.expect('client', { service: unit.name, scheme: 'https' }, ONE);
});

test('a library that is loaded late, and that another process uses already: the first request is counted', async (t) => {
  const tls = await makeCertificate(temporaryFolder(t));
  const { env } = await ownLibrary(t);
  const port = await startServer(t, makeUnit(t, 'server'), env, tls);
  const unit = makeUnit(t, 'client');
  const agent = await startAgent(t);
  await expectEnd(startClient(t, unit, env, port, 'time.sleep(5)\none()'));
  await agent.expect('client', { service: unit.name, scheme: 'https' }, ONE);
});

test('a library that is loaded late and that nobody else uses: its handshake gives it away, what follows is counted', async (t) => {
  const tls = await makeCertificate(temporaryFolder(t));
  const { port } = await startPythonServer(t, tls);
  const { env } = await ownLibrary(t);
  const unit = makeUnit(t, 'client');
  const agent = await startAgent(t);
  // The first request leaves a millisecond or two after the handshake: it may come before the probes.
  const lines = 'time.sleep(5)\none()\ntime.sleep(1)\nfor i in range(50): one()';
  await expectEnd(startClient(t, unit, env, port, lines));
  const labels = { service: unit.name, scheme: 'https' };
  const counted = await until('the requests are counted', async () => {
    const count = (await agent.scrape()).transactions('client', labels).get('GET 204') ?? 0;
    return count >= 50 ? count : undefined;
  });
  assert.ok(counted <= 51, `${counted} of 51 requests`);
});

test('a library that is replaced by rename: the old process and the new one are both counted, each request once', async (t) => {
  const tls = await makeCertificate(temporaryFolder(t));
  const { env, path } = await ownLibrary(t);
  const [before, after] = [makeUnit(t, 'before'), makeUnit(t, 'after')];
  const oldPort = await startServer(t, before, env, tls);
  const agent = await startAgent(t);
  await requests(oldPort, 200);

  copyFileSync(path, `${path}.new`);
  renameSync(`${path}.new`, path);
  const newPort = await startServer(t, after, env, tls);
  await sleep(1000);
  await requests(oldPort, 200);
  await requests(newPort, 200);
  await agent.expect('server', { service: before.name, scheme: 'https' }, new Map([['GET 204', 400]]));
  await agent.expect('server', { service: after.name, scheme: 'https' }, new Map([['GET 204', 200]]));
  assert.equal((await agent.stop()).code, 0);

  // An agent that comes later finds the old one by its mapping: its name leads to another file now.
  const later = await startAgent(t);
  await requests(oldPort, 200);
  await requests(newPort, 200);
  await later.expect('server', { service: before.name, scheme: 'https' }, new Map([['GET 204', 200]]));
  const exposition = await later.expect(
    'server',
    { service: after.name, scheme: 'https' },
    new Map([['GET 204', 200]]),
  );
  assert.equal(exposition.lost(), 0);
});

test('a library that was deleted: its process is counted', async (t) => {
  const tls = await makeCertificate(temporaryFolder(t));
  const { env, path } = await ownLibrary(t);
  const unit = makeUnit(t, 'server');
  const port = await startServer(t, unit, env, tls);
  mkdirSync(`${path}.d`);
  renameSync(path, join(`${path}.d`, 'libssl.so.3'));
  await run('rm', ['-r', `${path}.d`]);
  const agent = await startAgent(t);
  await requests(port, 200);
  await agent.expect('server', { service: unit.name, scheme: 'https' }, new Map([['GET 204', 200]]));
});

test('a rollout, from one worker to five, and a new master: each request is one event', async (t) => {
  const tls = await makeCertificate(temporaryFolder(t));
  const first = await startNginx(t, { tls, workers: 1 });
  const unit = makeUnit(t, 'nginx');
  const take = (master: number) => {
    const children = readFileSync(`/proc/${master}/task/${master}/children`, 'utf8').split(' ').filter(Boolean);
    for (const pid of [master, ...children.map(Number)]) unit.add(pid);
  };
  take(first.pid);
  const agent = await startAgent(t);
  const load = (port: number) => h2load(`https://127.0.0.1:${port}`, ['/ok', '/missing'], 500);
  await load(first.port);

  const config = join(first.folder, 'nginx.conf');
  writeFileSync(config, readFileSync(config, 'utf8').replace('worker_processes 1;', 'worker_processes 5;'));
  first.process.kill('SIGHUP');
  await until('there are five workers', () => unit.pids().length === 6 || undefined);
  await load(first.port);

  const second = await startNginx(t, { tls, workers: 3 });
  take(second.pid);
  await first.stop();
  await load(second.port);
  const expected = countLines([...(await first.accessLog()), ...(await second.accessLog())]);
  assert.equal(expected.get('GET 200')! + expected.get('GET 404')!, 1500);
  const exposition = await agent.expect('server', { service: unit.name, scheme: 'https' }, expected);
  assert.equal(exposition.lost(), 0);
});
