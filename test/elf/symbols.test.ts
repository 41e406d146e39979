import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type ElfFile, readElf } from '../../src/elf/elf-file.ts';
import { type FunctionSymbol, symbols } from '../../src/elf/symbols.ts';
import { buildSample, withoutSections } from './sample.ts';

const FUNCTIONS = ['SSL_free', 'SSL_read', 'SSL_read_ex', 'SSL_shutdown', 'SSL_write', 'SSL_write_ex'];

const sample = buildSample();

function read(bytes: Uint8Array): ElfFile {
  const file = readElf(bytes);
  assert.ok(file.supported);
  return file;
}

function find(bytes: Uint8Array, ...names: string[]): Map<string, FunctionSymbol> {
  return symbols(read(bytes), bytes, new Set(names));
}

test('finds functions, with the place of their code in the file', () => {
  const found = find(sample, ...FUNCTIONS, 'SSL_missing');
  assert.deepEqual([...found.keys()].sort(), FUNCTIONS);
  const code = read(sample).programs.find((program) => program.type === 'load' && program.executable)!;
  for (const { address, sizeBytes, fileOffset } of found.values()) {
    assert.equal(fileOffset, code.offset + (address - code.address));
    assert.ok(sizeBytes > 0 && sizeBytes < 100);
  }
  assert.equal(new Set([...found.values()].map((symbol) => symbol.fileOffset)).size, FUNCTIONS.length);
});

test('a name is matched whole', () => {
  assert.deepEqual([...find(sample, 'SSL_rea', 'SSL_read_', 'SL_read', 'SSL_read').keys()], ['SSL_read']);
});

test('data, indirect functions and functions of other files are not taken', () => {
  assert.equal(find(sample, 'SSL_data', 'SSL_indirect', 'SSL_elsewhere').size, 0);
  assert.equal(find(sample, 'SSL_caller').size, 1);
});

test('a function that is only used here is not taken, though it may have an address (the PLT entry of an executable)', () => {
  const table = read(sample).sections.find((section) => section.type === 'dynsym')!;
  const copy = Buffer.from(buildSample('-s'));
  for (let at = table.offset; at < table.offset + table.sizeBytes; at += 24) copy.writeUInt16LE(0, at + 6);
  assert.equal(find(copy, ...FUNCTIONS).size, 0);
});

test('of two versions of a function the default one is taken', () => {
  for (const bytes of [sample, withoutSections(sample)]) {
    const found = find(bytes, 'SSL_versioned', 'old_version', 'new_version');
    assert.equal(found.get('SSL_versioned')?.address, found.get('new_version')?.address);
    assert.notEqual(found.get('old_version')?.address, found.get('new_version')?.address);
  }
});

test('without section headers the tables of the loader are used: with either kind of hash table', () => {
  const whole = find(sample, ...FUNCTIONS);
  assert.deepEqual(find(withoutSections(sample), ...FUNCTIONS), whole);
  for (const style of ['sysv', 'gnu', 'both']) {
    const found = find(withoutSections(buildSample(`-Wl,--hash-style=${style}`)), ...FUNCTIONS);
    assert.deepEqual([...found.keys()].sort(), FUNCTIONS, style);
  }
});

test('symbols that are not exported are found in .symtab, unless the file is stripped', () => {
  assert.equal(find(sample, 'chosen').get('chosen')?.name, 'chosen');
  assert.equal(find(buildSample('-s'), 'chosen').size, 0);
  assert.deepEqual([...find(buildSample('-s'), ...FUNCTIONS).keys()].sort(), FUNCTIONS);
});

test('a file without any table of symbols has none', () => {
  const copy = withoutSections(sample);
  // The type of the program header PT_DYNAMIC (2) becomes PT_NULL.
  for (let at = 64, i = 0; i < copy.readUInt16LE(56); i++, at += 56) {
    if (copy.readUInt32LE(at) === 2) copy.writeUInt32LE(0, at);
  }
  assert.equal(find(copy, ...FUNCTIONS).size, 0);
});

test('the libssl of this machine', () => {
  const path = ['x86_64', 'aarch64'].map((arch) => `/usr/lib/${arch}-linux-gnu/libssl.so.3`).find(existsSync);
  assert.ok(path !== undefined, 'libssl3 is installed with the packages that the tests need');
  const bytes = readFileSync(path);
  const found = find(bytes, ...FUNCTIONS);
  assert.deepEqual([...found.keys()].sort(), FUNCTIONS);
  assert.deepEqual(find(withoutSections(bytes), ...FUNCTIONS), found);
});
