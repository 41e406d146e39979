/** TLS libraries inside executables and inside other libraries: found by their symbols. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { fillIn } from '../process/fake-proc.ts';
import { type Fixture, sample, start, states } from './fake-node.ts';

const folder = mkdtempSync(join(tmpdir(), 'plainsight-embedded-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const FUNCTIONS = ['SSL_read', 'SSL_write', 'SSL_free'];
let count = 0;

/** An executable with functions of these names. */
function link(names: readonly string[], ...flags: string[]): Buffer {
  const path = join(folder, `program-${count++}`);
  const functions = names.map(
    (name) => `__attribute__((noinline)) int ${name}(void *c, void *b, int n) { return c && b ? n : -1; }`,
  );
  const used = names.map((name) => `(void *)${name},`).join('');
  writeFileSync(
    `${path}.c`,
    `${functions.join('\n')}\nvoid *volatile used[] = {${used}0};\nint main(void) { return 0; }\n`,
  );
  execFileSync('gcc', ['-O1', ...flags, '-o', path, `${path}.c`]);
  return readFileSync(path);
}

/** Process 800, of this executable and of libraries with these contents. */
function startProcess(
  context: TestContext,
  executable: Uint8Array,
  libraries: Record<string, Uint8Array> = {},
): Fixture {
  const fixture = start(context, sample);
  const process = join(fixture.root, '800');
  execFileSync('mkdir', ['-p', join(process, 'root/usr/bin'), join(process, 'root/usr/lib')]);
  const files = { '/usr/bin/program': executable, ...libraries };
  const lines = Object.keys(files).map((path, i) => `5${i}000000-5${i}100000 r-xp 00000000 {${path}}    ${path}\n`);
  for (const [path, bytes] of Object.entries(files)) writeFileSync(join(process, 'root', path), bytes);
  writeFileSync(join(process, 'maps'), lines.join(''));
  fillIn(process, sample);
  return fixture;
}

const ATTACHED = ['800 openssl /usr/bin/program  attached'];

test('an executable that exports the functions, as Node.js does, is attached', (context) => {
  const fixture = startProcess(context, link(FUNCTIONS, '-rdynamic', '-s'));
  fixture.discovery.scan(800);
  assert.deepEqual(states(fixture.discovery.processes()), ATTACHED);
  assert.deepEqual(fixture.attached, ['/800/root/usr/bin/program']);
  assert.equal(fixture.openFiles, 0);
});

test('an executable that only keeps them in .symtab is attached', (context) => {
  const fixture = startProcess(context, link(FUNCTIONS));
  fixture.discovery.scan(800);
  assert.deepEqual(states(fixture.discovery.processes()), ATTACHED);
});

test('BoringSSL is told from OpenSSL by a function of its own', (context) => {
  const fixture = startProcess(context, link([...FUNCTIONS, 'SSL_CTX_set_grease_enabled']));
  fixture.discovery.scan(800);
  assert.deepEqual(states(fixture.discovery.processes()), ['800 boringssl /usr/bin/program  attached']);
});

test('without symbols it has no library, and says so once it is seen speaking TLS', (context) => {
  const fixture = startProcess(context, link(FUNCTIONS, '-s'));
  fixture.discovery.scan(800);
  assert.deepEqual(fixture.discovery.processes(), []);
  fixture.discovery.tlsSeen(800);
  fixture.discovery.tick(5);
  assert.deepEqual(states(fixture.discovery.processes()), ['800    unsupported no known TLS library']);
  assert.deepEqual(fixture.attached, []);
});

test('an executable that only calls the functions of a shared library is none', (context) => {
  const library = join(folder, 'libssl.so.3');
  writeFileSync(library, sample);
  const source = join(folder, 'caller.c');
  writeFileSync(
    source,
    'int SSL_read(), SSL_write(); void SSL_free();\nint main() { SSL_free(0); return SSL_read(0) + SSL_write(0); }\n',
  );
  execFileSync('gcc', ['-Wl,--unresolved-symbols=ignore-all', '-o', join(folder, 'caller'), source, library]);
  const fixture = startProcess(context, readFileSync(join(folder, 'caller')));
  fixture.discovery.scan(800);
  assert.deepEqual(fixture.discovery.processes(), []);
});

test('a library of another name that holds one is searched when the process speaks TLS and nothing else is found', (context) => {
  const fixture = startProcess(context, link([]), { '/usr/lib/plugin.so': link(FUNCTIONS, '-shared', '-fPIC') });
  fixture.discovery.scan(800);
  assert.deepEqual(fixture.discovery.processes(), []);
  fixture.discovery.tlsSeen(800);
  fixture.discovery.tick(5);
  assert.deepEqual(states(fixture.discovery.processes()), ['800 openssl /usr/lib/plugin.so  attached']);
});

test('where a library is attached the others are not searched', (context) => {
  const libraries = { '/usr/lib/libssl.so.3': sample, '/usr/lib/plugin.so': link(FUNCTIONS, '-shared', '-fPIC') };
  const fixture = startProcess(context, link([]), libraries);
  fixture.discovery.tlsSeen(800);
  fixture.discovery.tick(5);
  assert.deepEqual(states(fixture.discovery.processes()), ['800 openssl /usr/lib/libssl.so.3 3 attached']);
});

test('the symbols of an executable are read once', (context) => {
  const fixture = startProcess(context, link([]));
  let reads = 0;
  const again = start(context, sample, {
    mapFile: () => {
      reads++;
      throw new Error('not now');
    },
  });
  renameSync(join(fixture.root, '800'), join(again.root, '800'));
  again.discovery.scan(800);
  again.discovery.scan(800);
  assert.equal(reads, 2, 'what could not be read is tried again');
  const known = startProcess(context, link([]));
  known.discovery.scan(800);
  const { openFiles } = known;
  rmSync(join(known.root, '800/root/usr/bin/program'));
  known.discovery.scan(800);
  assert.equal(openFiles, 0);
});

test('an executable that is no ELF file has no library', (context) => {
  for (const bytes of ['#!/bin/sh\n', '\x7fELF', '']) {
    const fixture = startProcess(context, Buffer.from(bytes, 'latin1'));
    assert.deepEqual(fixture.discovery.scan(800), { pid: 800, alive: true, libraries: [] });
  }
});
