/**
 * What a process maps may be anything: files that are no libraries, that lie, that shrink, whose name leads to something
 * else by now or to nothing. Each gets a state and a reason, the agent goes on, and keeps nothing of it.
 */

import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import { TLS_REASONS } from '../../src/tls/library.ts';
import {
  type Child,
  freePort,
  IS_SLOW,
  makeCertificate,
  PYTHON,
  type RunningAgent,
  run,
  scaled,
  sleep,
  start,
  startAgent,
  temporaryFolder,
  until,
} from './harness.ts';
import { makeUnit } from './unit.ts';

const MAPPER = fromRoot('fixtures/servers/map-files.py');
const SERVER = fromRoot('fixtures/servers/server.py');
const LIBRARIES = ['x86_64', 'aarch64'].map((name) => `/usr/lib/${name}-linux-gnu`).find(existsSync)!;
const LIBSSL = realpathSync(join(LIBRARIES, 'libssl.so.3'));
/** Below what the agent looks at in one process. */
const FILES_PER_PROCESS = 12;
/** The last look at a new process is after 2 s, detaching waits 5 s. */
const FORGOTTEN_MS = IS_SLOW ? 120_000 : 15_000;

interface Found {
  readonly pid: number;
  readonly path: string;
  readonly library: string;
  readonly state: string;
  readonly reason: string;
}

interface Status {
  readonly processes: readonly Found[];
  readonly libraries: readonly { readonly path: string }[];
}

async function statusOf(agent: RunningAgent): Promise<Status> {
  return (await (await fetch(`${agent.url}/api/status`)).json()) as Status;
}

async function startMapper(t: TestContext, files: readonly string[]): Promise<Child> {
  const child = start(t, PYTHON, [MAPPER, ...files]);
  await until('the files are mapped', () => {
    if (child.process.exitCode !== null) throw new Error(child.stderr());
    return child.stdout().includes('ready') || undefined;
  });
  return child;
}

/** A folder of its own for each, for all are called like the library. */
function libraryFile(folder: string, name: string, bytes: Uint8Array): string {
  mkdirSync(join(folder, name));
  const path = join(folder, name, 'libssl.so.3');
  writeFileSync(path, bytes);
  return path;
}

/** The same bytes in every run; of what says where something is, most of all. */
function* mutants(original: Buffer, count: number): Generator<Buffer> {
  let state = 4711;
  const next = (limit: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % limit;
  };
  const dynamic = original.indexOf('SSL_read\0');
  for (let i = 0; i < count; i++) {
    const copy = Buffer.from(original);
    for (let changes = 1 + next(8); changes > 0; changes--) {
      const at = [next(64), 64 + next(12 * 56), 1024 + next(60_000), dynamic + next(64), next(copy.length)][next(5)]!;
      copy[at] = [0, 1, 0x7f, 0x80, 0xff, next(256)][next(6)]!;
    }
    yield i % 4 === 0 ? copy.subarray(0, 4096 + next(copy.length - 4096)) : copy;
  }
}

/** Files that the status shows for these paths, once there is something about each. */
function foundFor(agent: RunningAgent, paths: readonly string[]): Promise<Map<string, Found>> {
  return until(`a state for each of ${paths.length} files`, async () => {
    const found = new Map((await statusOf(agent)).processes.map((one) => [one.path, one]));
    return paths.every((path) => found.has(path)) ? found : undefined;
  });
}

function openOf(agent: RunningAgent): number {
  return readdirSync(`/proc/${agent.pid}/fd`).length;
}

/** Ends the processes, and waits until the agent holds no more than before. */
async function forgets(agent: RunningAgent, baseline: number, paths: readonly string[]): Promise<void> {
  const deadline = Date.now() + FORGOTTEN_MS;
  for (;;) {
    const status = await statusOf(agent);
    const left = [...status.processes, ...status.libraries].filter(({ path }) => paths.includes(path));
    if (left.length === 0 && openOf(agent) <= baseline) return;
    assert.ok(Date.now() < deadline, `${openOf(agent)} descriptors instead of ${baseline}; ${JSON.stringify(left)}`);
    await sleep(100);
  }
}

async function stillRuns(agent: RunningAgent): Promise<void> {
  assert.equal(agent.process.exitCode, null, agent.stderr());
  assert.equal((await fetch(`${agent.url}/readyz`)).status, 200);
}

const LIARS = scaled(96, 24);

test(`${LIARS} truncated and lying files: a state and a reason for each, nothing is kept`, async (t) => {
  const folder = temporaryFolder(t);
  const agent = await startAgent(t);
  await statusOf(agent);
  const baseline = openOf(agent);
  const paths = [...mutants(readFileSync(LIBSSL), LIARS)].map((bytes, i) => libraryFile(folder, `mutant-${i}`, bytes));
  const groups: string[][] = [];
  for (let i = 0; i < paths.length; i += FILES_PER_PROCESS) groups.push(paths.slice(i, i + FILES_PER_PROCESS));
  const mappers = await Promise.all(groups.map((group) => startMapper(t, group)));
  const found = await foundFor(agent, paths);
  const reasons = new Map<string, number>();
  for (const path of paths) {
    const { library, state, reason } = found.get(path)!;
    assert.equal(library, 'openssl', path);
    assert.ok((TLS_REASONS as readonly string[]).includes(reason), reason);
    assert.equal(state === 'attached', reason === '', path);
    reasons.set(reason || state, (reasons.get(reason || state) ?? 0) + 1);
  }
  t.diagnostic([...reasons].map(([reason, count]) => `${count} ${reason}`).join(', '));
  assert.ok(reasons.has('not an ELF file'), 'some are refused as a whole');
  await Promise.all(mappers.map((mapper) => mapper.stop('SIGKILL')));
  await forgets(agent, baseline, paths);
  await stillRuns(agent);
  assert.equal((await agent.stop()).code, 0, agent.stderr());
});

test('no library, one that shrinks, and names that lead to a FIFO, a directory or nothing', async (t) => {
  const folder = temporaryFolder(t);
  const library = readFileSync(LIBSSL);
  const text = libraryFile(folder, 'text', Buffer.from('no library\n'.repeat(1000)));
  const elf32 = libraryFile(folder, 'elf32', Buffer.from(library).fill(1, 4, 5));
  const shrunk = libraryFile(folder, 'shrunk', library);
  const emptied = libraryFile(folder, 'emptied', library);
  const fifo = libraryFile(folder, 'fifo', library);
  const directory = libraryFile(folder, 'directory', library);
  const gone = libraryFile(folder, 'gone', library);
  const paths = [text, elf32, shrunk, emptied, fifo, directory, gone];
  await startMapper(t, paths);
  truncateSync(shrunk, 4096);
  truncateSync(emptied, 0);
  for (const path of [fifo, directory, gone]) rmSync(path);
  await run('mkfifo', [fifo]);
  mkdirSync(directory);
  const agent = await startAgent(t);
  const found = await foundFor(agent, paths);
  const said = (path: string) => `${found.get(path)!.state} ${found.get(path)!.reason}`.trim();
  assert.deepEqual([text, elf32, shrunk, emptied].map(said), [
    'failed not an ELF file',
    'unsupported 32-bit',
    'failed not an ELF file',
    'failed file unreadable',
  ]);
  // The file itself is still there, behind its mapping.
  for (const path of [fifo, directory, gone]) assert.equal(said(path), 'attached', path);
  await stillRuns(agent);
  assert.equal((await agent.stop()).code, 0, agent.stderr());
});

/** A server in a mount namespace of its own, whose libssl lies on a file system that `then` does something with. */
async function startServerOnMount(t: TestContext, then: string): Promise<{ child: Child; unit: string; port: number }> {
  const folder = temporaryFolder(t);
  const mount = join(folder, 'mount');
  mkdirSync(mount);
  const { certificate, key } = await makeCertificate(folder);
  const port = await freePort();
  const unit = makeUnit(t, 'mount');
  const library = join(folder, 'libssl.so.3');
  copyFileSync(LIBSSL, library);
  const script = `
set -e
mount -t tmpfs none "$1"; cp "$2" "$1/"
LD_LIBRARY_PATH=$1 "$3" "$4" "$5" "$6" "$7" &
server=$!
for i in $(seq 500); do grep -q "$1/libssl" /proc/$server/maps && break; sleep 0.02; done
${then}
wait $server`;
  const words = ['sh', '-c', script, 'sh', mount, library, PYTHON, SERVER, String(port), certificate, key];
  const [command, ...args] = unit.command('unshare', '--mount', '--propagation', 'private', ...words);
  const child = start(t, command, args);
  await until('the server listens', () => {
    if (child.process.exitCode !== null) throw new Error(child.stderr());
    return child.stdout().includes('ready') || undefined;
  });
  return { child, unit: unit.name, port };
}

test('a mount that disappears under a process: its library is still found', async (t) => {
  const { unit, port } = await startServerOnMount(t, 'umount --lazy "$1"');
  const agent = await startAgent(t);
  await run('curl', ['-sk', `https://127.0.0.1:${port}/status/204`]);
  await agent.expect('server', { service: unit, scheme: 'https' }, new Map([['GET 204', 1]]));
  await stillRuns(agent);
  assert.equal((await agent.stop()).code, 0, agent.stderr());
});

test('the file system of a process that has ended can be unmounted', async (t) => {
  const folder = temporaryFolder(t);
  const mount = join(folder, 'mount');
  mkdirSync(mount);
  await run('mount', ['-t', 'tmpfs', 'none', mount]);
  t.after(() => run('umount', [mount]).catch(() => {}));
  const agent = await startAgent(t);
  await statusOf(agent);
  const baseline = openOf(agent);
  const path = join(mount, 'libssl.so.3');
  copyFileSync(LIBSSL, path);
  const mapper = await startMapper(t, [path]);
  assert.equal((await foundFor(agent, [path])).get(path)!.state, 'attached');
  await mapper.stop('SIGKILL');
  const deadline = Date.now() + FORGOTTEN_MS;
  for (;;) {
    const unmounted = await run('umount', [mount]).then(
      () => true,
      () => false,
    );
    if (unmounted) break;
    assert.ok(Date.now() < deadline, 'the file system is still in use');
    await sleep(100);
  }
  await forgets(agent, baseline, [path]);
  assert.equal((await agent.stop()).code, 0, agent.stderr());
});

const SHORT_LIVED = scaled(150, 30);

test(`${SHORT_LIVED} processes that end between their mapping and the attaching, each with a library of its own`, async (t) => {
  const folder = temporaryFolder(t);
  const agent = await startAgent(t);
  await statusOf(agent);
  const baseline = openOf(agent);
  const paths: string[] = [];
  for (let i = 0; i < SHORT_LIVED; i++) {
    const path = libraryFile(folder, `copy-${i}`, readFileSync(LIBSSL));
    paths.push(path);
    // From 0 to 40 ms: before, in and behind the first look at it, and the attaching.
    const child = start(
      t,
      PYTHON,
      ['-c', 'import ssl, sys, time; time.sleep(float(sys.argv[1]))', String((i % 20) / 500)],
      {
        LD_LIBRARY_PATH: join(folder, `copy-${i}`),
      },
    );
    if (i % 3 === 0) await child.exited;
    if (i % 10 === 0) rmSync(join(folder, `copy-${i}`), { recursive: true });
  }
  await forgets(agent, baseline, paths);
  await stillRuns(agent);
  const exposition = await agent.scrape();
  assert.equal(exposition.lost(), 0);
  assert.equal((await agent.stop()).code, 0, agent.stderr());
});
