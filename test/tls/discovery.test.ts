/** Which libraries are found in which processes, and what is known of each process. */

import assert from 'node:assert/strict';
import { copyFileSync, linkSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildSample } from '../elf/sample.ts';
import { deviceAndInode } from '../process/fake-proc.ts';
import { sample, start, states } from './fake-node.ts';

test('finds the library by its path in the process: Alpine, conda, wheels with spaces in their path', (context) => {
  const fixture = start(context);
  fixture.discovery.scan(100);
  fixture.discovery.scan(200);
  fixture.discovery.scan(300);
  assert.deepEqual(fixture.attached, [
    '/100/root/lib/libssl.so.3',
    '/200/root/opt/conda/lib/libssl.so.3',
    '/300/root/usr/lib/python 3/psycopg2_binary.libs/libssl-28bef1ac.so.1.1',
  ]);
  assert.deepEqual(states(fixture.discovery.processes()), [
    '100 openssl /lib/libssl.so.3 3 attached',
    '200 openssl /opt/conda/lib/libssl.so.3 3 attached',
    '300 openssl /usr/lib/python 3/psycopg2_binary.libs/libssl-28bef1ac.so.1.1 1.1 attached',
  ]);
  assert.equal(fixture.discovery.processes()[0]?.buildId, '0123456789abcdef0123456789abcdef01234567');
  assert.equal(fixture.openFiles, 0);
});

test('the sites: entry and return of reads and writes, the entry of free and shutdown, each with its cookie', (context) => {
  const fixture = start(context);
  fixture.discovery.scan(100);
  assert.deepEqual(
    fixture.sites[0]?.map((site) => `${site.symbol} ${site.kind} ${site.method} ${site.cookie}`),
    [
      'SSL_read entry uprobe 0',
      'SSL_read return uretprobe 8',
      'SSL_write entry uprobe 1',
      'SSL_write return uretprobe 9',
      'SSL_read_ex entry uprobe 4',
      'SSL_read_ex return uretprobe 12',
      'SSL_write_ex entry uprobe 5',
      'SSL_write_ex return uretprobe 13',
      'SSL_free entry uprobe 2',
      'SSL_shutdown entry uprobe 3',
    ],
  );
  assert.equal(new Set(fixture.sites[0]?.map((site) => site.offset)).size, 6);
});

test('a missing function never stops the rest', (context) => {
  const fixture = start(context, buildSample('-DWITHOUT_EX'));
  fixture.discovery.scan(100);
  assert.equal(fixture.sites[0]?.length, 6);
});

test('a deleted file is reached through its mapping, not through the file that took its name', (context) => {
  const fixture = start(context);
  fixture.discovery.scan(400);
  assert.deepEqual(fixture.attached, ['/400/map_files/7f5d00020000-7f5d00080000']);
  assert.deepEqual(states(fixture.discovery.processes()), ['400 openssl /usr/lib/libssl.so.3 3 attached']);
});

test('a file that was replaced by rename and cannot be reached any more has a reason', (context) => {
  const fixture = start(context);
  const path = join(fixture.root, '100/root/lib/libssl.so.3');
  copyFileSync(path, `${path}.new`);
  renameSync(`${path}.new`, path);
  fixture.discovery.scan(100);
  assert.deepEqual(states(fixture.discovery.processes()), ['100 openssl /lib/libssl.so.3 3 failed file replaced']);
  assert.deepEqual(fixture.attached, []);
});

test('a file that was replaced by rename while it is attached stays attached, and the new one is attached beside it', (context) => {
  const fixture = start(context);
  fixture.discovery.tick(1000);
  fixture.discovery.scan(100);
  const path = join(fixture.root, '100/root/lib/libssl.so.3');
  copyFileSync(path, `${path}.new`);
  // The kernel's probes hold the old inode; here a second name does.
  linkSync(path, `${path}.old`);
  renameSync(`${path}.new`, path);
  const maps = readFileSync(join(fixture.root, '100/maps'), 'utf8');
  writeFileSync(join(fixture.root, '700/maps'), maps.replaceAll(deviceAndInode(`${path}.old`), deviceAndInode(path)));
  symlinkSync('../100/root', join(fixture.root, '700/root'));
  fixture.discovery.scan(100);
  fixture.discovery.scan(700);
  assert.deepEqual(states(fixture.discovery.processes()), [
    '100 openssl /lib/libssl.so.3 3 attached',
    '700 openssl /lib/libssl.so.3 3 attached',
  ]);
  assert.deepEqual(fixture.attached, ['/100/root/lib/libssl.so.3', '/700/root/lib/libssl.so.3']);
  fixture.discovery.tick(60_000);
  assert.equal(fixture.attached.length, 2);
});

test('a process in a chroot: its paths begin at the root of its mount namespace', (context) => {
  const fixture = start(context);
  renameSync(join(fixture.root, '100/root'), join(fixture.root, 'elsewhere'));
  renameSync(join(fixture.root, '700'), join(fixture.root, '1'));
  renameSync(join(fixture.root, 'elsewhere'), join(fixture.root, '1/root'));
  fixture.discovery.scan(100);
  assert.deepEqual(fixture.attached, ['/1/root/lib/libssl.so.3']);
});

test('kernel threads have no libraries', (context) => {
  const fixture = start(context);
  assert.deepEqual(fixture.discovery.scan(700), { pid: 700, alive: true, libraries: [] });
  assert.deepEqual(fixture.opened, []);
});

test('NSS without names for its functions has a state and a reason', (context) => {
  const fixture = start(context);
  fixture.discovery.scan(500);
  assert.deepEqual(states(fixture.discovery.processes()), [
    '500 nss /usr/lib/firefox/libssl3.so 3 unsupported no read or write function',
  ]);
  assert.deepEqual(fixture.attached, []);
});

test('its own process is not looked at', (context) => {
  const fixture = start(context, sample, { selfPid: 100 });
  assert.deepEqual(fixture.discovery.scan(100), { pid: 100, alive: true, libraries: [] });
  fixture.discovery.tlsSeen(100);
  fixture.discovery.tick(5);
  assert.deepEqual(fixture.attached, []);
});

test('two libraries of one process are both attached, each once', (context) => {
  const fixture = start(context);
  const result = fixture.discovery.scan(600);
  assert.deepEqual(fixture.attached, ['/600/root/usr/lib/libssl.so.1.1', '/600/root/usr/lib/libssl.so.3']);
  assert.deepEqual(
    result.libraries.map((library) => library.version),
    ['1.1', '3'],
  );
});

test('a process that speaks TLS without a known library is visible', (context) => {
  const fixture = start(context);
  fixture.discovery.tlsSeen(700);
  assert.deepEqual(states(fixture.discovery.processes()), ['700    pending waiting for a scan']);
  fixture.discovery.tick(5);
  assert.deepEqual(states(fixture.discovery.processes()), ['700    unsupported no known TLS library']);
  fixture.discovery.processExited(700);
  assert.deepEqual(fixture.discovery.processes(), []);
});

test('a library that is loaded late is found when the process speaks TLS', (context) => {
  const fixture = start(context);
  const maps = join(fixture.root, '100/maps');
  const later = readFileSync(maps, 'utf8');
  writeFileSync(maps, '');
  fixture.discovery.scan(100);
  assert.deepEqual(fixture.attached, []);
  writeFileSync(maps, later);
  fixture.discovery.tlsSeen(100);
  fixture.discovery.tick(5);
  assert.deepEqual(states(fixture.discovery.processes()), ['100 openssl /lib/libssl.so.3 3 attached']);
});

test('a new image is looked at when its time has come', (context) => {
  const fixture = start(context);
  fixture.discovery.scanSoon(100, 1000);
  fixture.discovery.tick(1010);
  assert.equal(fixture.discovery.counters.scans, 0);
  fixture.discovery.tick(1020);
  assert.equal(fixture.attached.length, 1);
  fixture.discovery.tick(9000);
  assert.equal(fixture.discovery.counters.scans, 2);
});

test('what nobody uses is detached some seconds after its last process, and what a fork uses is kept', (context) => {
  const fixture = start(context);
  fixture.discovery.tick(1000);
  fixture.discovery.scan(100);
  fixture.discovery.scan(200);
  // The process that was scanned is gone, but a child of it that nobody announced maps the same file.
  writeFileSync(join(fixture.root, '700/maps'), readFileSync(join(fixture.root, '100/maps'), 'utf8'));
  renameSync(join(fixture.root, '100/root'), join(fixture.root, '700/root'));
  rmSync(join(fixture.root, '100'), { recursive: true });
  rmSync(join(fixture.root, '200'), { recursive: true });
  fixture.discovery.processExited(100);
  fixture.discovery.processExited(200);
  fixture.discovery.tick(5000);
  assert.ok(fixture.attached.includes('/200/root/opt/conda/lib/libssl.so.3'));
  fixture.discovery.tick(6000);
  assert.ok(!fixture.attached.includes('/200/root/opt/conda/lib/libssl.so.3'));
  assert.ok(fixture.attached.includes('/100/root/lib/libssl.so.3'));
  assert.equal(fixture.discovery.counters.detached, 1);
});

test('an exit that was lost is noticed by scanAll', (context) => {
  const fixture = start(context);
  fixture.discovery.scanAll();
  assert.equal(fixture.attached.length, 6);
  rmSync(join(fixture.root, '600'), { recursive: true });
  fixture.discovery.scanAll();
  fixture.discovery.sweep();
  assert.equal(fixture.attached.length, 4);
});

test('a sweep keeps what is used by more processes than the table holds', (context) => {
  const fixture = start(context, sample, { maxProcesses: 1 });
  fixture.discovery.scanAll();
  assert.equal(fixture.attached.length, 6);
  fixture.discovery.sweep();
  assert.equal(fixture.attached.length, 6);
});

test('close detaches everything', (context) => {
  const fixture = start(context);
  fixture.discovery.scanAll();
  fixture.discovery.close();
  assert.deepEqual(fixture.attached, []);
  assert.deepEqual(fixture.discovery.attachments(), []);
  assert.equal(fixture.openFiles, 0);
});

test('bounded: attachments, and processes whose state is kept', (context) => {
  const fixture = start(context, sample, { maxAttachments: 1, maxProcesses: 2 });
  fixture.discovery.scanAll();
  assert.equal(fixture.attached.length, 1);
  assert.ok(fixture.discovery.processes().some((one) => one.reason === 'too many libraries'));
  assert.ok(new Set(fixture.discovery.processes().map((one) => one.pid)).size <= 2);
  assert.ok(fixture.discovery.counters.processesEvicted > 0);
  for (let pid = 10_000; pid < 10_100; pid++) fixture.discovery.scanSoon(pid, 0);
  assert.equal(fixture.discovery.scansRefused, 98);
});
