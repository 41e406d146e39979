import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ScanSchedule } from '../../src/tls/scan-schedule.ts';

test('a process is looked at after 20, 100, 300, 800 and 2000 ms', () => {
  const schedule = new ScanSchedule({ max: 10 });
  schedule.add(7, 1000);
  const looks: number[] = [];
  for (let nowMs = 1000; nowMs < 5000; nowMs += 5) for (const _ of schedule.due(nowMs, 64)) looks.push(nowMs - 1000);
  assert.deepEqual(looks, [20, 100, 300, 800, 2000]);
  assert.equal(schedule.size, 0);
});

test('a look that comes late stands for those that it missed', () => {
  const schedule = new ScanSchedule({ max: 10 });
  schedule.add(7, 0);
  assert.deepEqual(schedule.due(400, 64), [7]);
  assert.deepEqual(schedule.due(400, 64), []);
  assert.deepEqual(schedule.due(800, 64), [7]);
});

test('another image begins anew', () => {
  const schedule = new ScanSchedule({ max: 10 });
  schedule.add(7, 0);
  assert.deepEqual(schedule.due(20, 64), [7]);
  schedule.add(7, 50);
  assert.deepEqual(schedule.due(69, 64), []);
  assert.deepEqual(schedule.due(70, 64), [7]);
  assert.equal(schedule.size, 1);
});

test('a deleted process is not due any more', () => {
  const schedule = new ScanSchedule({ max: 10 });
  schedule.add(7, 0);
  schedule.delete(7);
  schedule.delete(8);
  assert.deepEqual(schedule.due(5000, 64), []);
  assert.equal(schedule.has(7), false);
});

test('a limit of a call leaves the rest for the next, the longest overdue first', () => {
  const schedule = new ScanSchedule({ max: 100, delaysMs: [20] });
  for (let pid = 1; pid <= 10; pid++) schedule.add(pid, pid);
  assert.deepEqual(schedule.due(100, 4), [1, 2, 3, 4]);
  assert.deepEqual(schedule.due(100, 4), [5, 6, 7, 8]);
  assert.deepEqual(schedule.due(100, 4), [9, 10]);
  assert.deepEqual(schedule.due(100, 0), []);
});

test('bounded: what does not fit is refused and counted', () => {
  const schedule = new ScanSchedule({ max: 2 });
  assert.equal(schedule.add(1, 0), true);
  assert.equal(schedule.add(2, 0), true);
  assert.equal(schedule.add(3, 0), false);
  assert.equal(schedule.add(2, 5), true, 'planned again');
  assert.equal(schedule.refused, 1);
  assert.equal(schedule.size, 2);
});
