import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PlainsightError } from '../../src/errors.ts';
import { ProcFs } from '../../src/process/procfs.ts';
import { makeFakeProc } from './fake-proc.ts';

test('reads a fake tree through its root', (context) => {
  const proc = new ProcFs(`${makeFakeProc(context)}/`);
  assert.deepEqual(
    proc.listPids().sort((a, b) => a - b),
    [100, 200, 300, 400, 500, 600, 700],
  );
  assert.deepEqual(
    proc.maps(100)?.map((mapping) => mapping.path),
    ['/usr/sbin/nginx', '/lib/libssl.so.3', '/lib/ld-musl-x86_64.so.1'],
  );
  assert.equal(proc.stat(200)?.comm, 'python3.11 (a) b');
  assert.equal(proc.stat(700)?.kernelThread, true);
  assert.equal(proc.executable(100), '/usr/sbin/nginx');
  assert.equal(proc.executable(700), undefined);
  assert.deepEqual(proc.maps(700), []);
  assert.equal(proc.cgroup(100)?.unified, '/system.slice/nginx.service');
});

test('a path under root is prefixed once, and map_files has no leading zeros', () => {
  const proc = new ProcFs('/host/proc');
  assert.equal(proc.rootPath(7, '/lib/libssl.so.3'), '/host/proc/7/root/lib/libssl.so.3');
  assert.equal(
    proc.mapFilePath(7, { start: 0x400000n, end: 0x7fff00001000n }),
    '/host/proc/7/map_files/400000-7fff00001000',
  );
});

test('a process that is gone is a value', (context) => {
  const proc = new ProcFs(makeFakeProc(context));
  assert.equal(proc.maps(999), undefined);
  assert.equal(proc.stat(999), undefined);
  assert.equal(proc.status(999), undefined);
  assert.equal(proc.cgroup(999), undefined);
  assert.equal(proc.executable(999), undefined);
  assert.equal(proc.fileStat(proc.rootPath(999, '/x')), undefined);
  assert.equal(proc.exists(999), false);
  assert.equal(proc.exists(100), true);
});

test('other failures tell the path, the errno and what to do', (context) => {
  const proc = new ProcFs('/nonexistent');
  assert.throws(
    () => proc.listPids(),
    (error) => error instanceof PlainsightError && error.code === 'FILE' && /check --proc-root/.test(error.message),
  );
  const root = makeFakeProc(context);
  rmSync(join(root, '100', 'stat'));
  mkdirSync(join(root, '100', 'stat'));
  assert.throws(
    () => new ProcFs(root).stat(100),
    (error) => error instanceof PlainsightError && error.errno === 21 && error.message.includes(`${root}/100/stat`),
  );
});

test('maps beyond 64 KiB are read whole, beyond 8 MiB up to the last whole line', (context) => {
  const root = makeFakeProc(context);
  const proc = new ProcFs(root);
  const line = (i: number) =>
    `${(0x1000 * i).toString(16).padStart(12, '0')}-${(0x1000 * (i + 1)).toString(16).padStart(12, '0')} r-xp 00000000 08:01 ${i}    /lib/${'x'.repeat(900)}\n`;
  writeFileSync(join(root, '100', 'maps'), Array.from({ length: 1000 }, (_, i) => line(i + 1)).join(''));
  assert.equal(proc.maps(100)?.length, 1000);
  writeFileSync(join(root, '100', 'maps'), Array.from({ length: 12000 }, (_, i) => line(i + 1)).join(''));
  const mappings = proc.maps(100)!;
  assert.ok(mappings.length > 8000 && mappings.length < 9000, String(mappings.length));
  assert.equal(mappings.at(-1)?.path.length, 905);
});

test('reads the process that runs this', () => {
  const proc = new ProcFs();
  const stat = proc.stat(process.pid);
  assert.ok(stat !== undefined && stat.startTicks > 0 && !stat.kernelThread);
  assert.equal(proc.status(process.pid)?.tgid, process.pid);
  const mapping = proc.maps(process.pid)?.find((candidate) => candidate.path === proc.executable(process.pid));
  assert.ok(mapping);
  const shown = proc.fileStat(proc.rootPath(process.pid, mapping.path));
  assert.equal(shown?.inode, mapping.inode);
});
