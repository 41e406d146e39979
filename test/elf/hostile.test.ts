/** ELF files that lie: the answer is BAD_ELF or some symbols, never another error, and never a place outside the file. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildId } from '../../src/elf/build-id.ts';
import { readElf } from '../../src/elf/elf-file.ts';
import { symbols } from '../../src/elf/symbols.ts';
import { PlainsightError } from '../../src/errors.ts';
import { buildSample, withoutSections } from './sample.ts';

const NAMES = new Set(['SSL_read', 'SSL_write', 'SSL_read_ex', 'SSL_write_ex', 'SSL_free', 'SSL_shutdown']);
const MUTANTS = 4000;

/** What a reader tells of the bytes; `undefined` for BAD_ELF. */
function tryAll(bytes: Uint8Array): number | undefined {
  try {
    const file = readElf(bytes);
    if (!file.supported) return 0;
    const id = buildId(file, bytes);
    assert.ok(id === undefined || /^([0-9a-f]{2}){1,64}$/.test(id));
    const found = symbols(file, bytes, NAMES);
    for (const symbol of found.values()) {
      assert.ok(NAMES.has(symbol.name));
      assert.ok(Number.isSafeInteger(symbol.fileOffset) && symbol.fileOffset >= 0 && symbol.fileOffset < bytes.length);
      assert.ok(symbol.sizeBytes >= 0 && symbol.fileOffset + symbol.sizeBytes <= bytes.length);
    }
    return found.size;
  } catch (error) {
    if (error instanceof PlainsightError && error.code === 'BAD_ELF') return undefined;
    throw error;
  }
}

/** The linear congruential generator of Numerical Recipes: the same mutants in every run. */
function* numbers(seed: number): Generator<number, never> {
  let state = seed;
  for (;;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state >>> 8;
  }
}

/** Values that a reader gets wrong: none, all, the sign, one more than there is. */
const EXTREMES = [0, 1, 0x7f, 0x80, 0xff];

function mutate(bytes: Uint8Array, random: Generator<number, never>, headers: readonly [number, number][]): Buffer {
  const copy = Buffer.from(bytes);
  const next = (limit: number) => random.next().value % limit;
  for (let i = 1 + next(6); i > 0; i--) {
    const [from, to] = headers[next(headers.length)]!;
    const at = from + next(to - from);
    const width = [1, 2, 4, 8][next(4)]!;
    const value = next(2) === 0 ? EXTREMES[next(EXTREMES.length)]! : next(256);
    copy.fill(value, at, Math.min(at + width, copy.length));
  }
  return copy;
}

/** The parts of a file that say where something is: most mutants there get past the first check. */
function headersOf(bytes: Buffer): [number, number][] {
  const file = readElf(bytes);
  assert.ok(file.supported);
  const ranges: [number, number][] = [[16, 64]];
  ranges.push([64, 64 + file.programs.length * 56]);
  const sectionHeaders = Number(bytes.readBigUInt64LE(40));
  if (sectionHeaders > 0) ranges.push([sectionHeaders, sectionHeaders + file.sections.length * 64]);
  for (const program of file.programs) {
    if (program.type === 'dynamic' || program.type === 'note') {
      ranges.push([program.offset, program.offset + program.fileSizeBytes]);
    }
    if (program.type === 'load' && program.offset === 0) ranges.push([0, program.fileSizeBytes]);
  }
  return ranges;
}

test('mutants of real files', () => {
  const sample = buildSample();
  const originals = [
    sample,
    withoutSections(sample),
    withoutSections(buildSample('-Wl,--hash-style=sysv')),
    buildSample('-s'),
  ];
  const outcomes = { bad: 0, none: 0, some: 0 };
  for (const [index, original] of originals.entries()) {
    const random = numbers(index + 1);
    const headers = headersOf(original);
    for (let i = 0; i < MUTANTS / originals.length; i++) {
      const found = tryAll(mutate(original, random, headers));
      outcomes[found === undefined ? 'bad' : found === 0 ? 'none' : 'some']++;
    }
  }
  // Were one of them missing, the mutants would not reach that part of the reader.
  assert.ok(outcomes.bad > 100 && outcomes.none > 50 && outcomes.some > 100, JSON.stringify(outcomes));
});

test('files that were cut anywhere', () => {
  const sample = buildSample();
  let bad = 0;
  for (let length = 0; length < sample.length; length += 7) {
    if (tryAll(sample.subarray(0, length)) === undefined) bad++;
  }
  assert.ok(bad > 0);
  assert.equal(tryAll(sample), NAMES.size);
});

test('random bytes behind a valid identification', () => {
  const random = numbers(99);
  for (let i = 0; i < 500; i++) {
    const bytes = Buffer.alloc(512, 0);
    for (let at = 0; at < bytes.length; at++) bytes[at] = random.next().value % 256;
    bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]);
    tryAll(bytes);
  }
});

test('a table that names one function a hundred thousand times is given up', () => {
  // One segment, one symbol table of 100,000 functions outside of it, all of one name.
  const count = 100_000;
  const strings = 64 + 56;
  const table = 256;
  const sections = table + count * 24;
  const bytes = Buffer.alloc(sections + 3 * 64);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]);
  bytes.writeUInt16LE(3, 16);
  bytes.writeUInt16LE(62, 18);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeBigUInt64LE(BigInt(sections), 40);
  for (const [at, value] of [
    [52, 64],
    [54, 56],
    [56, 1],
    [58, 64],
    [60, 3],
    [62, 0],
  ] as const)
    bytes.writeUInt16LE(value, at);
  bytes.writeUInt32LE(1, 64);
  bytes.writeUInt32LE(5, 68);
  bytes.writeBigUInt64LE(16n, 64 + 32);
  bytes.write('\0SSL_read\0', strings, 'latin1');
  const section = (index: number, type: number, offset: number, size: number, link: number) => {
    bytes.writeUInt32LE(type, sections + index * 64 + 4);
    bytes.writeBigUInt64LE(BigInt(offset), sections + index * 64 + 24);
    bytes.writeBigUInt64LE(BigInt(size), sections + index * 64 + 32);
    bytes.writeUInt32LE(link, sections + index * 64 + 40);
  };
  section(1, 11, table, count * 24, 2);
  section(2, 3, strings, 10, 0);
  const symbol = (index: number, address: bigint) => {
    const at = table + index * 24;
    bytes.writeUInt32LE(1, at);
    bytes[at + 4] = 0x12;
    bytes.writeUInt16LE(1, at + 6);
    bytes.writeBigUInt64LE(address, at + 8);
  };
  for (let i = 0; i < count; i++) symbol(i, 0x999999n);
  symbol(10, 8n);
  assert.equal(tryAll(bytes), 1);
  // The name's terminator lies outside of its table.
  section(2, 3, strings, 9, 0);
  assert.equal(tryAll(bytes), 0);
  section(2, 3, strings, 10, 0);
  symbol(10, 0x999999n);
  symbol(count - 1, 8n);
  assert.equal(tryAll(bytes), 0);
});
