/**
 * What watching TCP costs, in one run without an agent, with one that leaves TCP alone, and with one that watches it: CPU time of both
 * ends of short connections and of bulk traffic (their processes, and the soft interrupts that run in them), CPU time of the
 * agent, and the kernel's own account of the time in the TCP programs (kernel.bpf_stats_enabled). Rounds alternate; medians are
 * printed, and the share of one CPU that 5,000 connections a second and 200,000 packets a second take. Needs root and bpftool.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fromRoot } from '../src/root.ts';

const PEER = fromRoot('fixtures/servers/tcp-peer.py');
const STATS = '/proc/sys/kernel/bpf_stats_enabled';
const PORT = 29_099;
const CONNECTIONS = 5000;
const POUR_SECONDS = 3;
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
const TARGETS = { connections: 5000, packets: 200_000 };
const VARIANTS = ['none', 'tcp off', 'tcp on'] as const;
type Variant = (typeof VARIANTS)[number];
/** sysconf(_SC_CLK_TCK) of every Linux. */
const TICK_NS = 1e7;

/** Runs and nanoseconds of the TCP programs that are loaded. */
function cost(): { readonly runs: number; readonly ns: number } {
  const programs = JSON.parse(execFileSync('bpftool', ['prog', 'show', '--json'], { encoding: 'utf8' })) as {
    name?: string;
    run_cnt?: number;
    run_time_ns?: number;
  }[];
  const ours = programs.filter(({ name = '' }) => /^tcp_(state|retransmit|reset)/.test(name));
  const sum = (of: (program: (typeof ours)[number]) => number | undefined) =>
    ours.reduce((total, program) => total + (of(program) ?? 0), 0);
  return { runs: sum(({ run_cnt }) => run_cnt), ns: sum(({ run_time_ns }) => run_time_ns) };
}

/** Segments that this namespace has sent. */
function segments(): number {
  const [names = '', values = ''] = readFileSync('/proc/net/snmp', 'utf8').match(/^Tcp:.*$/gm) ?? [];
  return Number(values.split(' ')[names.split(' ').indexOf('OutSegs')]);
}

/** CPU time of a process; of its children that have ended with `children`. */
function cpuNs(pid: number | 'self', children = false): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  const [user, system] = children ? [fields[13], fields[14]] : [fields[11], fields[12]];
  return (Number(user) + Number(system)) * TICK_NS;
}

async function started(command: string, args: readonly string[], word: string): Promise<ChildProcess> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (data) => String(data).includes(word) && resolve());
    child.on('exit', (code) => reject(new Error(`${command} ended with ${code}`)));
  });
  child.removeAllListeners('exit');
  return child;
}

interface Sample {
  /** CPU nanoseconds of both ends, and of the agent, for each connection or segment. */
  readonly ends: number;
  readonly agent: number;
  /** Time in the TCP programs, and how often they ran. */
  readonly programs: number;
  readonly runs: number;
}

function measured(server: number, agent: number | undefined, run: () => number): Sample {
  const now = () => ({
    ends: cpuNs(server) + cpuNs('self', true),
    agent: agent === undefined ? 0 : cpuNs(agent),
  });
  const programs = cost();
  const before = now();
  const units = run();
  const after = now();
  const { runs, ns } = cost();
  return {
    ends: (after.ends - before.ends) / units,
    agent: (after.agent - before.agent) / units,
    programs: (ns - programs.ns) / units,
    runs: (runs - programs.runs) / units,
  };
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
}

export async function benchTcp(): Promise<void> {
  const before = readFileSync(STATS, 'utf8');
  const server = await started('/usr/bin/python3', [PEER, 'server', '127.0.0.1', String(PORT)], 'ready');
  const peer = (...args: (string | number)[]) => execFileSync('/usr/bin/python3', [PEER, ...args.map(String)]);
  const samples = new Map<string, Sample[]>();
  const keep = (kind: keyof typeof TARGETS, variant: Variant, sample: Sample) =>
    samples.set(`${kind} ${variant}`, [...(samples.get(`${kind} ${variant}`) ?? []), sample]);
  try {
    writeFileSync(STATS, '1');
    for (let round = 0; round < ROUNDS; round++) {
      for (const variant of VARIANTS) {
        const flags = [
          '--listen',
          '127.0.0.1:0',
          '--log-level',
          'error',
          '--tcp',
          variant === 'tcp off' ? 'off' : 'auto',
        ];
        const agent =
          variant === 'none' ? undefined : await started(fromRoot('bin/plainsight'), ['run', ...flags], 'tcp ');
        try {
          const connections = () => {
            peer('client', '127.0.0.1', PORT, 'echo', CONNECTIONS, 100);
            return CONNECTIONS;
          };
          const bulk = () => {
            const first = segments();
            peer('pour', '127.0.0.1', PORT, POUR_SECONDS, 1);
            return segments() - first;
          };
          keep('connections', variant, measured(server.pid!, agent?.pid, connections));
          keep('packets', variant, measured(server.pid!, agent?.pid, bulk));
        } finally {
          agent?.kill();
        }
      }
    }
  } finally {
    writeFileSync(STATS, before);
    server.kill();
  }
  report(samples);
}

function report(samples: ReadonlyMap<string, readonly Sample[]>): void {
  for (const [kind, perSecond] of Object.entries(TARGETS)) {
    const middle = (variant: Variant, figure: keyof Sample) =>
      median((samples.get(`${kind} ${variant}`) ?? []).map((sample) => sample[figure]));
    const base = middle('none', 'ends');
    const share = (ns: number) => `${((ns * perSecond) / 1e7).toFixed(2)} % of one CPU`;
    for (const variant of VARIANTS) {
      const ends = middle(variant, 'ends');
      const agent = middle(variant, 'agent');
      console.log(
        `tcp: ${kind}, ${variant}: ${ends.toFixed(0)} ns at both ends (${(ends / base).toFixed(3)}), ${agent.toFixed(0)} ns of the agent`,
      );
    }
    const [programs, runs] = [middle('tcp on', 'programs'), middle('tcp on', 'runs')];
    console.log(
      `tcp: ${kind}: the TCP programs take ${programs.toFixed(3)} ns in ${runs.toFixed(4)} runs each; ${perSecond}/s: ${share(programs)}`,
    );
  }
}
