/**
 * bpf/ as a program of this machine (host.c): compiled once for each state of the sources, with the address and undefined
 * behaviour sanitizers where a compiler has them, and spoken to in lines. Needs a C compiler and the headers of libbpf,
 * no root and no BPF.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { COUNTER } from '../../src/abi/events.ts';
import { fromRoot } from '../../src/root.ts';
import { assertDecodable, type BpfRecord, readRecord } from './records.ts';

/** Whose registers the programs read. Both run on any machine: nothing else of bpf/ depends on it. */
export const ARCHITECTURES = ['x86', 'arm64'] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

export interface Result {
  readonly records: readonly BpfRecord[];
  /** What the command answered. */
  readonly values: readonly string[];
}

const FLAGS = [
  ...['-g', '-O0', '-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror'],
  // The programs take contexts that not each reads; libbpf declares more than anyone uses.
  ...['-Wno-unused', '-Wno-unused-parameter'],
  // Attributes and pragmas of the bpf target, tables that override ranges on purpose.
  ...[
    '-Wno-attributes',
    '-Wno-unknown-attributes',
    '-Wno-unknown-pragmas',
    '-Wno-override-init',
    '-Wno-ignored-attributes',
  ],
];
const SANITIZERS = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
const MAX_OUTPUT_BYTES = 512 * 1024 * 1024;

/** Of the sources that make the program. */
function fingerprint(): string {
  const hash = createHash('sha256');
  for (const folder of ['bpf', 'test/bpf']) {
    for (const name of readdirSync(fromRoot(folder)).sort()) {
      if (/\.[ch]$/.test(name)) hash.update(name).update(readFileSync(fromRoot(join(folder, name))));
    }
  }
  return hash
    .update(readFileSync(fromRoot('test/bpf/host.ts')))
    .digest('hex')
    .slice(0, 16);
}

function compilers(): string[] {
  const found = spawnSync('bash', [fromRoot('tools/build-bpf.sh'), '--find', 'clang'], { encoding: 'utf8' });
  return [...(found.status === 0 ? [found.stdout.trim()] : []), 'gcc', 'cc'];
}

const programs = new Map<Architecture, string>();

/** @returns the path of the program; under build/, so that the next test file finds it there. */
function program(architecture: Architecture): string {
  const known = programs.get(architecture);
  if (known) return known;
  const folder = fromRoot('build/bpf-host');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${architecture}-${fingerprint()}`);
  if (!existsSync(path)) {
    compile(architecture, path);
    for (const name of readdirSync(folder)) {
      if (name.startsWith(`${architecture}-`) && /^\w+-[0-9a-f]{16}$/.test(name) && join(folder, name) !== path)
        rmSync(join(folder, name), { force: true });
    }
  }
  programs.set(architecture, path);
  return path;
}

function compile(architecture: Architecture, path: string): void {
  const output = `${path}.${process.pid}`;
  const failures: string[] = [];
  for (const sanitizers of [SANITIZERS, []]) {
    for (const compiler of compilers()) {
      const args = [
        ...FLAGS,
        ...sanitizers,
        `-D__TARGET_ARCH_${architecture}`,
        fromRoot('test/bpf/host.c'),
        '-o',
        output,
      ];
      const { status, stderr } = spawnSync(compiler, args, { encoding: 'utf8' });
      if (status === 0) {
        renameSync(output, path);
        return;
      }
      failures.push(`${compiler} ${sanitizers.join(' ')}\n${stderr ?? ''}`);
    }
  }
  throw new Error(`no compiler makes test/bpf/host.c:\n${failures.join('\n')}`);
}

/** Runs the commands in a new process. One result for each; all records were seen by the agent's decoder. */
export function runHost(commands: readonly string[], architecture: Architecture = 'x86'): Result[] {
  const output = execFileSync(program(architecture), {
    input: `${commands.join('\n')}\n`,
    encoding: 'latin1',
    maxBuffer: MAX_OUTPUT_BYTES,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const results: Result[] = [];
  const all: Buffer[] = [];
  let records: BpfRecord[] = [];
  let values: string[] = [];
  for (const line of output.split('\n')) {
    if (line === '.') {
      results.push({ records, values });
      records = [];
      values = [];
    } else if (line.startsWith('r ')) {
      const bytes = Buffer.from(line.slice(2), 'hex');
      all.push(bytes);
      records.push(readRecord(bytes));
    } else if (line.startsWith('v')) {
      values = line.split(' ').slice(1);
    }
  }
  assert.equal(results.length, commands.length);
  assertDecodable(all);
  return results;
}

/** What `counters` answers. */
export function counter(result: Result, name: keyof typeof COUNTER): number {
  const value = result.values[COUNTER[name] + 1];
  assert.ok(value !== undefined);
  return Number(value);
}

/** Records that found the ring full, as the ring itself counted them. */
export function failedReserves(result: Result): number {
  return Number(result.values[0]);
}

let state = 1;

/** A reproducible sequence (mulberry32). */
export function seed(value: number): void {
  state = value;
}

/** An integer in 0..limit - 1. */
export function random(limit: number): number {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), state | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
}

export function pick<T>(choices: readonly T[]): T {
  return choices[random(choices.length)]!;
}
