/** What is said of a Go program, and where the fields of its structures are. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readElf } from '../../src/elf/elf-file.ts';
import { goVersion } from '../../src/elf/go-build-info.ts';
import { PlainsightError } from '../../src/errors.ts';
import type { GoPlanner } from '../../src/probes/go-plan.ts';
import { fromRoot } from '../../src/root.ts';
import { type GoFacts, goFacts } from '../../src/tls/go.ts';
import { GO_FIELDS, GoOffsets, parseGoOffsets } from '../../src/tls/go-offsets.ts';
import { type GoSampleOptions, goSample } from '../elf/go-sample.ts';

const committed = JSON.parse(readFileSync(fromRoot('offsets/go.json'), 'utf8'));
const offsets = parseGoOffsets(committed);

/** Probes the first byte and the last. */
const plan: GoPlanner = (_view, fn, returns) => {
  const site = { offset: fn.fileOffset, kind: 'entry', costClass: 'emulated', repeats: false } as const;
  const end = { ...site, offset: fn.fileOffset + fn.sizeBytes - 1, kind: 'return' } as const;
  return { entries: [site], returns: returns ? [end] : [], reason: '' };
};

function facts(
  sample: Partial<GoSampleOptions>,
  options: Partial<Parameters<typeof goFacts>[2]> = {},
  change: (bytes: Buffer) => void = () => {},
): GoFacts | undefined {
  const { bytes } = goSample(sample);
  change(bytes);
  const file = readElf(bytes);
  assert.ok(file.supported);
  return goFacts(file, bytes, { offsets, plan, machine: 'x64', ...options });
}

const FUNCTIONS = [
  { name: 'runtime.main', sizeBytes: 64 },
  { name: 'net.(*TCPConn).Read', sizeBytes: 32 },
  { name: 'crypto/tls.(*Conn).Read', sizeBytes: 160 },
  { name: 'crypto/tls.(*Conn).Write', sizeBytes: 96 },
  { name: 'crypto/tls.(*Conn).Close', sizeBytes: 96 },
];

test('a program that can be attached', () => {
  const found = facts({ functions: FUNCTIONS });
  assert.equal(found?.reason, '');
  assert.equal(found.version, 'go1.24.4');
  assert.equal(found.buildId, 'abc/def/ghi');
  assert.equal(found.tcpReadAddress, 0x401040);
  assert.equal(found.layout?.gGoid, 160);
  const sites = found.sites.map(({ operation, kind, offset, address }) => [
    operation,
    kind,
    offset.toString(16),
    address.toString(16),
  ]);
  assert.deepEqual(sites, [
    ['read', 'entry', '1060', '401060'],
    ['read', 'return', '10ff', '4010ff'],
    ['write', 'entry', '1100', '401100'],
    ['close', 'entry', '1160', '401160'],
  ]);
});

test('the return of a write is probed where its entry can be hit twice', () => {
  const repeating: GoPlanner = (view, fn, returns) => {
    const { entries, ...rest } = plan(view, fn, returns);
    return { ...rest, entries: entries.map((site) => ({ ...site, repeats: true })) };
  };
  const found = facts({ functions: FUNCTIONS }, { plan: repeating });
  const sites = found?.sites.map(({ operation, kind }) => `${operation} ${kind}`);
  assert.deepEqual(sites, ['read entry', 'read return', 'write entry', 'write return', 'close entry']);
});

function reasonOf(sample: Partial<GoSampleOptions>, options: Partial<Parameters<typeof goFacts>[2]> = {}): string {
  const found = facts(sample, options);
  if (!found) return 'no Go program';
  if (found.reason !== '') {
    assert.deepEqual(found.sites, []);
    assert.equal(found.layout, undefined);
    assert.equal(found.tcpReadAddress, undefined);
  }
  return found.reason;
}

test('versions outside of what was verified are not touched', () => {
  assert.equal(reasonOf({ version: 'go1.27.3' }), '');
  for (const version of ['go1.99', 'go1.28', 'go1.28.1', 'go1.27rc1', 'devel go1.27-1234567 Tue Nov 3']) {
    assert.equal(reasonOf({ version }), 'Go version unverified', version);
  }
  assert.equal(reasonOf({ version: 'go1.16.15' }), 'Go version too old');
  assert.equal(reasonOf({ version: 'go1.17.1 X:noregabi' }), 'Go version too old');
  assert.equal(reasonOf({ version: 'go1.21.4 X:boringcrypto' }), '');
  assert.equal(reasonOf({ version: 'unknown' }), 'Go version unknown');
});

test('programs without it, packed, obfuscated, for another machine', () => {
  assert.equal(reasonOf({ buildInfo: 'none', sections: false }), 'no Go program');
  assert.equal(reasonOf({ buildInfo: 'none' }), 'Go version unknown');
  assert.equal(reasonOf({ functions: FUNCTIONS.slice(0, 2) }), 'no crypto/tls');
  assert.equal(reasonOf({ functions: FUNCTIONS.slice(0, 3) }), 'no crypto/tls');
  assert.equal(reasonOf({ functions: FUNCTIONS.slice(0, 4) }), '');
  assert.equal(reasonOf({ functions: [{ name: 'a.b', sizeBytes: 16 }] }), 'function names obfuscated');
  assert.equal(reasonOf({ text: 'none' }), 'no begin of code');
  assert.equal(reasonOf({}, { machine: 'arm64' }), 'other machine');
  const packed = facts({ sections: false }, {}, (bytes) => bytes.write('UPX!', 64 + 4 * 56 + 4, 'latin1'));
  assert.equal(packed?.reason, 'packed executable');
});

test('a function that cannot be probed', () => {
  const refuse =
    (name: string): GoPlanner =>
    (view, fn, returns) =>
      fn.name.endsWith(name) ? { entries: [], returns: [], reason: 'tail call' } : plan(view, fn, returns);
  assert.equal(reasonOf({ functions: FUNCTIONS }, { plan: refuse('Write') }), 'tail call');
  assert.equal(reasonOf({ functions: FUNCTIONS }, { plan: refuse('Close') }), '');
});

test('offsets by version', () => {
  const goid = (version: string) => offsets.layout(goVersion(version)!)?.gGoid;
  assert.deepEqual(['go1.19.8', 'go1.22', 'go1.23.9', 'go1.24', 'go1.25.12', 'go1.27.0'].map(goid), [
    ...[152, 152, 160, 160, 152, 152],
  ]);
  // Between two that are the same; before the first; after the last; not yet released.
  assert.deepEqual(['go1.20.3', 'go1.18.1', 'go1.28', 'go1.24rc2'].map(goid), [152, undefined, undefined, undefined]);
  // Between two that differ.
  const gap = new GoOffsets(offsets.entries.filter(({ minor }) => minor !== 24));
  assert.equal(gap.layout(goVersion('go1.24.1')!), undefined);
});

test('the convention of calls', () => {
  const convention = (version: string, machine: string) => offsets.convention(goVersion(version)!, machine);
  assert.equal(convention('go1.17', 'x64'), 'registers');
  assert.equal(convention('go1.16.9', 'x64'), 'stack');
  assert.equal(convention('go1.17.9', 'arm64'), 'stack');
  assert.equal(convention('go1.18', 'arm64'), 'registers');
  assert.equal(convention('go1.99', 'x64'), 'unverified');
  assert.equal(convention('go1.20', 'other'), 'unverified');
});

test('the committed table has all fields of every version, and no other', () => {
  assert.deepEqual(
    committed.versions.map(({ version }: { version: string }) => version),
    ['1.19', '1.21', '1.22', '1.23', '1.24', '1.25', '1.26', '1.27'],
  );
  for (const { version, verifiedOn, layout } of committed.versions) {
    assert.ok(verifiedOn.startsWith(`go${version}.`), verifiedOn);
    assert.deepEqual(Object.keys(layout), [...GO_FIELDS].sort());
  }
});

test('a table that cannot be used', () => {
  const [entry] = committed.versions;
  const wrong: unknown[] = [
    undefined,
    null,
    [],
    {},
    { versions: [] },
    { versions: [{}] },
    { versions: [{ ...entry, version: '2.1' }] },
    { versions: [{ ...entry, verifiedOn: 7 }] },
    { versions: [{ ...entry, layout: { ...entry.layout, gGoid: -8 } }] },
    { versions: [{ ...entry, layout: { ...entry.layout, gGoid: 1e6 } }] },
    { versions: [{ ...entry, layout: { ...entry.layout, gGoid: '152' } }] },
  ];
  for (const json of wrong) {
    assert.throws(
      () => parseGoOffsets(json),
      (error) => error instanceof PlainsightError && error.code === 'BAD_INPUT',
      JSON.stringify(json),
    );
  }
});
