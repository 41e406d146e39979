import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readElf } from '../../src/elf/elf-file.ts';
import { neededLibraries } from '../../src/elf/needed.ts';
import { buildSample, withoutSections } from './sample.ts';

function needed(bytes: Uint8Array): string[] {
  const elf = readElf(bytes);
  assert.ok(elf.supported);
  return neededLibraries(elf, bytes);
}

test('what libssl asks for', () => {
  const path = ['x86_64', 'aarch64'].map((name) => `/usr/lib/${name}-linux-gnu/libssl.so.3`).find(existsSync)!;
  assert.deepEqual(needed(readFileSync(path)), ['libcrypto.so.3', 'libc.so.6']);
});

test('a file that asks for nothing, and one without sections', () => {
  assert.deepEqual(needed(buildSample()), []);
  assert.deepEqual(needed(withoutSections(buildSample('-Wl,--no-as-needed', '-lm'))), ['libm.so.6']);
});

test('names and tables outside of the file', () => {
  const bytes = buildSample('-Wl,--no-as-needed', '-lm');
  const elf = readElf(bytes);
  assert.ok(elf.supported);
  const table = elf.programs.find(({ type }) => type === 'dynamic')!;
  for (let at = table.offset; at < table.offset + table.fileSizeBytes; at += 16) {
    const tag = bytes.readBigUInt64LE(at);
    if (tag !== 1n && tag !== 5n) continue;
    for (const value of [0xffff_ffff_ffff_ffffn, BigInt(bytes.length), 1n << 62n]) {
      const copy = Buffer.from(bytes);
      copy.writeBigUInt64LE(value, at + 8);
      assert.deepEqual(needed(copy), []);
    }
  }
});
