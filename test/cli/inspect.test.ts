/** `inspect` and `offsets` on real files and processes, through the addon that maps them; nothing is attached. */

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { main } from '../../src/main.ts';
import { native } from '../../src/native.ts';
import { TLS_REASONS } from '../../src/tls/library.ts';
import { fakeContext, temporaryFolder } from './fake-context.ts';

const LIBRARIES = ['x86_64', 'aarch64'].map((name) => `/usr/lib/${name}-linux-gnu`).find(existsSync)!;
const LIBSSL = join(LIBRARIES, 'libssl.so.3');

async function command(...words: string[]) {
  const context = fakeContext({ native: () => Promise.resolve(native()) });
  const code = await main(words, context);
  return { code, out: context.stdout.text, error: context.stderr.text };
}

async function json(...words: string[]) {
  const { code, out, error } = await command(...words, '--json');
  assert.equal(error, '');
  return { code, value: JSON.parse(out) };
}

/** One line that names what was wrong, exit code 64. */
async function refuses(words: string[], message: RegExp): Promise<void> {
  const { code, out, error } = await command(...words);
  assert.deepEqual({ code, out }, { code: 64, out: '' }, error);
  assert.match(error, message);
  assert.match(error, /^plainsight: [^\n]*\n$/);
}

describe('inspect, a file', () => {
  test('libssl of this system: its functions, sites and offsets', async () => {
    const { code, value } = await json('inspect', LIBSSL);
    assert.equal(code, 0);
    const [library] = value.libraries;
    assert.equal(library.library, 'openssl');
    assert.equal(library.state, 'attachable');
    assert.equal(library.reason, '');
    assert.match(library.version, /^3\.\d+\.\d+$/);
    assert.match(library.buildId, /^[0-9a-f]{40}$/);
    assert.equal(library.socket.state, 'verified');
    const read = library.functions.find(({ symbol }: { symbol: string }) => symbol === 'SSL_read');
    assert.equal(read.verdict, 'complete');
    assert.equal(read.operation, 'read');
    assert.deepEqual([...new Set(read.sites.map(({ kind }: { kind: string }) => kind))], ['entry', 'return']);
    for (const { offset, costClass, instruction } of read.sites) {
      assert.ok(offset >= read.offset && offset < read.offset + read.sizeBytes);
      assert.match(costClass, /^(emulated|single-step|uretprobe)$/);
      assert.match(instruction, /^\S.*\([0-9a-f]+\)$/);
    }
    for (const { sites } of library.functions) assert.ok(sites.every((site: object) => !('cookie' in site)));
  });

  test('the same as text', async () => {
    const { code, out } = await command('inspect', LIBSSL);
    assert.equal(code, 0);
    assert.match(out, /^ {2}library +openssl 3\./m);
    assert.match(out, /^ {2}state +attachable$/m);
    assert.match(out, /^ {2}SSL_read at 0x[0-9a-f]+, \d+ bytes: returns at sites$/m);
    assert.match(out, /^ {4}entry +0x[0-9a-f]+ +(emulated|single-step) +\S+/m);
    assert.match(out, /^ {2}socket +verified by code: rbio \d+/m);
  });

  test('functions of GnuTLS that move bytes and are not probed are named, with the reason', async () => {
    const { value } = await json('inspect', LIBSSL.replace('libssl.so.3', 'libgnutls.so.30'));
    const unprobed = (value.libraries[0].functions as { symbol: string; verdict: string; reason: string }[])
      .filter(({ symbol }) => /_packet$|_send_early_data$/.test(symbol))
      .map(({ symbol, verdict, reason }) => [symbol, verdict, reason]);
    assert.deepEqual(unprobed, [
      ['gnutls_record_recv_packet', 'none', 'gives its bytes in a structure of its own'],
      ['gnutls_record_send_early_data', 'none', 'returns no count of bytes'],
    ]);
  });

  test('with --return-probe uretprobe', async () => {
    const { value } = await json('inspect', LIBSSL, '--return-probe', 'uretprobe');
    const read = value.libraries[0].functions.find(({ symbol }: { symbol: string }) => symbol === 'SSL_read');
    assert.equal(read.returns, 'uretprobe');
    assert.equal(read.uretprobeReason, 'asked for');
    assert.ok(read.sites.some(({ costClass }: { costClass: string }) => costClass === 'uretprobe'));
  });

  test('OpenSSL inside of Node.js, by its symbols', async () => {
    const { code, value } = await json('inspect', process.execPath);
    assert.equal(code, 0);
    assert.equal(value.libraries[0].library, 'openssl');
    assert.equal(value.libraries[0].version, process.versions.openssl!.replace(/\+.*$/, ''));
  });

  test('files without a library: the reason, exit code 1', async (t) => {
    const folder = temporaryFolder(t);
    const script = join(folder, 'script');
    writeFileSync(script, '#!/bin/sh\n');
    const cut = join(folder, 'libssl.so.3');
    writeFileSync(cut, readFileSync(LIBSSL).subarray(0, 5000));
    const elf32 = join(folder, 'elf32');
    writeFileSync(elf32, Buffer.from(readFileSync(LIBSSL)).fill(1, 4, 5));
    for (const [path, library, reason] of [
      ['/bin/true', '', 'no known TLS library'],
      [script, '', 'not an ELF file'],
      [cut, 'openssl', 'not an ELF file'],
      [elf32, '', '32-bit'],
    ] as const) {
      const { code, value } = await json('inspect', path);
      assert.equal(code, 1, path);
      assert.deepEqual([value.libraries[0].library, value.libraries[0].reason], [library, reason], path);
      assert.ok(TLS_REASONS.includes(value.libraries[0].reason));
      const text = await command('inspect', path);
      assert.ok(text.out.includes(`: ${reason}\n`), text.out);
    }
  });

  test('in the mount namespace of a process', async () => {
    const { code, value } = await json('inspect', `/proc/${process.pid}/root${LIBSSL}`);
    assert.equal(code, 0);
    assert.equal(value.libraries[0].library, 'openssl');
    assert.equal(value.libraries[0].socket.state, 'verified');
  });

  test('a name that plays with the terminal is printed harmless', async (t) => {
    const path = join(temporaryFolder(t), 'a\u001b[2Jb');
    writeFileSync(path, 'x'.repeat(100));
    const { out } = await command('inspect', path);
    assert.ok(!out.includes('\u001b') && out.includes('\\u{1b}[2J'));
  });
});

describe('inspect and offsets verify, what is no file that can be read', () => {
  const cases: [name: string, make: (t: TestContext) => string, message: RegExp][] = [
    ['nothing', () => '/nonexistent/libssl.so.3', /\/nonexistent\/libssl\.so\.3 cannot be mapped.*ENOENT/],
    ['a directory', () => '/usr/lib', /\/usr\/lib cannot be mapped.*EISDIR/],
    ['a device', () => '/dev/zero', /\/dev\/zero cannot be mapped.*not a regular file/],
    [
      'a FIFO',
      (t) => {
        const path = join(temporaryFolder(t), 'libssl.so.3');
        execFileSync('mkfifo', [path]);
        return path;
      },
      /libssl\.so\.3 cannot be mapped.*not a regular file/,
    ],
    [
      'an empty file',
      (t) => {
        const path = join(temporaryFolder(t), 'libssl.so.3');
        writeFileSync(path, '');
        return path;
      },
      /libssl\.so\.3 cannot be mapped.*it is empty/,
    ],
    ['an empty name', () => '', /the name of the file is empty/],
  ];
  for (const [name, make, message] of cases) {
    test(name, async (t) => {
      const path = make(t);
      await refuses(['inspect', path], message);
      await refuses(['offsets', 'verify', path], message);
    });
  }
});

describe('inspect, a process', () => {
  test('this one: the executable, by its own file', async () => {
    const { code, value } = await json('inspect', String(process.pid));
    assert.equal(code, 0);
    assert.equal(value.libraries[0].path, process.execPath);
    assert.equal(value.libraries[0].library, 'openssl');
  });

  test('one without TLS', async (t) => {
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    t.after(() => child.kill('SIGKILL'));
    await once(child, 'spawn');
    const { code, value } = await json('inspect', String(child.pid));
    assert.equal(code, 1);
    assert.deepEqual(
      value.libraries.map(({ state, reason }: { state: string; reason: string }) => [state, reason]),
      [['unsupported', 'no known TLS library']],
    );
    assert.match((await command('inspect', String(child.pid))).out, /^this process\n {2}state +unsupported: no known/);
  });

  test('one that has exited', async () => {
    const child = spawn('true', { stdio: 'ignore' });
    await once(child, 'exit');
    await refuses(['inspect', String(child.pid)], /there is no process \d+; for a file give \.\/\d+/);
  });

  test('no number of a process', async () => {
    for (const pid of ['0', '4194305', '99999999999'])
      await refuses(['inspect', pid], /is not the number of a process/);
  });
});

test('inspect keeps nothing open, and goes on where a file shrinks under it', async (t) => {
  const open = () => readdirSync('/proc/self/fd').length;
  const path = join(temporaryFolder(t), 'libssl.so.3');
  writeFileSync(path, readFileSync(LIBSSL));
  await command('inspect', path);
  const before = open();
  for (let i = 0; i < 20; i++) {
    const real = native();
    const shrinking = fakeContext({
      native: async () => ({
        ...real,
        probeFeature: (feature) => real.probeFeature(feature),
        mapFile: (name) => {
          const file = real.mapFile(name);
          if (name === path) truncateSync(path, i * 4096);
          return file;
        },
      }),
    });
    writeFileSync(path, readFileSync(LIBSSL));
    assert.ok([1, 64].includes(await main(['inspect', path], shrinking)), shrinking.stderr.text);
  }
  assert.equal(open(), before);
});

describe('offsets', () => {
  test('list: every table with what it was verified on', async () => {
    const { code, out } = await command('offsets', 'list');
    assert.equal(code, 0);
    assert.match(out, /^openssl 1\.1\.1 to 4\.\d+, /m);
    assert.match(out, /^ {2}3\.0 +verified on 3\.0\.\d+/m);
    assert.match(out, /^boringssl /m);
    assert.match(out, /^go 1\.19 to 1\.\d+, /m);
    const { value } = await json('offsets', 'list');
    assert.deepEqual(
      value.tables.map(({ library }: { library: string }) => library),
      ['openssl', 'boringssl', 'go'],
    );
    assert.ok(value.tables[0].versions.every(({ offsets }: { offsets: object }) => 'bioNumber' in offsets));
  });

  test('verify: libssl of this system and Node.js agree with the table', async () => {
    for (const path of [LIBSSL, process.execPath]) {
      const { code, value } = await json('offsets', 'verify', path);
      assert.equal(code, 0, path);
      assert.equal(value.state, 'verified', path);
      assert.equal(value.code.connection.sslReadBio, value.offsets.sslReadBio, path);
    }
    assert.match((await command('offsets', 'verify', LIBSSL)).out, /^ {2}offsets +verified$/m);
  });

  test('verify: a library whose code says something else is contradicted', async (t) => {
    const folder = temporaryFolder(t);
    const path = join(folder, 'libssl.so.3');
    const copy = join(folder, 'libcrypto.so.3');
    const bytes = readFileSync(LIBSSL);
    const symbol = execFileSync('readelf', ['-W', '--dyn-syms', LIBSSL], { encoding: 'utf8' });
    const address = Number.parseInt(/: ([0-9a-f]+) .* SSL_get_rbio@/.exec(symbol)![1]!, 16);
    // The displacement of its load: code lies in the file where it lies in memory.
    const at = bytes.indexOf(
      process.arch === 'x64' ? Buffer.from('488b47', 'hex') : Buffer.from('40f9', 'hex'),
      address,
    );
    assert.ok(at - address < 64);
    if (process.arch === 'x64') bytes[at + 3] = bytes[at + 3]! + 8;
    else bytes[at - 1] = bytes[at - 1]! + 4;
    writeFileSync(path, bytes);
    writeFileSync(copy, readFileSync(join(LIBRARIES, 'libcrypto.so.3')));
    const { code, value } = await json('offsets', 'verify', path);
    assert.equal(code, 1);
    assert.deepEqual([value.state, value.reason], ['contradicted', 'code contradicts the table']);
    assert.equal('offsets' in value, false);
    const inspected = await json('inspect', path);
    assert.equal(inspected.code, 0, 'its calls are seen all the same');
    assert.equal(inspected.value.libraries[0].socket.state, 'contradicted');
  });

  test('verify: what has no table is unverified', async () => {
    const { code, out } = await command('offsets', 'verify', '/bin/true');
    assert.equal(code, 1);
    assert.match(out, /offsets +unverified: no known TLS library/);
  });

  test('a second file that is no library does not matter', async (t) => {
    const folder = temporaryFolder(t);
    writeFileSync(join(folder, 'libssl.so.3'), readFileSync(LIBSSL));
    const verdict = async () => {
      const { value } = await json('offsets', 'verify', join(folder, 'libssl.so.3'));
      return [value.state, value.reason];
    };
    const companion = join(folder, 'libcrypto.so.3');
    assert.deepEqual(await verdict(), ['unverified', 'version unknown']);
    mkdirSync(companion);
    assert.deepEqual(await verdict(), ['unverified', 'version unknown']);
    execFileSync('rmdir', [companion]);
    execFileSync('mkfifo', [companion]);
    assert.deepEqual(await verdict(), ['unverified', 'version unknown']);
    execFileSync('rm', [companion]);
    const file = openSync(companion, 'w');
    ftruncateSync(file, 100_000);
    closeSync(file);
    assert.deepEqual(await verdict(), ['unverified', 'version unknown']);
  });
});
