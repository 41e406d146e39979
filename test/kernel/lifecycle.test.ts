import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  h2load,
  IS_SLOW,
  makeCertificate,
  run,
  scaled,
  sleep,
  startAgent,
  startNginx,
  temporaryFolder,
} from './harness.ts';

const STOP_LIMIT_MS = IS_SLOW ? 15_000 : 2_000;

const KINDS = ['prog', 'map', 'link'] as const;
type Held = Readonly<Record<(typeof KINDS)[number], readonly number[]>>;

/** Numbers of the programs, maps and links that a process has open. */
function heldBy(pid: number): Held {
  const found = { prog: new Set<number>(), map: new Set<number>(), link: new Set<number>() };
  for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
    const info = readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8');
    for (const kind of KINDS) {
      const id = new RegExp(`^${kind}_id:\\s*(\\d+)$`, 'm').exec(info)?.[1];
      if (id !== undefined) found[kind].add(Number(id));
    }
  }
  return { prog: [...found.prog], map: [...found.map], link: [...found.link] };
}

/** Those of them that the kernel still has. It frees them a moment after their last user is gone. */
async function leftOf(held: Held): Promise<string[]> {
  let left: string[] = [];
  for (let i = 0; i < 100; i++) {
    left = [];
    for (const kind of KINDS) {
      const { stdout } = await run('bpftool', [kind, 'show', '--json'], { maxBuffer: 64 * 1024 * 1024 });
      const ids = new Set((JSON.parse(stdout) as { id: number }[]).map(({ id }) => id));
      left.push(...held[kind].filter((id) => ids.has(id)).map((id) => `${kind} ${id}`));
    }
    if (left.length === 0) break;
    await sleep(100);
  }
  return left;
}

/** What a running agent holds: programs and maps at least. */
function heldByAgent(pid: number): Held {
  const held = heldBy(pid);
  assert.ok(held.prog.length > 0 && held.map.length > 0, JSON.stringify(held));
  return held;
}

test('SIGTERM under load: exit code 0 within two seconds, nothing stays attached, the server goes on', async (t) => {
  const tls = await makeCertificate(temporaryFolder(t));
  const nginx = await startNginx(t, { tls });
  const agent = await startAgent(t);
  const held = heldByAgent(agent.pid);
  const base = `https://127.0.0.1:${nginx.port}`;
  const requests = scaled(20_000, 2_000);
  const loading = h2load(base, ['/ok'], requests);
  await sleep(300);
  const since = Date.now();
  assert.deepEqual(await agent.stop(), { code: 0, signal: null }, agent.stderr());
  const took = Date.now() - since;
  t.diagnostic(`took ${took} ms`);
  assert.ok(took < STOP_LIMIT_MS, `${took} ms`);
  assert.equal(await loading, requests);
  assert.deepEqual(await leftOf(held), []);
});

test('stopped and started again: each agent counts what came in its time, and leaves no program, map or link', async (t) => {
  const tls = await makeCertificate(temporaryFolder(t));
  const nginx = await startNginx(t, { tls });
  for (const signal of ['SIGTERM', 'SIGKILL', 'SIGTERM'] as const) {
    const agent = await startAgent(t);
    const held = heldByAgent(agent.pid);
    assert.equal(await h2load(`https://127.0.0.1:${nginx.port}`, ['/ok'], 100), 100);
    await agent.expect('server', { service: 'nginx', scheme: 'https' }, new Map([['GET 200', 100]]));
    const ended = signal === 'SIGKILL' ? { code: null, signal } : { code: 0, signal: null };
    assert.deepEqual(await agent.stop(signal), ended, agent.stderr());
    assert.deepEqual(await leftOf(held), []);
  }
  assert.equal(await h2load(`https://127.0.0.1:${nginx.port}`, ['/ok'], 100), 100);
});

test('processes that die while they are looked at harm nothing', async (t) => {
  const agent = await startAgent(t);
  const script = `for i in $(seq ${scaled(300, 60)}); do /usr/bin/curl -sk --max-time 0.01 https://127.0.0.1:1/ & done; wait`;
  await run('bash', ['-c', script]);
  const exposition = await agent.scrape();
  assert.equal(exposition.lost(), 0);
  assert.equal(agent.process.exitCode, null);
  assert.equal((await agent.stop()).code, 0, agent.stderr());
});

test('an excluded process is never copied from', async (t) => {
  const nginx = await startNginx(t, { tls: undefined });
  const agent = await startAgent(t, '--exclude-comm', 'nginx,h2load');
  await h2load(`http://127.0.0.1:${nginx.port}`, ['/ok'], 500);
  await sleep(IS_SLOW ? 2_000 : 300);
  const exposition = await agent.scrape();
  assert.equal(exposition.sum('http_request_duration_seconds_count', { service: 'nginx' }), 0);
  const status = (await (await fetch(`${agent.url}/api/status`)).json()) as { chunks: { excluded: number } };
  assert.ok(status.chunks.excluded >= 2000, `${status.chunks.excluded}`);
});
