/** Versions, settings and ids of Go programs. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ElfFile, readElf } from '../../src/elf/elf-file.ts';
import { goBuildId, goBuildInfo, goVersion } from '../../src/elf/go-build-info.ts';
import { type GoSampleOptions, goSample } from './go-sample.ts';

function read(bytes: Uint8Array): ElfFile {
  const file = readElf(bytes);
  assert.ok(file.supported);
  return file;
}

function info(options: Partial<GoSampleOptions>, change: (bytes: Buffer) => void = () => {}) {
  const { bytes } = goSample(options);
  change(bytes);
  return goBuildInfo(read(bytes), bytes);
}

test('inline, by its section', () => {
  const found = info({ version: 'go1.24.4' });
  assert.equal(found?.version, 'go1.24.4');
  assert.equal(found.path, 'example.test/server');
  assert.deepEqual(
    [...found.settings],
    [
      ['-buildmode', 'exe'],
      ['CGO_ENABLED', '0'],
    ],
  );
});

test('pointers, as up to Go 1.17', () => {
  const found = info({ buildInfo: 'pointers', version: 'go1.17.13', settings: 'path\texample.test/old\n' });
  assert.deepEqual(found, { version: 'go1.17.13', path: 'example.test/old', settings: new Map() });
});

test('without section headers it is searched', () => {
  assert.equal(info({ sections: false })?.version, 'go1.24.4');
  assert.equal(info({ sections: false, buildInfo: 'pointers' })?.version, 'go1.24.4');
});

test('a program with sections and without this one is no Go program, whatever its data holds', () => {
  const found = info({}, (bytes) => bytes.write('XX', bytes.indexOf('.go.buildinfo')));
  assert.equal(found, undefined);
});

test('settings with quotes, and without their marks', () => {
  const found = info({ settings: 'build\t-ldflags="-s -w"\nbuild\t-tags=a,b\n' });
  assert.deepEqual(
    [...(found?.settings ?? [])],
    [
      ['-ldflags', '-s -w'],
      ['-tags', 'a,b'],
    ],
  );
  assert.deepEqual(info({ settings: 'path\texample.test/server' }), {
    version: 'go1.24.4',
    path: '',
    settings: new Map(),
  });
});

test('what lies is no build information', () => {
  const data = 0x3000;
  assert.equal(info({ buildInfo: 'none' }), undefined);
  // a length that no version has, one that never ends, an empty version
  assert.equal(
    info({}, (bytes) => bytes.set([0xff, 0x7f], data + 32)),
    undefined,
  );
  assert.equal(
    info({}, (bytes) => bytes.fill(0xff, data + 32, data + 48)),
    undefined,
  );
  assert.equal(
    info({}, (bytes) => bytes.set([0], data + 32)),
    undefined,
  );
  // pointers of 4 bytes, in big-endian order, to nowhere
  const pointers = { buildInfo: 'pointers' } as const;
  assert.equal(
    info(pointers, (bytes) => bytes.set([4], data + 14)),
    undefined,
  );
  assert.equal(
    info(pointers, (bytes) => bytes.set([1], data + 15)),
    undefined,
  );
  assert.equal(
    info(pointers, (bytes) => bytes.fill(0xff, data + 16, data + 24)),
    undefined,
  );
  // not aligned
  const shifted = info({ sections: false }, (bytes) => bytes.copyWithin(data + 8, data, data + 0x200));
  assert.equal(shifted, undefined);
});

test('the id of the link', () => {
  const { bytes } = goSample();
  assert.equal(goBuildId(read(bytes), bytes), 'abc/def/ghi');
  bytes.write('\0', bytes.indexOf('abc/def'), 'latin1');
  assert.equal(goBuildId(read(bytes), bytes), undefined);
  const without = goSample({ sections: false }).bytes;
  assert.equal(goBuildId(read(without), without), undefined);
});

test('versions', () => {
  const plain = { patch: 0, prerelease: false, experiments: [] };
  assert.deepEqual(goVersion('go1.27'), { ...plain, minor: 27 });
  assert.deepEqual(goVersion('go1.19.8'), { ...plain, minor: 19, patch: 8 });
  assert.deepEqual(goVersion('go1.21.5 X:boringcrypto,loopvar'), {
    minor: 21,
    patch: 5,
    prerelease: false,
    experiments: ['boringcrypto', 'loopvar'],
  });
  assert.deepEqual(goVersion('go1.27rc1'), { ...plain, minor: 27, prerelease: true });
  assert.deepEqual(goVersion('devel go1.28-0123abc Tue Nov 3 10:00:00 2026'), {
    ...plain,
    minor: 28,
    prerelease: true,
  });
  assert.deepEqual(goVersion('go1.22.1-vendor3'), { ...plain, minor: 22, patch: 1, prerelease: true });
  for (const text of ['', 'unknown', 'go2.1', 'go1', 'go1.x', 'xgo1.20', 'go1.1234']) {
    assert.equal(goVersion(text), undefined, text);
  }
});
