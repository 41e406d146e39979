/** What holds for every TLS library in the registry. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stateOf, TLS_REASONS } from '../../src/tls/library.ts';
import { openssl } from '../../src/tls/openssl.ts';
import { TLS_LIBRARIES } from '../../src/tls/registry.ts';

for (const library of TLS_LIBRARIES) {
  test(`${library.name}: reads and writes, and names each function once`, () => {
    const operations = new Set(library.functions.map((fn) => fn.operation));
    assert.ok(operations.has('read') && operations.has('write'));
    assert.equal(new Set(library.functions.map((fn) => fn.symbol)).size, library.functions.length);
    assert.match(library.name, /^[a-z0-9-]+$/);
    assert.equal(library.recognise('/usr/lib/libc.so.6'), false);
    assert.equal(library.recognise(''), false);
  });
}

test('library names are unique', () => {
  assert.equal(new Set(TLS_LIBRARIES.map((library) => library.name)).size, TLS_LIBRARIES.length);
});

test('openssl by its file names, the version for display', () => {
  const yes: [string, string][] = [
    ['/usr/lib/x86_64-linux-gnu/libssl.so.3', '3'],
    ['/usr/lib/x86_64-linux-gnu/libssl.so.1.1', '1.1'],
    ['/lib/libssl.so.1.0.2k', '1.0.2k'],
    ['/opt/conda/lib/libssl.so', ''],
    ['/a b/psycopg2_binary.libs/libssl-28bef1ac.so.1.1', '1.1'],
    ['/memfd:libssl.so.3', '3'],
  ];
  for (const [path, version] of yes) {
    assert.equal(openssl.recognise(path), true, path);
    assert.equal(openssl.version(path), version, path);
  }
  const no = [
    '/usr/lib/libssl3.so',
    '/usr/lib/libgnutls-openssl.so.27',
    '/libssl.so.3/libc.so.6',
    '/usr/lib/libsslutils.so',
    '/a/libssl.txt',
  ];
  for (const path of no) assert.equal(openssl.recognise(path), false, path);
});

test('every reason has a state', () => {
  assert.equal(stateOf(''), 'attached');
  assert.equal(stateOf('waiting for a scan'), 'pending');
  assert.equal(stateOf('no known TLS library'), 'unsupported');
  assert.equal(stateOf('process exited'), 'failed');
  assert.equal(new Set(TLS_REASONS).size, TLS_REASONS.length);
});
