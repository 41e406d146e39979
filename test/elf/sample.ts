/** ELF files for tests, linked from fixtures/elf by the compiler that also built the addon. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fromRoot } from '../../src/root.ts';

const FLAGS = ['-shared', '-fPIC', '-O1', '-nostdlib', '-Wl,--build-id=0x0123456789abcdef0123456789abcdef01234567'];
const SCRIPT = `-Wl,--version-script=${fromRoot('fixtures/elf/ssl-exports.map')}`;

const folder = mkdtempSync(join(tmpdir(), 'plainsight-elf-'));
after(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;

/** A shared object with the exports of libssl. */
export function buildSample(...flags: string[]): Buffer {
  const path = join(folder, `sample-${count++}.so`);
  execFileSync('gcc', [...FLAGS, SCRIPT, ...flags, '-o', path, fromRoot('fixtures/elf/ssl-exports.c')]);
  return readFileSync(path);
}

/** A copy with other bytes at an offset. */
export function patched(bytes: Uint8Array, offset: number, ...values: number[]): Buffer {
  const copy = Buffer.from(bytes);
  copy.set(values, offset);
  return copy;
}

/** A copy as a packer leaves it: without the table of section headers. */
export function withoutSections(bytes: Uint8Array): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeBigUInt64LE(0n, 40);
  copy.writeUInt16LE(0, 60);
  copy.writeUInt16LE(0, 62);
  return copy;
}
