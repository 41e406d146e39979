/**
 * What probes cost a Go server that speaks HTTP over TLS: requests a second and processor time of the server per request, with
 * nothing, with the agent, with the programs alone at the planned sites, and with the same programs at the first
 * instruction and every `ret`, as tools without a planner do. Needs root, wrk and the Go toolchain of test/go/, which it
 * fetches. The figures are medians of rounds that take turns. Only the server is probed: the load generator is not.
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startAgent } from '../src/agent.ts';
import { loadConfig } from '../src/config.ts';
import { Log } from '../src/log.ts';
import { native } from '../src/native.ts';
import { encodeGoCookie } from '../src/probes/go-cookie.ts';
import { type GoPlanner, planGoFunction } from '../src/probes/go-plan.ts';
import { planProbes } from '../src/probes/plan.ts';
import { ProcFs } from '../src/process/procfs.ts';
import { Programs } from '../src/programs.ts';
import { fromRoot } from '../src/root.ts';
import { Discovery } from '../src/tls/discovery.ts';
import { goLibrary } from '../src/tls/go.ts';
import { parseGoOffsets } from '../src/tls/go-offsets.ts';
import { buildGo } from '../test/go/programs.ts';
import { GoServer } from '../test/go/server.ts';
import { goToolchain } from '../test/go/toolchains.ts';

const run = promisify(execFile);
const MODES = ['nothing', 'agent', 'planned sites', 'entry and every ret'] as const;
type Mode = (typeof MODES)[number];
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);
const SECONDS = Number(process.env.BENCH_SECONDS ?? 3);
const CONNECTIONS = 16;
const DRAIN_MS = 10;
/** USER_HZ, which /proc counts processor time in on every architecture here. */
const TICKS_PER_SECOND = 100;

interface Round {
  readonly requestsPerSecond: number;
  /** Processor time of the server per request. */
  readonly cpuUs: number;
}

function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

async function load(server: GoServer): Promise<Round> {
  const pid = server.process.pid!;
  const before = cpuSeconds(pid);
  const url = `https://${server.address}/status/200?body=200`;
  const { stdout } = await run('wrk', ['-t', '1', '-c', String(CONNECTIONS), '-d', `${SECONDS}s`, url]);
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1]);
  const requestsPerSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]);
  if (!(requests > 0) || /Non-2xx|Socket errors/.test(stdout)) throw new Error(`wrk failed: ${stdout}`);
  return { requestsPerSecond, cpuUs: ((cpuSeconds(pid) - before) / requests) * 1e6 };
}

/** The first instruction instead of the planned one: it is passed again when the stack has grown. */
const everywhere: GoPlanner = (view, fn, returns) => {
  const plan = planGoFunction(view, fn, returns);
  const entries = plan.entries.map((site) => ({ ...site, offset: fn.fileOffset, repeats: true }));
  return { ...plan, entries };
};

/** Runs as a process of its own until it is ended. */
async function probe(mode: Mode, pid: number): Promise<void> {
  const config = await loadConfig({ flags: new Map(), env: {} });
  const log = new Log({ level: 'error', format: 'text', write: (line) => process.stderr.write(line) });
  if (mode === 'agent') {
    await startAgent(config, { log, web: false, onlyPid: pid });
  } else {
    const programs = Programs.load(native(), config, log);
    programs.configure({ selfPid: process.pid, onlyPid: pid, excludeComm: [] });
    const offsets = parseGoOffsets(JSON.parse(readFileSync(fromRoot('offsets/go.json'), 'utf8')));
    const plan = mode === 'planned sites' ? planGoFunction : everywhere;
    const discovery = new Discovery({
      proc: new ProcFs(),
      mapFile: (path) => native().mapFile(path),
      plan: planProbes,
      libraries: [goLibrary({ offsets, plan, encode: encodeGoCookie })],
      attach: { attach: (path, sites) => programs.attachTls(path, sites) },
    });
    const [found] = discovery.scan(pid).libraries;
    if (found?.state !== 'attached') throw new Error(`the server is not attached: ${found?.reason}`);
    setInterval(() => {
      while (programs.ring.drain() > 0);
    }, DRAIN_MS);
  }
  process.stdout.write('ready\n');
}

async function startProbe(mode: Mode, pid: number): Promise<ChildProcess | undefined> {
  if (mode === 'nothing') return undefined;
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), mode, String(pid)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`${mode}: ended with ${code}`))),
  ]);
  return child;
}

async function stopProbe(child: ChildProcess | undefined): Promise<void> {
  if (!child) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

export async function benchGoTls(): Promise<void> {
  const path = await buildGo(await goToolchain('1.27'), 'server', { variant: 'plain', stripped: true });
  const server = await GoServer.start(path, [], { GOMAXPROCS: '1' });
  const rounds = new Map<Mode, Round[]>(MODES.map((mode) => [mode, []]));
  try {
    await load(server);
    for (let round = 0; round < ROUNDS; round++) {
      for (const mode of MODES) {
        const child = await startProbe(mode, server.process.pid!);
        try {
          rounds.get(mode)!.push(await load(server));
        } finally {
          await stopProbe(child);
        }
      }
    }
  } finally {
    await server.stop();
  }
  console.log(
    `${'go-tls'.padEnd(22)} ${'requests/s'.padStart(10)} ${'of nothing'.padStart(11)} ${'server'.padStart(13)}`,
  );
  const base = median(rounds.get('nothing')!.map(({ requestsPerSecond }) => requestsPerSecond));
  for (const [mode, measured] of rounds) {
    const rate = median(measured.map(({ requestsPerSecond }) => requestsPerSecond));
    const cpu = median(measured.map(({ cpuUs }) => cpuUs));
    const share = `${((rate / base) * 100).toFixed(0)} %`;
    console.log(
      `${mode.padEnd(22)} ${rate.toFixed(0).padStart(10)} ${share.padStart(11)} ${`${cpu.toFixed(1)} us/req`.padStart(13)}`,
    );
  }
}

const [, script, mode, pid] = process.argv;
if (script === fileURLToPath(import.meta.url) && mode !== undefined) await probe(mode as Mode, Number(pid));
