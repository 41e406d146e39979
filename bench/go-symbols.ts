/**
 * What it costs to find crypto/tls in stripped Go programs: time and memory, of programs that Debian ships, each in a
 * process of its own. The memory is the peak above that of the process with everything loaded but the file; most of it
 * are pages of the file, which the system takes back when it wants. `cut` is the same file without section headers.
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readElf } from '../src/elf/elf-file.ts';
import { native } from '../src/native.ts';
import { planGoFunction } from '../src/probes/go-plan.ts';
import { fromRoot } from '../src/root.ts';
import { type GoFacts, goFacts } from '../src/tls/go.ts';
import { type GoOffsets, parseGoOffsets } from '../src/tls/go-offsets.ts';
import { type DebianProgram, debianProgram } from '../test/go/toolchains.ts';

const PROGRAMS: readonly DebianProgram[] = ['hey', 'etcd', 'caddy', 'caddy-new', 'prometheus', 'prometheus-new'];
const RUNS = 5;
const MEGABYTE = 1e6;

interface Measured {
  readonly version: string;
  readonly reason: string;
  readonly sites: number;
  readonly firstMs: number;
  readonly bestMs: number;
  readonly peakBytes: number;
  readonly anonymousBytes: number;
}

function memory(name: 'VmRSS' | 'VmHWM' | 'RssAnon'): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
}

function find(path: string, offsets: GoOffsets): GoFacts | undefined {
  const mapped = native().mapFile(path);
  try {
    const file = readElf(mapped.bytes);
    if (!file.supported) return undefined;
    return goFacts(file, mapped.bytes, { offsets, plan: planGoFunction, machine: file.machine });
  } finally {
    mapped.close();
  }
}

/** In a fresh process. */
function measure(path: string): Measured {
  const offsets = parseGoOffsets(JSON.parse(readFileSync(fromRoot('offsets/go.json'), 'utf8')));
  // Loads the addon and the code.
  find(process.execPath, offsets);
  // Resets the peak (Documentation/filesystems/proc.rst, clear_refs).
  writeFileSync('/proc/self/clear_refs', '5');
  const before = memory('VmRSS');
  const anonymous = memory('RssAnon');
  const times: number[] = [];
  let facts: GoFacts | undefined;
  let peakBytes = 0;
  let anonymousBytes = 0;
  for (let i = 0; i < RUNS; i++) {
    const begin = performance.now();
    facts = find(path, offsets);
    times.push(performance.now() - begin);
    if (i > 0) continue;
    peakBytes = memory('VmHWM') - before;
    anonymousBytes = memory('RssAnon') - anonymous;
  }
  return {
    version: facts?.version ?? '',
    reason: facts?.reason ?? 'no Go program',
    sites: facts?.sites.length ?? 0,
    firstMs: times[0]!,
    bestMs: Math.min(...times),
    peakBytes,
    anonymousBytes,
  };
}

function print(name: string, path: string): void {
  const output = execFileSync(process.execPath, [fileURLToPath(import.meta.url), path], { encoding: 'utf8' });
  const result = JSON.parse(output) as Measured;
  const size = `${(statSync(path).size / MEGABYTE).toFixed(1)} MB`.padStart(9);
  const time = `${result.firstMs.toFixed(1)} ms`.padStart(9);
  const best = `${result.bestMs.toFixed(1)} ms`.padStart(9);
  const peak = `${(result.peakBytes / MEGABYTE).toFixed(1)} MB`.padStart(8);
  const own = `${(result.anonymousBytes / MEGABYTE).toFixed(1)} MB`.padStart(8);
  const outcome = result.reason === '' ? `${result.sites} sites` : result.reason;
  console.log(`${name.padEnd(20)} ${size} ${time} ${best} ${peak} ${own}  ${result.version}, ${outcome}`);
}

export async function benchGoSymbols(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'plainsight-bench-'));
  try {
    console.log(
      `${'go-symbols'.padEnd(20)}  ${'size'.padStart(8)} ${'first'.padStart(9)} ${'best'.padStart(9)} ${'peak'.padStart(8)} ${'anon'.padStart(8)}`,
    );
    for (const name of PROGRAMS) {
      const path = await debianProgram(name);
      print(name, path);
      if (name !== 'prometheus-new') continue;
      const cut = Buffer.from(readFileSync(path));
      cut.fill(0, 40, 48);
      cut.fill(0, 60, 64);
      const copy = join(folder, basename(path));
      writeFileSync(copy, cut);
      print(`${name} (cut)`, copy);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv[2] !== undefined) {
  console.log(JSON.stringify(measure(process.argv[2])));
}
