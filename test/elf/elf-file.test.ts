import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildId } from '../../src/elf/build-id.ts';
import { type ElfFile, fileOffset, readElf } from '../../src/elf/elf-file.ts';
import { PlainsightError } from '../../src/errors.ts';
import { buildSample, patched, withoutSections } from './sample.ts';

const sample = buildSample();

function read(bytes: Uint8Array): ElfFile {
  const file = readElf(bytes);
  assert.ok(file.supported);
  return file;
}

function isBadElf(error: unknown): boolean {
  return error instanceof PlainsightError && error.code === 'BAD_ELF';
}

test('the headers of a shared object', () => {
  const file = read(sample);
  assert.equal(file.machine, process.arch);
  assert.equal(file.type, 'shared');
  const code = file.programs.filter((program) => program.type === 'load' && program.executable);
  assert.equal(code.length, 1);
  const section = (name: string) => file.sections.find((candidate) => candidate.name === name);
  assert.equal(section('.dynsym')?.type, 'dynsym');
  assert.equal(section('.gnu.version')?.type, 'versym');
  assert.equal(section('.text')?.offset, fileOffset(file, section('.text')!.address));
  assert.equal(file.sections[section('.dynsym')!.link]?.name, '.dynstr');
});

test('a view into a larger buffer is read at its own place, and nothing refers to it afterwards', () => {
  const larger = new Uint8Array(sample.length + 100).fill(0xaa);
  larger.set(sample, 50);
  const view = larger.subarray(50, 50 + sample.length);
  assert.deepEqual(read(view), read(sample));
  assert.equal(buildId(read(view), view), buildId(read(sample), sample));
});

test('only executable segments lead from an address to the file', () => {
  const file: ElfFile = {
    supported: true,
    machine: 'x64',
    type: 'shared',
    sections: [],
    programs: [
      {
        type: 'load',
        executable: false,
        offset: 0,
        address: 0x1000,
        fileSizeBytes: 0x500,
        memorySizeBytes: 0x500,
        align: 1,
      },
      {
        type: 'load',
        executable: true,
        offset: 0x600,
        address: 0x2600,
        fileSizeBytes: 0x100,
        memorySizeBytes: 0x900,
        align: 1,
      },
    ],
  };
  assert.equal(fileOffset(file, 0x2600), 0x600);
  assert.equal(fileOffset(file, 0x26ff), 0x6ff);
  assert.equal(fileOffset(file, 0x2700), undefined);
  assert.equal(fileOffset(file, 0x1000), undefined);
  assert.equal(fileOffset(file, 0x25ff), undefined);
});

test('the build id', () => {
  assert.equal(buildId(read(sample), sample), '0123456789abcdef0123456789abcdef01234567');
  assert.equal(buildId(read(withoutSections(sample)), sample), '0123456789abcdef0123456789abcdef01234567');
  const note = read(sample).programs.find((program) => program.type === 'note')!;
  assert.equal(buildId(read(sample), patched(sample, note.offset + 4, 60)), undefined, 'longer than its note');
  const without = buildSample('-Wl,--build-id=none');
  assert.equal(buildId(read(without), without), undefined);
});

test('32-bit and big-endian files are values with a reason', () => {
  assert.deepEqual(readElf(patched(sample, 4, 1)), { supported: false, reason: '32-bit' });
  assert.deepEqual(readElf(patched(sample, 5, 2)), { supported: false, reason: 'big-endian' });
});

test('other machines and types are told', () => {
  assert.equal(read(patched(sample, 18, 183, 0)).machine, 'arm64');
  assert.equal(read(patched(sample, 18, 62, 0)).machine, 'x64');
  assert.equal(read(patched(sample, 18, 243, 0)).machine, 'other');
  assert.equal(read(patched(sample, 16, 2, 0)).type, 'executable');
  assert.equal(read(patched(sample, 16, 4, 0)).type, 'other');
});

test('what is no ELF file is BAD_ELF', () => {
  assert.throws(() => readElf(new Uint8Array(0)), isBadElf);
  assert.throws(() => readElf(new Uint8Array(64)), isBadElf);
  assert.throws(() => readElf(Buffer.from(`#!/bin/sh\n${' '.repeat(100)}`)), isBadElf);
  assert.throws(() => readElf(sample.subarray(0, 63)), isBadElf);
  assert.throws(() => readElf(patched(sample, 4, 3)), isBadElf);
  assert.throws(() => readElf(patched(sample, 5, 0)), isBadElf);
});

test('program headers that lie are BAD_ELF', () => {
  assert.throws(() => readElf(patched(sample, 54, 55)), isBadElf, 'e_phentsize');
  assert.throws(() => readElf(patched(sample, 54, 0)), isBadElf, 'e_phentsize of 0');
  assert.throws(() => readElf(patched(sample, 56, 0xff, 0xff)), isBadElf, 'e_phnum');
  assert.throws(
    () => readElf(patched(sample, 32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)),
    isBadElf,
    'e_phoff',
  );
  assert.throws(() => readElf(patched(sample, 64 + 32 + 4, 1)), isBadElf, 'p_filesz of the first segment');
  assert.throws(() => readElf(sample.subarray(0, 0x1000)), isBadElf, 'a file that was cut');
});

test('more headers than any file has are refused, though the file has room for them', () => {
  const large = Buffer.concat([sample, Buffer.alloc(5000 * 64)]);
  large.writeBigUInt64LE(BigInt(sample.length), 32);
  large.writeUInt16LE(512, 56);
  assert.equal(read(large).programs.length, 512);
  large.writeUInt16LE(513, 56);
  assert.throws(() => readElf(large), isBadElf);
  large.writeUInt16LE(1, 56);
  large.writeBigUInt64LE(BigInt(sample.length), 40);
  large.writeUInt16LE(4096, 60);
  assert.equal(read(large).sections.length, 4096);
  large.writeUInt16LE(4097, 60);
  assert.equal(read(large).sections.length, 0);
});

test('section headers that lie count as absent', () => {
  const shoff = Number(sample.readBigUInt64LE(40));
  assert.notEqual(read(sample).sections.length, 0);
  assert.deepEqual(read(patched(sample, 60, 0xff, 0xff)).sections, [], 'e_shnum');
  assert.deepEqual(read(patched(sample, 58, 40)).sections, [], 'e_shentsize');
  assert.deepEqual(read(patched(sample, 40, 0xff, 0xff, 0xff, 0xff)).sections, [], 'e_shoff');
  assert.deepEqual(read(patched(sample, shoff + 64 + 32 + 4, 1)).sections, [], 'sh_size');
  assert.deepEqual(read(withoutSections(sample)).sections, []);
  assert.equal(read(patched(sample, 62, 0xff, 0xff)).sections[1]?.name, '', 'e_shstrndx');
});
