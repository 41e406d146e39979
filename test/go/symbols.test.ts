/** Functions of programs from real toolchains: every version and variant, stripped and not, cut, packed and obfuscated. */

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { pclntabs } from '../../src/elf/go-pclntab.ts';
import { fromTable, type GoSymbols, goSymbols } from '../../src/elf/go-symbols.ts';
import { planGoFunction } from '../../src/probes/go-plan.ts';
import { fromRoot } from '../../src/root.ts';
import { GO_TCP_READ, GO_TLS_FUNCTIONS, type GoFacts, goFacts } from '../../src/tls/go.ts';
import { parseGoOffsets } from '../../src/tls/go-offsets.ts';
import { mutate, numbers, tryGo } from '../elf/go-mutants.ts';
import { withoutSections } from '../elf/sample.ts';
import { must, run, withTemporary } from '../vm/host.ts';
import { type Binary, listFunctions, load, parse, withoutRelocated } from './binaries.ts';
import { buildGo, GO_VARIANTS, type GoMachine } from './programs.ts';
import {
  DEBIAN_GO_PROGRAMS,
  debianLibraries,
  debianProgram,
  GO_CACHE,
  goToolchain,
  TESTED_GO_VERSIONS,
} from './toolchains.ts';

const NAMES = new Set([...GO_TLS_FUNCTIONS.map(({ symbol }) => symbol), GO_TCP_READ]);
const offsets = parseGoOffsets(JSON.parse(readFileSync(fromRoot('offsets/go.json'), 'utf8')));

function addresses(symbols: GoSymbols): Record<string, number> {
  assert.ok(symbols.found, symbols.found ? '' : symbols.reason);
  assert.equal(symbols.functions.size, NAMES.size);
  return Object.fromEntries([...symbols.functions.values()].map(({ name, address }) => [name, address]).sort());
}

const inTable = ({ file, bytes }: Binary) => addresses(fromTable(file, bytes, NAMES));

function factsOf({ file, bytes }: Binary): GoFacts {
  const facts = goFacts(file, bytes, { offsets, plan: planGoFunction, machine: file.machine });
  assert.ok(facts);
  return facts;
}

/** `entry emulated, 7 returns` by operation. */
function summary({ sites }: GoFacts): string[] {
  return GO_TLS_FUNCTIONS.map(({ operation }) => {
    const own = sites.filter((site) => site.operation === operation);
    const entry = own.find(({ kind }) => kind === 'entry');
    return `${operation}: ${entry?.costClass}, ${own.filter(({ kind }) => kind === 'return').length} returns`;
  });
}

/** Where the entry is the stack check (before 1.21 on amd64, and on arm64), it can be hit twice. */
function expectedSummary({ version }: GoFacts, machine: GoMachine): string[] {
  const repeats = machine === 'arm64' || /^go1\.(19|20)\./.test(version);
  const writeReturns = repeats ? 8 : 0;
  return ['read: emulated, 7 returns', `write: emulated, ${writeReturns} returns`, 'close: emulated, 0 returns'];
}

for (const version of TESTED_GO_VERSIONS) {
  describe(`Go ${version}`, () => {
    for (const variant of GO_VARIANTS) {
      test(`${variant}: the table says what .symtab says, stripped or without sections`, async () => {
        const toolchain = await goToolchain(version);
        const path = await buildGo(toolchain, 'server', { variant, stripped: false });
        const full = load(path);
        const bySymtab = goSymbols(full.file, full.bytes, NAMES);
        assert.equal(bySymtab.found && bySymtab.source, 'symtab');
        const expected = addresses(bySymtab);
        assert.deepEqual(inTable(full), expected);
        const stripped = load(await buildGo(toolchain, 'server', { variant, stripped: true }));
        assert.equal(
          stripped.file.sections.find(({ type }) => type === 'symtab'),
          undefined,
        );
        assert.deepEqual(inTable(stripped), expected);
        assert.deepEqual(inTable(parse(withoutSections(stripped.bytes))), expected);
        const facts = factsOf(stripped);
        assert.equal(facts.reason, '');
        assert.equal(facts.version, toolchain.release);
        assert.ok(facts.layout);
        assert.equal(facts.tcpReadAddress, expected[GO_TCP_READ]);
        assert.deepEqual(summary(facts), expectedSummary(facts, 'x64'));
        assert.deepEqual(factsOf(full).sites, facts.sites);
      });
    }

    test('every function of .symtab that the table has lies where .symtab has it', async () => {
      const toolchain = await goToolchain(version);
      const path = await buildGo(toolchain, 'server', { variant: 'cgo', stripped: false });
      const listed = await listFunctions(toolchain, path);
      const { file, bytes } = load(path);
      const names = new Set([...listed.keys()].filter((name) => /^(crypto|net|runtime|main)[./]/.test(name)));
      const found = fromTable(file, bytes, names);
      assert.ok(found.found);
      for (const { name, address } of found.functions.values()) assert.ok(listed.get(name)?.has(address), name);
      assert.ok(
        found.functions.size > names.size * 0.85 && found.functions.size > 2000,
        `${found.functions.size} of ${names.size}`,
      );
    });

    test('a PIE whose addresses are in its relocations only', async () => {
      const toolchain = await goToolchain(version);
      const original = load(await buildGo(toolchain, 'server', { variant: 'cgo-pie', stripped: true }));
      const { binary, count } = withoutRelocated(original);
      assert.ok(count > 1000);
      assert.deepEqual(inTable(binary), inTable(original));
    });
  });
}

for (const version of ['1.19', '1.27'] as const) {
  test(`Go ${version} for arm64`, async () => {
    const toolchain = await goToolchain(version);
    for (const variant of ['plain', 'pie'] as const) {
      const options = { variant, machine: 'arm64' } as const;
      const full = load(await buildGo(toolchain, 'server', { ...options, stripped: false }));
      const stripped = load(await buildGo(toolchain, 'server', { ...options, stripped: true }));
      assert.deepEqual(inTable(stripped), addresses(goSymbols(full.file, full.bytes, NAMES)));
      assert.deepEqual(summary(factsOf(stripped)), expectedSummary(factsOf(stripped), 'arm64'));
    }
  });
}

test('programs that Debian ships', async () => {
  for (const name of DEBIAN_GO_PROGRAMS) {
    const facts = factsOf(load(await debianProgram(name)));
    assert.equal(facts.reason, '', name);
    assert.match(facts.version, /^go1\.\d+\.\d+$/);
    assert.deepEqual(summary(facts), expectedSummary(facts, 'x64'), name);
    assert.ok(facts.tcpReadAddress !== undefined && facts.layout, name);
  }
});

async function strippedServer(): Promise<{ path: string; binary: Binary }> {
  const path = await buildGo(await goToolchain('1.27'), 'server', { variant: 'plain', stripped: true });
  return { path, binary: load(path) };
}

test('a version that does not exist yet', async () => {
  const { binary } = await strippedServer();
  const bytes = Buffer.from(binary.bytes);
  const { offset } = binary.file.sections.find(({ name }) => name === '.go.buildinfo')!;
  const at = bytes.indexOf('go1.27.', offset);
  assert.ok(at > 0 && at < offset + 64);
  bytes.write('go1.99.', at);
  const facts = factsOf(parse(bytes));
  assert.equal(facts.reason, 'Go version unverified');
  assert.match(facts.version, /^go1\.99\./);
  assert.deepEqual(facts.sites, []);
});

test('packed with UPX', async () => {
  const { path } = await strippedServer();
  const upx = await debianProgram('upx');
  await withTemporary(join(GO_CACHE, `packed-${process.pid}`), async (copy) => {
    copyFileSync(path, copy);
    const env = { ...process.env, LD_LIBRARY_PATH: debianLibraries('upx') };
    await must(upx, ['-1', '-qq', copy], { env });
    assert.equal(factsOf(load(copy)).reason, 'packed executable');
    // It still is the program that it was.
    assert.equal((await run(copy, ['-help'])).status, 0);
  });
});

test('obfuscated as garble does it: other names, another magic number, no version', async () => {
  const { binary } = await strippedServer();
  const [table] = [...pclntabs(binary.file, binary.bytes)];
  assert.ok(table);
  const change = (action: (bytes: Buffer) => void) => {
    const bytes = Buffer.from(binary.bytes);
    action(bytes);
    return factsOf(parse(bytes)).reason;
  };
  const from = table.offset + table.namesAt;
  const to = table.offset + table.namesEnd;
  const rename = (bytes: Buffer) => {
    for (let at = from; at < to; at++) if (/[a-z]/.test(String.fromCharCode(bytes[at]!))) bytes[at] = bytes[at]! ^ 1;
  };
  assert.equal(change(rename), 'function names obfuscated');
  assert.equal(
    change((bytes) => bytes.writeUInt32LE(0x12345678, table.offset)),
    'no function table',
  );
  const unnamed = change((bytes) => {
    const { offset } = binary.file.sections.find(({ name }) => name === '.go.buildinfo')!;
    bytes.write('unknown!', bytes.indexOf('go1.27.', offset));
  });
  assert.equal(unnamed, 'Go version unknown');
});

test('mutants of real tables', async () => {
  const outcomes = { reason: 0, some: 0, all: 0 };
  for (const [seed, version] of (['1.19', '1.27'] as const).entries()) {
    const toolchain = await goToolchain(version);
    const { bytes, file } = load(await buildGo(toolchain, 'server', { variant: 'cgo-pie', stripped: true }));
    const [table] = [...pclntabs(file, bytes)];
    assert.ok(table);
    const functions = table.offset + table.functionsAt;
    const names = table.offset + table.namesAt;
    const read = bytes.indexOf('crypto/tls.(*Conn).Read\0', names);
    const module = file.sections.find(({ name }) => name === '.go.module')?.offset ?? functions;
    const random = numbers(seed + 7);
    const ranges = [
      [16, 64 + file.programs.length * 56],
      [table.offset, table.offset + 72],
      [functions, functions + table.functionCount * 8],
      [read - 32, read + 64],
      [module, module + 192],
    ] as const;
    for (let i = 0; i < 300; i++) {
      const found = tryGo(mutate(bytes, random, ranges));
      outcomes[found === undefined ? 'reason' : found === 2 ? 'all' : 'some']++;
    }
  }
  assert.ok(outcomes.reason > 50 && outcomes.some > 20 && outcomes.all > 100, JSON.stringify(outcomes));
});
