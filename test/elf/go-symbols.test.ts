/** Functions from .gopclntab in all its layouts, and every way to the begin of Go's code. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readElf } from '../../src/elf/elf-file.ts';
import { type GoSymbols, goSymbols, isPacked } from '../../src/elf/go-symbols.ts';
import { type GoSampleOptions, goSample } from './go-sample.ts';

const NAMES = new Set(['crypto/tls.(*Conn).Read', 'crypto/tls.(*Conn).Write', 'crypto/tls.(*Conn).Close']);

function find(options: Partial<GoSampleOptions>, change: (bytes: Buffer) => void = () => {}): GoSymbols {
  const { bytes } = goSample(options);
  change(bytes);
  const file = readElf(bytes);
  assert.ok(file.supported);
  return goSymbols(file, bytes, NAMES);
}

/** `layout name address+size@offset ...`, or the reason. */
function describe(symbols: GoSymbols): string {
  if (!symbols.found) return symbols.reason;
  const functions = [...symbols.functions.values()].map(
    ({ name, address, sizeBytes, fileOffset }) =>
      `${name.split('.').at(-1)} ${address.toString(16)}+${sizeBytes}@${fileOffset.toString(16)}`,
  );
  return [symbols.layout, ...functions].join(' ');
}

const HERE = 'Read 401040+160@1040 Write 4010e0+96@10e0';

test('every layout, with sections and without', () => {
  for (const layout of ['1.16', '1.18', '1.20'] as const) {
    for (const sections of [true, false]) {
      assert.equal(describe(find({ layout, sections })), `${layout} ${HERE}`, `${layout} ${sections}`);
    }
  }
});

test('the begin of the code: in the header, in .go.module, somewhere in the data, in relocations only', () => {
  for (const text of ['header', 'section', 'data', 'relocations'] as const) {
    assert.equal(describe(find({ text })), `1.20 ${HERE}`, text);
    assert.equal(describe(find({ text, sections: false })), `1.20 ${HERE}`, `${text}, no sections`);
  }
  assert.equal(describe(find({ text: 'none' })), 'no begin of code');
});

test("Go's code begins behind that of a C compiler", () => {
  for (const text of ['header', 'section', 'data', 'relocations'] as const) {
    const found = describe(find({ text, textGap: 0x200, layout: '1.18' }));
    assert.equal(found, '1.18 Read 401240+160@1240 Write 4012e0+96@12e0', text);
  }
});

test('a moduledata that does not agree with the table is not believed', () => {
  const module = 0x3400;
  for (const at of [8, 128, 136, 160, 168, 176]) {
    const found = find({ text: 'section' }, (bytes) => bytes.writeUInt8(bytes[module + at]! ^ 8, module + at));
    assert.equal(describe(found), 'no begin of code', `field at ${at}`);
  }
});

test('a begin that leaves the code is not believed', () => {
  const table = 0x2000;
  const move = (by: number) => describe(find({}, (bytes) => bytes.writeUInt32LE(0x401000 + by, table + 24)));
  assert.equal(move(0x10), '1.20 Read 401050+160@1050 Write 4010f0+96@10f0');
  assert.equal(move(0x1000), 'no begin of code');
  assert.equal(move(-1), 'no begin of code');
});

test('names: whole ones only, unreadable ones have a reason, missing ones are missing', () => {
  const main = { name: 'runtime.main', sizeBytes: 64 };
  const near = { name: 'xcrypto/tls.(*Conn).Read', sizeBytes: 32 };
  const longer = { name: 'crypto/tls.(*Conn).ReadFrom', sizeBytes: 32 };
  const read = { name: 'crypto/tls.(*Conn).Read', sizeBytes: 32 };
  assert.equal(describe(find({ functions: [main, near, longer] })), '1.20');
  assert.equal(describe(find({ functions: [near, longer, read, main] })), '1.20 Read 401040+32@1040');
  assert.equal(describe(find({ functions: [near, { name: 'qx8.Ab', sizeBytes: 32 }] })), 'function names obfuscated');
});

test('no table, or none whose layout is known', () => {
  const table = 0x2000;
  assert.equal(describe(find({}, (bytes) => bytes.writeUInt8(0xf2, table))), 'no function table');
  assert.equal(describe(find({}, (bytes) => bytes.writeUInt8(0xfb, table))), 'no function table');
  assert.equal(describe(find({}, (bytes) => bytes.writeUInt8(4, table + 7))), 'no function table');
  assert.equal(describe(find({ instructionUnit: 2 })), 'no function table');
  assert.equal(describe(find({ instructionUnit: 4 })), `1.20 ${HERE}`);
});

test('a record that does not agree with its neighbours is not found', () => {
  const read = 'crypto/tls.(*Conn).Read';
  const entryOfRead = (bytes: Buffer) => {
    const functionsAt = Number(bytes.readBigUInt64LE(0x2000 + 64));
    return 0x2000 + functionsAt + 8;
  };
  // It begins elsewhere than its record says; it ends before it begins; it reaches beyond the code.
  const moved = find({}, (bytes) => bytes.writeUInt32LE(0x48, entryOfRead(bytes)));
  const backwards = find({}, (bytes) => bytes.writeUInt32LE(0x20, entryOfRead(bytes) + 8));
  const outside = find(
    {
      functions: [
        { name: 'runtime.main', sizeBytes: 64 },
        { name: read, sizeBytes: 64 },
      ],
    },
    (bytes) => bytes.writeUInt32LE(0x7fffffff, entryOfRead(bytes) + 4),
  );
  for (const found of [moved, backwards, outside]) {
    assert.ok(found.found);
    assert.equal(found.functions.has(read), false);
  }
});

test('a C linker leaves no name of the table', () => {
  for (const text of ['header', 'section', 'data', 'relocations'] as const) {
    const found = find({ text }, (bytes) => bytes.write('.rodata', bytes.indexOf('.gopclntab\0'), 'latin1'));
    assert.equal(describe(found), `1.20 ${HERE}`, text);
  }
});

test('a first table that is none does not hide the right one', () => {
  const found = find({ sections: false }, (bytes) => {
    // Looks like a table, with nothing behind it that is code.
    bytes.copy(bytes, 0x3000 + 0x200, 0x2000, 0x2000 + 72);
    bytes.writeBigUInt64LE(0n, 0x3000 + 0x200 + 24);
  });
  assert.equal(describe(found), `1.20 ${HERE}`);
});

test('UPX', () => {
  const { bytes } = goSample({ sections: false });
  const file = readElf(bytes);
  assert.ok(file.supported);
  assert.equal(isPacked(file, bytes), false);
  bytes.write('UPX!', 64 + 4 * 56 + 4, 'latin1');
  assert.equal(isPacked(file, bytes), true);
});
