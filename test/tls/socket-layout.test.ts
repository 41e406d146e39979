import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { readElf } from '../../src/elf/elf-file.ts';
import { symbols } from '../../src/elf/symbols.ts';
import { hostMachine, offsetTables, socketLayouts } from '../../src/libraries.ts';
import { readResults } from '../../src/probes/getter.ts';
import { ACCESSOR_SYMBOLS, type CodeSource, SocketLayouts } from '../../src/tls/socket-layout.ts';

const folder = mkdtempSync(join(tmpdir(), 'plainsight-layout-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const layouts = socketLayouts(hostMachine(), true);

function source(bytes: Uint8Array): CodeSource {
  const elf = readElf(bytes);
  assert.ok(elf.supported);
  return { elf, bytes, found: symbols(elf, bytes, new Set(ACCESSOR_SYMBOLS)) };
}

interface Shape {
  /** Offsets; a function whose offset is missing is not there. */
  readonly readBio?: number;
  readonly writeBio?: number;
  readonly method?: number;
  readonly reason?: number;
  readonly data?: number;
  /** The object is checked as OpenSSL since 3.2 does. */
  readonly kind?: boolean;
  readonly version?: number;
}

/** A library whose accessor functions say this. */
function library(shape: Shape): CodeSource {
  const pointer = (name: string, offset: number | undefined, condition = '1') =>
    offset === undefined ? '' : `void *${name}(char *p) { return ${condition} ? *(void **)(p + ${offset}) : 0; }\n`;
  const kind = shape.kind ? 'p && *(int *)p == 0' : '1';
  const text = [
    pointer('SSL_get_rbio', shape.readBio, kind),
    pointer('SSL_get_wbio', shape.writeBio, kind),
    pointer('BIO_get_data', shape.data),
    shape.method === undefined ? '' : `int BIO_method_type(char *p) { return **(int **)(p + ${shape.method}); }\n`,
    shape.reason === undefined ? '' : `int BIO_get_retry_reason(char *p) { return *(int *)(p + ${shape.reason}); }\n`,
    shape.version === undefined
      ? ''
      : `unsigned long OpenSSL_version_num(void) { return 0x${shape.version.toString(16)}; }\n`,
    'int other;\n',
  ].join('');
  const path = join(folder, 'library.so');
  writeFileSync(`${path}.c`, text);
  execFileSync('gcc', ['-O2', '-shared', '-fPIC', '-nostdlib', '-o', path, `${path}.c`]);
  return source(readFileSync(path));
}

const OPENSSL_3 = { readBio: 16, writeBio: 24, method: 8, reason: 52, data: 64 };
const OPENSSL_35 = { ...OPENSSL_3, readBio: 80, writeBio: 88, kind: true };

describe('code and table', () => {
  const judged = (name: string, ...shapes: Shape[]) => {
    const { state, reason, version, connectionSource, bioSource, fields } = layouts.of(name, shapes.map(library));
    const from = fields
      ? `${connectionSource}+${bioSource} ${fields.sslReadBio}:${fields.sslKind}:${fields.bioNumber}`
      : reason;
    return `${state} ${version} ${from}`;
  };

  test('both say the same', () => {
    assert.equal(judged('openssl', { ...OPENSSL_3, version: 0x300000f0 }), 'verified 3.0.15 code+code 16:undefined:56');
    assert.equal(judged('openssl', { ...OPENSSL_35, version: 0x30500010 }), 'verified 3.5.1 code+code 80:0:56');
  });

  test('a library in two files', () => {
    const { method, reason, data, ...connection } = OPENSSL_3;
    assert.equal(
      judged('openssl', connection, { method, reason, data, version: 0x300000f0 }),
      'verified 3.0.15 code+code 16:undefined:56',
    );
  });

  test('a version between those of the table: its code decides', () => {
    assert.equal(judged('openssl', { ...OPENSSL_35, version: 0x30200010 }), 'verified 3.2.1 code+code 80:0:56');
    assert.equal(judged('openssl', { ...OPENSSL_3, version: 0x30100010 }), 'verified 3.1.1 code+code 16:undefined:56');
  });

  test('a version behind the table, whose BIO is one that is known', () => {
    assert.equal(judged('openssl', { ...OPENSSL_35, version: 0x50000000 }), 'verified 5.0.0 code+code 80:0:56');
  });

  test('no accessor functions: the table alone', () => {
    assert.equal(judged('openssl', { version: 0x1010117f }), 'verified 1.1.1w table+table 16:undefined:48');
  });

  test('neither', () => {
    assert.equal(judged('openssl', {}), 'unverified  version unknown');
    assert.equal(judged('openssl', { version: 0x50000000 }), 'unverified 5.0.0 version not in the table');
    assert.equal(judged('openssl', { version: 0x30200010 }), 'unverified 3.2.1 version not in the table');
    assert.equal(judged('openssl', { ...OPENSSL_3, data: 80 }), 'unverified  BIO not in the table');
    assert.equal(judged('gnutls', OPENSSL_3), 'unverified  no table for this library');
  });

  test('pre-releases and LibreSSL have no version', () => {
    for (const version of [0x30000001, 0x10101070, 0x20000000]) {
      assert.equal(judged('openssl', { version }), 'unverified  version unknown', version.toString(16));
    }
  });

  test('they differ: nothing is read', () => {
    for (const change of [
      { readBio: 24 },
      { writeBio: 32 },
      { method: 0 },
      { reason: 56 },
      { data: 72 },
      { kind: true },
    ]) {
      assert.equal(
        judged('openssl', { ...OPENSSL_3, ...change, version: 0x300000f0 }),
        'contradicted 3.0.15 code contradicts the table',
        JSON.stringify(change),
      );
    }
  });

  test('BoringSSL says no version of its own', () => {
    const boringssl = { readBio: 24, writeBio: 32, method: 0, reason: 20, data: 32, version: 0x1010107f };
    assert.equal(judged('boringssl', boringssl), 'verified  code+code 24:undefined:24');
  });
});

describe('real libraries', () => {
  const read = (path: string) => source(readFileSync(path));
  const libraries = ['x86_64', 'aarch64'].map((machine) => `/usr/lib/${machine}-linux-gnu`).find(existsSync)!;

  test('libssl and libcrypto of this system', () => {
    const layout = layouts.of('openssl', [`${libraries}/libssl.so.3`, `${libraries}/libcrypto.so.3`].map(read));
    assert.equal(layout.state, 'verified', layout.reason);
    assert.equal(layout.connectionSource, 'code');
    assert.equal(layout.bioSource, 'code');
    assert.match(layout.version, /^3\.\d+\.\d+$/);
    assert.notEqual(layouts.cookieBits(layout), 0n);
  });

  test('OpenSSL in this Node.js', () => {
    const layout = layouts.of('openssl', [read(process.execPath)]);
    assert.equal(layout.state, 'verified', layout.reason);
    assert.equal(layout.version, process.versions.openssl!.replace(/\+.*$/, ''));
  });
});

test('without cookies no site is told of a layout', () => {
  const off = new SocketLayouts({ tables: offsetTables('x64'), read: readResults, encode: () => 0n });
  assert.equal(off.cookieBits(off.of('openssl', [library({ ...OPENSSL_3, version: 0x300000f0 })])), 0n);
});
