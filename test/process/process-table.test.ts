import assert from 'node:assert/strict';
import { rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type OwnerHint, ProcessTable } from '../../src/process/process-table.ts';
import { ProcFs } from '../../src/process/procfs.ts';
import { makeFakeProc } from './fake-proc.ts';

const TICK_NS = 10_000_000;

function hint(part: Partial<OwnerHint>): OwnerHint {
  return { startTimeNs: 0, executable: '', comm: '', cgroupId: 0, ...part };
}

test('labels come from the unit, else from the executable', (context) => {
  const table = new ProcessTable({ proc: new ProcFs(makeFakeProc(context)) });
  const service = (pid: number) => table.owner(pid).service;
  assert.deepEqual(table.owner(100), {
    pid: 100,
    comm: 'nginx',
    namespace: '',
    pod: '',
    container: '',
    service: 'nginx',
  });
  assert.equal(service(200), 'my-app');
  assert.equal(service(300), 'gunicorn@shop');
  assert.equal(service(400), 'curl');
  assert.equal(service(500), 'firefox');
  assert.equal(service(600), 'php-fpm');
  assert.equal(service(700), 'kworker/0:1');
});

test('the same process is the same object, at the granularity of a tick', (context) => {
  const table = new ProcessTable({ proc: new ProcFs(makeFakeProc(context)) });
  const owner = table.owner(100);
  assert.equal(table.owner(100), owner);
  assert.equal(table.owner(100, hint({ startTimeNs: 5000 * TICK_NS })), owner);
  assert.equal(table.owner(100, hint({ startTimeNs: 5001 * TICK_NS - 1, executable: 'nginx' })), owner);
  assert.equal(table.size, 1);
});

test('a reused pid is another owner', (context) => {
  const root = makeFakeProc(context);
  const table = new ProcessTable({ proc: new ProcFs(root) });
  const first = table.owner(400, hint({ startTimeNs: 5300 * TICK_NS, executable: 'curl' }));
  writeFileSync(join(root, '400', 'stat'), '400 (wget) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 9900 0 0\n');
  unlinkSync(join(root, '400', 'exe'));
  symlinkSync('/usr/bin/wget (deleted)', join(root, '400', 'exe'));
  const second = table.owner(400, hint({ startTimeNs: 9900 * TICK_NS, executable: 'wget' }));
  assert.equal(second.service, 'wget');
  assert.equal(second.comm, 'wget');
  assert.notEqual(second, first);
  assert.equal(table.owner(400), second);
});

test('a reused pid is another owner, also when it runs the same program', (context) => {
  const root = makeFakeProc(context);
  const table = new ProcessTable({ proc: new ProcFs(root) });
  const first = table.owner(400, hint({ startTimeNs: 5300 * TICK_NS, executable: 'curl' }));
  writeFileSync(join(root, '400', 'stat'), '400 (curl) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5301 0 0\n');
  const second = table.owner(400, hint({ startTimeNs: 5301 * TICK_NS, executable: 'curl' }));
  assert.deepEqual(second, first);
  assert.notEqual(second, first);
});

test('a pid that was reused before we looked keeps the labels that the kernel told', (context) => {
  const table = new ProcessTable({ proc: new ProcFs(makeFakeProc(context)) });
  const owner = table.owner(100, hint({ startTimeNs: 42 * TICK_NS, executable: 'wget', comm: 'w' }));
  assert.equal(owner.service, 'wget');
  assert.equal(owner.comm, 'w');
});

test('a process that is gone: executable, else comm, else unknown', (context) => {
  const table = new ProcessTable({ proc: new ProcFs(makeFakeProc(context)) });
  assert.equal(table.owner(901, hint({ executable: 'curl', comm: 'x' })).service, 'curl');
  assert.equal(table.owner(902, hint({ comm: 'x' })).service, 'x');
  assert.equal(table.owner(903).service, 'unknown');
  assert.equal(table.owner(903), table.owner(903));
  // Told more later, it is read anew.
  assert.equal(table.owner(903, hint({ startTimeNs: TICK_NS, executable: 'curl' })).service, 'curl');
});

test('the unit of a known cgroup serves processes that are gone', (context) => {
  const table = new ProcessTable({ proc: new ProcFs(makeFakeProc(context)) });
  table.owner(100, hint({ startTimeNs: 5000 * TICK_NS, cgroupId: 77 }));
  assert.equal(table.owner(901, hint({ startTimeNs: TICK_NS, executable: 'sh', cgroupId: 77 })).service, 'nginx');
  assert.equal(table.owner(902, hint({ startTimeNs: TICK_NS, executable: 'sh', cgroupId: 78 })).service, 'sh');
});

test('an exec tells the unit of its cgroup while there is somebody to ask', (context) => {
  const table = new ProcessTable({ proc: new ProcFs(makeFakeProc(context)) });
  table.exec(100, hint({ startTimeNs: 5000 * TICK_NS, cgroupId: 77 }));
  assert.equal(table.owner(901, hint({ startTimeNs: TICK_NS, executable: 'sh', cgroupId: 77 })).service, 'nginx');
});

test('under cgroup v1 an id says nothing about the unit', (context) => {
  const table = new ProcessTable({ proc: new ProcFs(makeFakeProc(context)) });
  assert.equal(table.owner(200, hint({ startTimeNs: 5100 * TICK_NS, cgroupId: 1 })).service, 'my-app');
  assert.equal(table.owner(901, hint({ startTimeNs: TICK_NS, executable: 'sh', cgroupId: 1 })).service, 'sh');
});

test('a new image gives new labels, read when they are asked for', (context) => {
  const root = makeFakeProc(context);
  const table = new ProcessTable({ proc: new ProcFs(root) });
  const before = table.owner(400);
  unlinkSync(join(root, '400', 'exe'));
  symlinkSync('/usr/bin/wget', join(root, '400', 'exe'));
  assert.equal(table.owner(400), before);
  table.exec(400, hint({ startTimeNs: 5300 * TICK_NS, executable: 'wget', comm: 'wget' }));
  assert.equal(table.owner(400).service, 'wget');
  // Told by a hint alone.
  unlinkSync(join(root, '400', 'exe'));
  symlinkSync('/usr/bin/curl', join(root, '400', 'exe'));
  assert.equal(table.owner(400, hint({ startTimeNs: 5300 * TICK_NS, executable: 'curl' })).service, 'curl');
});

test('a new image of a process that died meanwhile has the labels of its exec event', (context) => {
  const table = new ProcessTable({ proc: new ProcFs(makeFakeProc(context)) });
  table.exec(901, hint({ startTimeNs: TICK_NS, executable: 'curl', comm: 'curl' }));
  assert.equal(table.owner(901).service, 'curl');
});

test('an exited process outlives one sweep and not two', (context) => {
  const root = makeFakeProc(context);
  const table = new ProcessTable({ proc: new ProcFs(root) });
  const owner = table.owner(100, hint({ startTimeNs: 5000 * TICK_NS, executable: 'nginx' }));
  rmSync(join(root, '100'), { recursive: true });
  table.exit(100);
  assert.equal(table.owner(100), owner);
  table.sweep();
  assert.equal(table.owner(100), owner);
  table.sweep();
  assert.equal(table.size, 0);
});

test('a reused pid survives the sweep of the first', (context) => {
  const table = new ProcessTable({ proc: new ProcFs(makeFakeProc(context)) });
  table.owner(100);
  table.exit(100);
  table.exec(100, hint({ startTimeNs: 5000 * TICK_NS, executable: 'nginx' }));
  const owner = table.owner(100);
  table.sweep();
  table.sweep();
  assert.equal(table.owner(100), owner);
});

test('a pid that a forked process has after an exit, before a sweep', (context) => {
  const root = makeFakeProc(context);
  const table = new ProcessTable({ proc: new ProcFs(root) });
  const first = table.owner(400, hint({ startTimeNs: 5300 * TICK_NS, executable: 'curl' }));
  table.exit(400);
  assert.equal(table.owner(400), first);
  writeFileSync(join(root, '400', 'stat'), '400 (curl) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 9900 0 0\n');
  const second = table.owner(400);
  assert.notEqual(second, first);
  assert.equal(table.owner(400), second);
  rmSync(join(root, '400'), { recursive: true });
  assert.equal(table.owner(400), second);
});

test('bounded: processes, and processes that have exited', (context) => {
  const table = new ProcessTable({ proc: new ProcFs(makeFakeProc(context)), max: 10 });
  for (let pid = 1000; pid < 2000; pid++) {
    table.owner(pid, hint({ startTimeNs: TICK_NS, executable: 'x' }));
    table.exit(pid);
  }
  assert.ok(table.size <= 10);
});
