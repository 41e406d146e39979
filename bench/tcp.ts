/**
 * What watching TCP costs: the kernel's own account of the time in the TCP programs (kernel.bpf_stats_enabled), while short
 * connections are made one after the other and while bytes are poured through one. Prints microseconds per connection, the share
 * of one CPU that 5,000 connections a second would take, and what a packet of bulk traffic costs. Needs root and bpftool.
 */

import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fromRoot } from '../src/root.ts';

const PEER = fromRoot('fixtures/servers/tcp-peer.py');
const STATS = '/proc/sys/kernel/bpf_stats_enabled';
const PORT = 29_099;
const CONNECTIONS = 5000;
const POUR_SECONDS = 5;
const TARGET_PER_SECOND = 5000;

/** Runs and nanoseconds of the TCP programs since they were loaded. */
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

function started(command: string, args: readonly string[], word: string) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ready = new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (data) => String(data).includes(word) && resolve());
    child.on('exit', (code) => reject(new Error(`${command} ended with ${code}`)));
  });
  return { child, ready };
}

export async function benchTcp(): Promise<void> {
  const before = readFileSync(STATS, 'utf8');
  const server = started('/usr/bin/python3', [PEER, 'server', '127.0.0.1', String(PORT)], 'ready');
  const agent = started(fromRoot('bin/plainsight'), ['run', '--listen', '127.0.0.1:0', '--log-level', 'error'], 'tcp ');
  try {
    await Promise.all([server.ready, agent.ready]);
    writeFileSync(STATS, '1');
    const peer = (...args: (string | number)[]) => execFileSync('/usr/bin/python3', [PEER, ...args.map(String)]);
    const start = cost();
    peer('client', '127.0.0.1', PORT, 'echo', CONNECTIONS, 100);
    const short = cost();
    const packets = segments();
    peer('pour', '127.0.0.1', PORT, POUR_SECONDS, 1);
    const bulk = cost();
    const moved = segments() - packets;
    const perConnection = (short.ns - start.ns) / CONNECTIONS;
    console.log(
      `tcp: a connection, both ends on this node: ${((short.runs - start.runs) / CONNECTIONS).toFixed(1)} runs, ${(perConnection / 1000).toFixed(2)} us`,
    );
    console.log(
      `tcp: ${TARGET_PER_SECOND} connections/s: ${((perConnection * TARGET_PER_SECOND) / 1e7).toFixed(2)} % of one CPU`,
    );
    console.log(
      `tcp: ${moved} segments of bulk traffic: ${bulk.runs - short.runs} runs, ${((bulk.ns - short.ns) / moved).toFixed(3)} ns each`,
    );
  } finally {
    writeFileSync(STATS, before);
    server.child.removeAllListeners('exit').kill();
    agent.child.removeAllListeners('exit').kill();
  }
}
