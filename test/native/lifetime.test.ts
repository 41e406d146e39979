/** Nothing is left behind: after 1,000 rounds, after errors, by the garbage collector, by a worker that exits. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import type { BpfObject, ObjectOptions } from '../../src/native.ts';
import { native } from '../../src/native.ts';
import { fromRoot } from '../../src/root.ts';
import { compileBpf, compileProgram, compileTarget, ENTRY, METHODS, needsBpf, sites } from './fixture.ts';

// Names of its own: other test files load the same fixture meanwhile.
const NAMES = ['calls', 'returns', 'percpu', 'scratch', 'ring', 'on_call', 'on_return', 'on_bytes', 'on_exec'];
const path = needsBpf.skip ? '' : compileBpf(NAMES.map((name) => `fx_${name}=lt_${name}`));
const counter = needsBpf.skip ? '' : compileProgram('count-objects');

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const addon = fromRoot('build/native/plainsight.node');
const skipPrograms = ['fx_refused', 'fx_on_syscall', 'fx_on_huge', 'fx_on_discard', 'fx_on_raw'];

function open(options: ObjectOptions = {}): BpfObject {
  return native().openObject(path, { ...options, skipPrograms });
}

/** Descriptors of this process; programs, maps and links of the fixture in the kernel. */
function census(): string {
  const objects = execFileSync(counter, ['lt_'], { encoding: 'utf8' }).trim();
  return `${readdirSync('/proc/self/fd').length} descriptors, ${objects}`;
}

/** The kernel frees programs and maps a little after their last user has gone. */
async function settles(wanted: string): Promise<void> {
  for (let tries = 0; tries < 100 && census() !== wanted; tries++) {
    collect();
    await turn();
    await sleep(50);
  }
  assert.equal(census(), wanted);
}

// By perf event the kernel waits for several grace periods per site and lets nobody else wait meanwhile: 100 rounds of two
// sites. A leak of one descriptor or one link shows after any number of rounds.
const ROUNDS = { multi: 250, perf: 25 } as const;

for (const uprobeMethod of METHODS)
  test(
    `${4 * ROUNDS[uprobeMethod]} rounds of uprobes by ${uprobeMethod}, in four threads, leave nothing`,
    needsBpf,
    async () => {
      const target = compileTarget();
      const script = `
      const { workerData } = require('node:worker_threads');
      const { addon, path, skipPrograms, uprobeMethod, target, sites, rounds } = workerData;
      const object = require(addon).openObject(path, { skipPrograms, uprobeMethod });
      for (let round = 0; round < rounds; round++)
        object.attachUprobes('lt_on_call', target, sites, { returnProbe: false }).close();`;
      const rounds = ROUNDS[uprobeMethod];
      const workerData = {
        addon,
        path,
        skipPrograms,
        uprobeMethod,
        target: target.path,
        rounds,
        sites: sites([target.add, 1n], [target.twice, 2n]),
      };
      const before = census();
      const workers = [1, 2, 3, 4].map(() => new Worker(script, { eval: true, workerData }));
      for (const [code] of await Promise.all(workers.map((worker) => once(worker, 'exit')))) assert.equal(code, 0);
      await settles(before);
    },
  );

test('one object, many links: closing it detaches them all', needsBpf, async () => {
  const target = compileTarget();
  const before = census();
  const object = open({ uprobeMethod: 'multi' });
  for (let i = 0; i < 40; i++) object.attachUprobes('lt_on_call', target.path, sites([target.add, BigInt(i)]), ENTRY);
  assert.match(census(), / 40$/);
  object.close();
  assert.match(census(), / 0$/);
  await settles(before);
});

test('1,000 rounds of a BTF tracepoint leave nothing', needsBpf, async (context) => {
  const object = open();
  context.after(() => object.close());
  object.attach('lt_on_exec').close();
  // Maps and programs of the tests before are gone, this object's are not.
  await settles(census().replace(/, .*/, ', 4 5 0'));
  const before = census();
  for (let round = 0; round < 1000; round++) object.attach('lt_on_exec').close();
  await settles(before);
});

test('50 objects opened, attached and closed leave nothing; closing the object detaches', needsBpf, async () => {
  const target = compileTarget();
  open().close();
  await settles(census().replace(/, .*/, ', 0 0 0'));
  const before = census();
  for (let round = 0; round < 50; round++) {
    const object = open({ uprobeMethod: round % 2 ? 'multi' : 'perf' });
    const ring = native().openRingBuffer(object.map('lt_ring'), 65536);
    object.attachUprobes('lt_on_call', target.path, sites([target.add, 1n], [target.twice, 2n]), ENTRY);
    object.attach('lt_on_exec');
    object.close();
    ring.close();
  }
  await settles(before);
});

test('failures leave nothing', needsBpf, async () => {
  const target = compileTarget();
  const fail = () => {
    assert.throws(() => native().openObject(path, {}));
    assert.throws(() => open({ btfPath: '/dev/null' }));
    const object = open({ uprobeMethod: 'perf' });
    assert.throws(() =>
      object.attachUprobes('lt_on_call', target.path, sites([target.add, 1n], [1n << 40n, 2n]), ENTRY),
    );
    object.close();
  };
  fail();
  await settles(census().replace(/, .*/, ', 0 0 0'));
  const before = census();
  for (let round = 0; round < 20; round++) fail();
  await settles(before);
});

test('what is collected is released; a map or a link keeps its object', needsBpf, async () => {
  const before = census();
  let map: unknown;
  const leave = () => {
    for (let round = 0; round < 10; round++) {
      const object = open();
      object.attach('lt_on_exec');
      native().openRingBuffer(object.map('lt_ring'), 65536);
    }
    map = open().map('lt_calls');
  };
  leave();
  for (let tries = 0; tries < 100 && !census().endsWith(' 5 0'); tries++) {
    collect();
    await turn();
    await sleep(50);
  }
  assert.match(census(), /, 4 5 0$/, 'the one object whose map is held');
  assert.deepEqual((map as { keys(limit: number): Uint8Array }).keys(1), new Uint8Array(0));
  map = undefined;
  await settles(before);
});

test('a worker that exits releases what it holds, and the addon still works here', needsBpf, async () => {
  const before = census();
  const script = `
    const { workerData } = require('node:worker_threads');
    const addon = require(workerData.addon);
    addon.setLog(() => {});
    globalThis.object = addon.openObject(workerData.path, { skipPrograms: workerData.skipPrograms });
    globalThis.link = object.attach('lt_on_exec');
    globalThis.ring = addon.openRingBuffer(object.map('lt_ring'), 65536);
    globalThis.file = addon.mapFile(workerData.path);`;
  for (let round = 0; round < 3; round++) {
    const workerData = { addon, path, skipPrograms };
    const worker = new Worker(script, { eval: true, workerData });
    const [code] = (await once(worker, 'exit')) as [number];
    assert.equal(code, 0);
  }
  await settles(before);
  open().close();
  await settles(before);
});
