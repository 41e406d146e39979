/**
 * What observing costs the observed: CPU time of nginx for a HTTPS request of a keep-alive connection, with nothing, with the
 * agent, and with what else could stand in its place. Rounds of all variants are interleaved, so that what else the machine
 * does falls on all of them; medians are printed, and the ratio of what each variant adds.
 *
 * nginx has a copy of libssl for itself, because an uprobe is hit by every process that maps the file, and the first
 * processor for itself; the load generator, the agent and bpftrace share the second. The agent sees nginx alone: its
 * --proc-root holds no other process, as if the clients were on other hosts. Needs root, nginx, h2load, clang and two
 * processors. bpftrace is installed if it can be, else its row is left out.
 *
 * BENCH_ROUNDS (5), BENCH_SECONDS of CPU time that nginx needs in a round, about (1).
 */

import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { readElf } from '../src/elf/elf-file.ts';
import { type FunctionSymbol, symbols } from '../src/elf/symbols.ts';
import { type Link, native } from '../src/native.ts';
import { arm64 } from '../src/probes/arm64-decoder.ts';
import { followCode } from '../src/probes/control-flow.ts';
import { x64 } from '../src/probes/x64-decoder.ts';
import { fromRoot } from '../src/root.ts';
import { makeCertificate } from '../test/kernel/harness.ts';

const run = promisify(execFile);
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
const SECONDS = Number(process.env.BENCH_SECONDS ?? 1);
const PORT = 18_461;
const FIRST_REQUESTS = 10_000;
const FUNCTIONS = ['SSL_read', 'SSL_write'];
const TICK_US = 1e6 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
const OTHER_CPU = '1';

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** What a variant counted by itself, and lost; NaN where it does not count. */
interface Counted {
  readonly requests: number;
  readonly lost: number;
}

/** Stands beside nginx during one round. */
interface Observer {
  /** Of the process that observes; undefined: there is none. */
  readonly pid?: number;
  stop(): Promise<Counted>;
}

interface Variant {
  readonly name: string;
  start(): Promise<Observer>;
}

interface Round {
  readonly cpuUs: number;
  readonly perSecond: number;
  /** Of the observer, for 1,000 requests. */
  readonly observerMs: number;
  /** Share of the requests that the variant counted. */
  readonly counted: number;
  readonly lost: number;
}

const NOT_COUNTED: Counted = { requests: Number.NaN, lost: Number.NaN };

/**
 * Of a process with one thread: utime and stime, but in nanoseconds where the kernel gives them so
 * (Documentation/scheduler/sched-stats.rst), because they count in hundredths of a second.
 */
function threadCpuUs(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1000;
  } catch {
    return cpuUs(pid);
  }
}

function cpuUs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  // utime and stime: fields 14 and 15 of all, counted from 1.
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once('exit', () => resolve());
  });
}

class Nginx {
  readonly folder = mkdtempSync(join(tmpdir(), 'plainsight-overhead-'));
  readonly library = join(this.folder, 'libssl.so.3');
  #child: ChildProcess | undefined;
  workerPid = 0;
  masterPid = 0;

  async start(): Promise<void> {
    const { folder } = this;
    for (const [, name, path] of execFileSync('ldd', ['/usr/sbin/nginx'], { encoding: 'utf8' }).matchAll(
      /(lib(?:ssl|crypto)\.so\.3) => (\S+)/g,
    )) {
      copyFileSync(realpathSync(path!), join(folder, name!));
    }
    await makeCertificate(folder);
    writeFileSync(
      join(folder, 'nginx.conf'),
      `daemon off; pid ${folder}/pid; error_log stderr; worker_processes 1; worker_cpu_affinity 1; user root; events {}
       http { access_log off; keepalive_requests 1000000000; client_body_temp_path ${folder}/body;
       server { listen 127.0.0.1:${PORT} ssl; ssl_certificate ${folder}/cert.pem; ssl_certificate_key ${folder}/key.pem;
         location / { return 200 "ok\\n"; } } }`,
    );
    const child = spawn('/usr/sbin/nginx', ['-c', join(folder, 'nginx.conf'), '-e', 'stderr'], {
      stdio: 'ignore',
      env: { ...process.env, LD_LIBRARY_PATH: folder },
    });
    this.#child = child;
    this.masterPid = child.pid!;
    for (let i = 0; i < 100 && this.workerPid === 0; i++) {
      await sleep(50);
      const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim();
      if (/^\d+$/.test(children)) this.workerPid = Number(children);
    }
    if (this.workerPid === 0) throw new Error('nginx does not start');
    const maps = readFileSync(`/proc/${this.workerPid}/maps`, 'utf8');
    if (!maps.includes(this.library)) throw new Error(`nginx does not map ${this.library}`);
  }

  async stop(): Promise<void> {
    if (this.#child) {
      this.#child.kill();
      await ended(this.#child);
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Returns how many requests were answered a second. */
async function load(requests: number): Promise<number> {
  const { stdout } = await run('taskset', [
    ...['-c', OTHER_CPU, 'h2load', '--h1', '-t', '1', '-c', '8', '-n', String(requests)],
    `https://127.0.0.1:${PORT}/`,
  ]);
  const perSecond = Number(/([\d.]+) req\/s/.exec(stdout)?.[1]);
  if (!new RegExp(`${requests} succeeded`).test(stdout) || !(perSecond > 0)) throw new Error(`h2load:\n${stdout}`);
  return perSecond;
}

function nothing(name: string): Variant {
  return { name, start: async () => ({ stop: async () => NOT_COUNTED }) };
}

function agent(nginx: Nginx): Variant {
  const procRoot = join(nginx.folder, 'proc');
  mkdirSync(procRoot);
  for (const pid of [nginx.masterPid, nginx.workerPid, 'self', 'stat'])
    symlinkSync(`/proc/${pid}`, join(procRoot, String(pid)));
  return {
    name: 'plainsight',
    async start() {
      const args = ['-c', OTHER_CPU, fromRoot('bin/plainsight'), 'run', '--listen', '127.0.0.1:0'];
      const child = spawn('taskset', [...args, '--proc-root', procRoot], { stdio: ['ignore', 'pipe', 'ignore'] });
      const url = await new Promise<string>((resolve, reject) => {
        child.stdout.on('data', (data) => {
          const found = /http:\/\/\S+\/metrics/.exec(String(data))?.[0];
          if (found) resolve(found);
        });
        child.on('exit', (code) => reject(new Error(`the agent ended with ${code}`)));
      });
      return {
        pid: child.pid!,
        async stop() {
          await sleep(300);
          const text = await (await fetch(url)).text();
          child.removeAllListeners('exit');
          child.kill();
          await ended(child);
          const sum = (pattern: RegExp) => [...text.matchAll(pattern)].reduce((n, [, value]) => n + Number(value), 0);
          return {
            requests: sum(/^http_request_duration_seconds_count\{.*status="200".*scheme="https".*\} (\d+)$/gm),
            lost: sum(/^plainsight_events_lost_total\{.*\} (\d+)$/gm),
          };
        },
      };
    },
  };
}

/** The functions of nginx's libssl, and where their returns are. */
function findFunctions(library: string): { entries: FunctionSymbol[]; returnOffsets: number[] } {
  const file = native().mapFile(library);
  try {
    const elf = readElf(file.bytes);
    if (!elf.supported) throw new Error(`${library}: ${elf.reason}`);
    const found = symbols(elf, file.bytes, new Set(FUNCTIONS));
    const entries = FUNCTIONS.map((name) => found.get(name)!);
    const machine = elf.machine === 'x64' ? x64 : arm64;
    const returnOffsets = entries.flatMap(({ fileOffset, sizeBytes }) =>
      followCode(machine, file.bytes.subarray(fileOffset, fileOffset + sizeBytes), sizeBytes).returns.map(
        (at) => fileOffset + at,
      ),
    );
    return { entries, returnOffsets };
  } finally {
    file.close();
  }
}

function emptyProbes(nginx: Nginx): Variant[] {
  const object = join(nginx.folder, 'empty.bpf.o');
  const clang = execFileSync('bash', [fromRoot('tools/build-bpf.sh'), '--find', 'clang'], { encoding: 'utf8' }).trim();
  const multiarch = execFileSync('cc', ['-print-multiarch'], { encoding: 'utf8' }).trim();
  const flags = ['-target', 'bpf', '-O2', '-g', `-I/usr/include/${multiarch}`];
  execFileSync(clang, [...flags, '-c', fromRoot('bench/empty.bpf.c'), '-o', object]);
  const { entries, returnOffsets } = findFunctions(nginx.library);
  const entryOffsets = entries.map(({ fileOffset }) => fileOffset);
  const uprobeMethod = native().probeFeature('uprobe_multi').errno === 0 ? 'multi' : 'perf';
  const variant = (name: string, offsets: number[], returns: number[]): Variant => ({
    name,
    async start() {
      const opened = native().openObject(object, { uprobeMethod });
      const attach = (at: number[], returnProbe: boolean): Link =>
        opened.attachUprobes(
          'empty',
          nginx.library,
          { offsets: BigUint64Array.from(at, BigInt), cookies: new BigUint64Array(at.length) },
          { returnProbe },
        );
      attach(offsets, false);
      if (returns.length > 0) attach(returns, true);
      return {
        async stop() {
          opened.close();
          return NOT_COUNTED;
        },
      };
    },
  });
  return [
    variant('empty: entry + uretprobe', entryOffsets, entryOffsets),
    variant('empty: entry + every ret', [...entryOffsets, ...returnOffsets], []),
  ];
}

/** Statuses and a histogram of the time from the end of SSL_read to the begin of SSL_write, both in the kernel. */
const BPFTRACE = (library: string) => `
uprobe:${library}:SSL_read { @ssl[tid] = arg0; }
uretprobe:${library}:SSL_read /@ssl[tid]/ { if ((int32)retval > 0) { @start[@ssl[tid]] = nsecs; } delete(@ssl[tid]); }
uprobe:${library}:SSL_write /@start[arg0]/ {
  if (strncmp(str(arg1, 9), "HTTP/1.1", 8) == 0) {
    @status[str(arg1 + 9, 4)] = count();
    @latency_us = hist((nsecs - @start[arg0]) / 1000);
    delete(@start[arg0]);
  }
}
END { clear(@ssl); clear(@start); }`;

/** undefined: there is none, and none can be installed. */
function bpftrace(nginx: Nginx): Variant | undefined {
  const isThere = () => spawnSync('bpftrace', ['--version']).status === 0;
  if (!isThere()) {
    console.log('overhead: installs bpftrace (apt-get), which only this benchmark uses');
    spawnSync('apt-get', ['install', '-y', '--no-install-recommends', 'bpftrace'], { stdio: 'ignore' });
  }
  if (!isThere()) {
    console.log('overhead: bpftrace is not installed and apt-get could not install it: its row is left out');
    return undefined;
  }
  return {
    name: 'bpftrace',
    async start() {
      const child = spawn('taskset', ['-c', OTHER_CPU, 'bpftrace', '-e', BPFTRACE(nginx.library)], {
        // It complains of tracefs where there is none, and works.
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      let output = '';
      child.stdout.on('data', (data) => {
        output += data;
      });
      for (let i = 0; i < 200 && !output.includes('Attaching'); i++) await sleep(50);
      await sleep(1000);
      return {
        pid: child.pid!,
        async stop() {
          child.kill('SIGINT');
          await ended(child);
          return { requests: Number(/@status\[200\s?\]: (\d+)/.exec(output)?.[1] ?? 0), lost: Number.NaN };
        },
      };
    },
  };
}

async function measure(nginx: Nginx, variant: Variant, requests: number): Promise<Round> {
  const observer = await variant.start();
  const observerBefore = observer.pid === undefined ? 0 : cpuUs(observer.pid);
  const before = threadCpuUs(nginx.workerPid);
  const perSecond = await load(requests);
  const used = threadCpuUs(nginx.workerPid) - before;
  // What the observer has still to do is counted too.
  if (observer.pid !== undefined) await sleep(100);
  const observed = observer.pid === undefined ? Number.NaN : cpuUs(observer.pid) - observerBefore;
  const { requests: counted, lost } = await observer.stop();
  return {
    cpuUs: used / requests,
    perSecond,
    observerMs: observed / requests,
    counted: counted / requests,
    lost,
  };
}

function median(values: readonly number[]): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  return sorted.length === 0 ? Number.NaN : (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

const shown = (value: number, digits: number) => (Number.isNaN(value) ? '-' : value.toFixed(digits));

function report(results: ReadonlyMap<string, readonly Round[]>): void {
  const names = [...results.keys()];
  const of = (name: string, what: keyof Round) => median(results.get(name)!.map((round) => round[what]));
  const nothingUs = of(names[0]!, 'cpuUs');
  const line = (cells: readonly string[]) =>
    console.log(`  ${cells.map((cell, i) => (i === 0 ? cell.padEnd(26) : cell.padStart(12))).join('')}`);
  line(['', 'CPU us/req', 'added us', 'x nothing', 'req/s', 'observer ms', 'counted %', 'lost']);
  line(['', 'of nginx', 'median', '', '', 'per 1000', '', '']);
  for (const name of names) {
    const us = of(name, 'cpuUs');
    line([
      name,
      shown(us, 2),
      shown(us - nothingUs, 2),
      shown(us / nothingUs, 2),
      shown(of(name, 'perSecond'), 0),
      shown(of(name, 'observerMs'), 2),
      shown(100 * of(name, 'counted'), 2),
      shown(of(name, 'lost'), 0),
    ]);
  }
  const added = (name: string) => of(name, 'cpuUs') - nothingUs;
  const ours = added('plainsight');
  console.log('  what others add, as a multiple of what plainsight adds:');
  for (const name of names.slice(3)) console.log(`    ${name.padEnd(26)} ${(added(name) / ours).toFixed(1)}`);
  const control = of(names[1]!, 'cpuUs') / nothingUs;
  console.log(`  the control, nothing against nothing: ${control.toFixed(3)}`);
  console.log(
    '  A probe on an instruction that the kernel single-steps costs about 20 times one that it emulates on a virtual\n' +
      '  machine such as the one of the figures in the README, 3 times on bare metal: there the ratios are smaller.',
  );
}

export async function benchOverhead(): Promise<void> {
  const nginx = new Nginx();
  try {
    await nginx.start();
    const last = bpftrace(nginx);
    const variants = [
      nothing('nothing'),
      nothing('nothing again'),
      agent(nginx),
      ...emptyProbes(nginx),
      ...(last ? [last] : []),
    ];
    console.log(`overhead: nginx with TLS, keep-alive, ${ROUNDS} rounds of ${SECONDS} s of its CPU time each`);
    await load(FIRST_REQUESTS);
    const requests = new Map(variants.map(({ name }) => [name, FIRST_REQUESTS]));
    const results = new Map(variants.map(({ name }) => [name, [] as Round[]]));
    for (let round = 0; round <= ROUNDS; round++) {
      // Each begins a round once: none is always behind the same one.
      const order = variants.map((_, i) => variants[(i + round) % variants.length]!);
      for (const variant of order) {
        const result = await measure(nginx, variant, requests.get(variant.name)!);
        // The first round only tells how many requests take so long.
        if (round === 0) requests.set(variant.name, Math.ceil((SECONDS * 1000) / result.cpuUs) * 1000);
        else results.get(variant.name)!.push(result);
      }
    }
    report(results);
  } finally {
    await nginx.stop();
  }
}
