/** What holds for every TLS library in the registry. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { isEntryOnly } from '../../src/probes/plan.ts';
import { stateOf, TLS_REASONS, type TlsLibrary } from '../../src/tls/library.ts';
import { TLS_LIBRARIES } from '../../src/tls/registry.ts';
import { start, states } from './fake-node.ts';
import { LIBRARY_CASES } from './library-cases.ts';

const folder = mkdtempSync(join(tmpdir(), 'plainsight-library-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A shared object with functions of these names. */
function build(names: readonly string[]): Buffer {
  const path = join(folder, 'library.so');
  const functions = names.map(
    (name) => `int ${name}(void *c, void *b, unsigned long n, unsigned long *m) { return c && b ? n : m != 0; }`,
  );
  writeFileSync(`${path}.c`, functions.join('\n'));
  execFileSync('gcc', ['-O1', '-shared', '-fPIC', '-o', path, `${path}.c`]);
  return readFileSync(path);
}

const named = (library: TlsLibrary) => library.functions.map((fn) => fn.symbol);
const probed = (library: TlsLibrary) =>
  library.functions.filter((fn) => fn.forwardsTo === undefined || !named(library).includes(fn.forwardsTo));

test('library names are unique, and each library has its cases', () => {
  const names = TLS_LIBRARIES.map((library) => library.name);
  assert.equal(new Set(names).size, names.length);
  assert.deepEqual(Object.keys(LIBRARY_CASES).sort(), names.sort());
});

for (const library of TLS_LIBRARIES) {
  const { files, otherFiles } = LIBRARY_CASES[library.name]!;

  test(`${library.name}: reads and writes, and names each function once`, () => {
    const operations = new Set(library.functions.map((fn) => fn.operation));
    assert.ok(operations.has('read') && operations.has('write'));
    assert.ok(operations.has('free'), 'an address that is used again would be the same connection');
    assert.equal(new Set(named(library)).size, library.functions.length);
    assert.match(library.name, /^[a-z0-9-]+$/);
    for (const { forwardsTo } of library.functions) {
      if (forwardsTo !== undefined) assert.ok(named(library).includes(forwardsTo), forwardsTo);
    }
  });

  test(`${library.name}: is known by the names of its files, and is the only one that claims them`, () => {
    for (const [path, version] of Object.entries(files)) {
      assert.equal(TLS_LIBRARIES.find((candidate) => candidate.recognise(path))?.name, library.name, path);
      assert.equal(library.version(path), version, path);
    }
    for (const path of [...otherFiles, '/usr/lib/libc.so.6', '']) assert.equal(library.recognise(path), false, path);
  });

  test(`${library.name}: each function gets an entry site, and a return site unless it needs none`, (context) => {
    const fixture = start(context, build(named(library)), { libraries: [{ ...library, recognise: isSample }] });
    fixture.discovery.scan(100);
    assert.deepEqual(
      fixture.discovery.processes().map(({ state, reason }) => `${state} ${reason}`),
      ['attached '],
    );
    const sites = fixture.sites[0]!;
    for (const fn of probed(library)) {
      const kinds = new Set(sites.filter((site) => site.symbol === fn.symbol).map((site) => site.kind));
      assert.deepEqual([...kinds], isEntryOnly(fn.operation) ? ['entry'] : ['entry', 'return'], fn.symbol);
    }
    assert.equal(
      new Set(sites.map((site) => site.symbol)).size,
      probed(library).length,
      'one that forwards is left out',
    );
  });

  test(`${library.name}: no function that may be missing stops the rest`, (context) => {
    for (const missing of library.functions.filter((fn) => !fn.required)) {
      const names = named(library).filter((name) => name !== missing.symbol);
      const fixture = start(context, build(names), { libraries: [{ ...library, recognise: isSample }] });
      fixture.discovery.scan(100);
      const left = library.functions.filter((fn) => names.includes(fn.symbol)).map((fn) => fn.operation);
      const complete = left.includes('read') && left.includes('write');
      assert.equal(fixture.discovery.processes()[0]?.state, complete ? 'attached' : 'unsupported', missing.symbol);
      for (const fn of library.functions) {
        if (complete && fn.forwardsTo === missing.symbol) {
          assert.ok(fixture.sites[0]!.some((site) => site.symbol === fn.symbol));
        }
      }
    }
  });

  test(`${library.name}: without its functions it has a state and a reason`, (context) => {
    const fixture = start(context, build(['other']), { libraries: [{ ...library, recognise: isSample }] });
    fixture.discovery.scan(100);
    assert.deepEqual(
      fixture.discovery.processes().map(({ state, reason }) => `${state} ${reason}`),
      ['unsupported no read or write function'],
    );
  });

  if (library.embedded.length > 0) {
    test(`${library.name}: is known by its symbols in a file of any name`, (context) => {
      const names = [...new Set([...named(library), ...library.embedded])];
      const unnamed = TLS_LIBRARIES.map((candidate) => ({ ...candidate, recognise: () => false }));
      const fixture = start(context, build(names), { libraries: unnamed });
      fixture.discovery.tlsSeen(100);
      fixture.discovery.tick(5);
      assert.deepEqual(states(fixture.discovery.processes()), [
        `100 ${library.name} /lib/libssl.so.3 ${library.version('/lib/libssl.so.3')} attached`,
      ]);
    });
  }
}

function isSample(path: string): boolean {
  return path === '/lib/libssl.so.3';
}

test('every reason has a state', () => {
  assert.equal(stateOf(''), 'attached');
  assert.equal(stateOf('waiting for a scan'), 'pending');
  assert.equal(stateOf('no known TLS library'), 'unsupported');
  assert.equal(stateOf('process exited'), 'failed');
  assert.equal(new Set(TLS_REASONS).size, TLS_REASONS.length);
});
