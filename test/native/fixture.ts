/**
 * Compiles what the tests of the addon load and probe, into a folder that goes when the process ends. Each test file has
 * its own program to probe: probes of one file cannot be hit by the tests of another.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BpfMap, BpfObject, ObjectOptions } from '../../src/native.ts';
import { native } from '../../src/native.ts';
import { fromRoot } from '../../src/root.ts';

export const folder = mkdtempSync(join(tmpdir(), 'plainsight-native-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Given to test(): a kernel or user that cannot load BPF programs skips with the reason. */
export const needsBpf: { skip: string | false } = { skip: native().probeFeature('bpf').detail || false };

export const METHODS = ['multi', 'perf'] as const;

function run(command: string, args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

let objects = 0;

/** `defines`: `fx_calls=xy_calls` renames a map. */
export function compileBpf(defines: readonly string[] = []): string {
  const output = join(folder, `fixture${objects++}.bpf.o`);
  const clang = spawnSync('clang-19', ['--version']).status === 0 ? 'clang-19' : 'clang';
  const arch = process.arch === 'x64' ? 'x86' : process.arch;
  const include = `/usr/include/${run('cc', ['-print-multiarch']).trim()}`;
  run(clang, [
    ...['-target', 'bpf', '-O2', '-g', '-Wall', '-Werror', `-D__TARGET_ARCH_${arch}`, `-I${include}`],
    ...defines.map((define) => `-D${define}`),
    ...['-c', fromRoot('test/native/fixture.bpf.c'), '-o', output],
  ]);
  return output;
}

export function compileProgram(name: string): string {
  const output = join(folder, name);
  run('cc', ['-O1', '-Wall', '-Werror', '-o', output, fromRoot(`test/native/${name}.c`)]);
  return output;
}

export interface Target {
  readonly path: string;
  readonly add: bigint;
  readonly twice: bigint;
  readonly bytes: bigint;
  /** Runs the program once. */
  call(what: 'add' | 'twice' | 'bytes', numbers: readonly number[]): void;
}

export function compileTarget(): Target {
  const path = compileProgram('target');
  const [add, twice, bytes] = run(path, ['offsets']).trim().split('\n').map(BigInt);
  return {
    path,
    add: add!,
    twice: twice!,
    bytes: bytes!,
    call: (what, numbers) => run(path, [what, ...numbers.map(String)]),
  };
}

let compiled: string | undefined;

/** The fixture without the program that the verifier refuses. */
export function openFixture(options: ObjectOptions = {}): BpfObject {
  compiled ??= compileBpf();
  return native().openObject(compiled, { ...options, skipPrograms: ['fx_refused', ...(options.skipPrograms ?? [])] });
}

export function fixturePath(): string {
  compiled ??= compileBpf();
  return compiled;
}

export function u64(value: number | bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
}

export function readU64(map: BpfMap, key: number | bigint): bigint | undefined {
  const value = map.lookup(u64(key));
  return value && new DataView(value.buffer, value.byteOffset).getBigUint64(0, true);
}

export function sites(...pairs: readonly (readonly [offset: bigint, cookie: bigint])[]): {
  offsets: BigUint64Array;
  cookies: BigUint64Array;
} {
  return {
    offsets: BigUint64Array.from(pairs, ([offset]) => offset),
    cookies: BigUint64Array.from(pairs, ([, cookie]) => cookie),
  };
}

export const ENTRY = { returnProbe: false };
export const RETURN = { returnProbe: true };
