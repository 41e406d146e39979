/** Opening and loading objects: options, errors, tracepoints, the log. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PlainsightError } from '../../src/errors.ts';
import type { ObjectOptions } from '../../src/native.ts';
import { native, nativeLog } from '../../src/native.ts';
import { fromRoot } from '../../src/root.ts';
import { compileBpf, fixturePath, folder, needsBpf, openFixture, readU64, u64 } from './fixture.ts';

test('the programs of an object that are loaded are listed as compiled', needsBpf, (context) => {
  const object = openFixture();
  context.after(() => object.close());
  assert.deepEqual(
    object.programs.map(({ name, section }) => [name, section]),
    [
      ['fx_on_call', 'uprobe'],
      ['fx_on_bytes', 'uprobe'],
      ['fx_on_discard', 'uprobe'],
      ['fx_on_huge', 'uprobe'],
      ['fx_on_return', 'uretprobe'],
      ['fx_on_exec', 'tp_btf/sched_process_exec'],
      ['fx_on_raw', 'raw_tp/sched_process_exec'],
      ['fx_on_syscall', 'tracepoint/syscalls/sys_exit_sethostname'],
    ],
  );
  assert(object.programs.every((program) => program.instructions > 1 && Object.isFrozen(program)));
});

test('what the kernel skipped is asked of a program that is loaded', needsBpf, (context) => {
  const object = openFixture();
  context.after(() => object.close());
  assert.equal(object.misses('fx_on_call'), 0);
  assert.throws(() => object.misses('fx_refused'), { code: 'USAGE' });
  assert.throws(() => object.misses('absent'), { code: 'USAGE' });
});

test('tp_btf and raw_tp programs attach by their section', needsBpf, (context) => {
  const object = openFixture();
  context.after(() => object.close());
  const calls = object.map('fx_calls');
  const links = [object.attach('tp_btf/sched_process_exec'), object.attach('fx_on_raw')];
  execFileSync('true');
  for (const link of links) link.close();
  const counts = [readU64(calls, 1001), readU64(calls, 1002)];
  assert(counts.every((count) => count !== undefined && count > 0n));
  execFileSync('true');
  assert.deepEqual([readU64(calls, 1001), readU64(calls, 1002)], counts);
});

test('a system call tracepoint attaches where tracefs is, and says so where it is not', needsBpf, (context) => {
  const object = openFixture();
  context.after(() => object.close());
  const section = 'tracepoint/syscalls/sys_exit_sethostname';
  if (existsSync('/sys/kernel/tracing/events') || existsSync('/sys/kernel/debug/tracing/events')) {
    object.attach(section).close();
    return;
  }
  assert.throws(
    () => object.attach(section),
    (error) => {
      assert(error instanceof PlainsightError);
      assert.equal(error.code, 'ATTACH');
      assert.equal(error.errno, 2);
      assert.match(error.message, /mount -t tracefs tracefs \/sys\/kernel\/tracing/);
      return true;
    },
  );
});

test('a program that the verifier refuses: LOAD, with the end of the log', needsBpf, () => {
  assert.throws(
    () => native().openObject(fixturePath(), {}),
    (error) => {
      assert(error instanceof PlainsightError);
      assert.equal(error.code, 'LOAD');
      assert(error.errno === 13 || error.errno === 22, `errno ${error.errno}`);
      const log = nativeLog(error) ?? '';
      assert.match(log, /fx_refused/);
      assert(log.length <= 4096);
      return true;
    },
  );
  assert.equal(nativeLog(new Error('another')), undefined);
});

test('files that are not objects', needsBpf, () => {
  const open = (path: string, options: ObjectOptions = {}) => native().openObject(path, options);
  assert.throws(() => open(join(folder, 'absent')), { name: 'PlainsightError', code: 'FILE', errno: 2 });
  assert.throws(() => open(folder), { name: 'PlainsightError', code: 'FILE', errno: 22 });
  const fifo = join(folder, 'fifo');
  execFileSync('mkfifo', [fifo]);
  assert.throws(() => open(fifo), { name: 'PlainsightError', code: 'FILE', errno: 22 });
  const noise = join(folder, 'noise');
  writeFileSync(noise, 'not an ELF file');
  assert.throws(
    () => open(noise),
    (error) => error instanceof PlainsightError && error.code === 'LOAD',
  );
  writeFileSync(noise, '');
  assert.throws(
    () => open(noise),
    (error) => error instanceof PlainsightError && error.code === 'LOAD',
  );
});

test('a BTF file that is missing, empty or no BTF is refused; that of the kernel is taken', needsBpf, () => {
  assert.throws(() => openFixture({ btfPath: join(folder, 'absent') }), { code: 'FILE', errno: 2 });
  const stub = join(folder, 'stub.btf');
  for (const content of ['', 'stub', '\x7fELF']) {
    writeFileSync(stub, content);
    assert.throws(() => openFixture({ btfPath: stub }), { name: 'PlainsightError', code: 'LOAD' }, content);
  }
  openFixture({ btfPath: '/sys/kernel/btf/vmlinux' }).close();
});

test('mapSizes changes the maps that the object has', needsBpf, (context) => {
  const object = openFixture({ mapSizes: { fx_calls: 3, fx_ring: 65536, elsewhere: 9 } });
  context.after(() => object.close());
  const calls = object.map('fx_calls');
  assert.equal(calls.maxEntries, 3);
  assert.equal(object.map('fx_ring').maxEntries, 65536);
  for (const key of [1, 2, 3]) calls.update(u64(key), u64(0));
  assert.throws(() => calls.update(u64(4), u64(0)), { code: 'MAP', errno: 7 });
});

test('sharedMaps makes two objects use one map', needsBpf, (context) => {
  const first = openFixture({ mapSizes: { fx_calls: 5 } });
  const map = first.map('fx_calls');
  const second = openFixture({ sharedMaps: [map], mapSizes: { fx_returns: 7 } });
  context.after(() => second.close());
  map.update(u64(1), u64(77));
  assert.equal(readU64(second.map('fx_calls'), 1), 77n);
  assert.equal(second.map('fx_calls').maxEntries, 5);
  assert.equal(readU64(second.map('fx_returns'), 1), undefined);
  first.close();
  assert.equal(readU64(second.map('fx_calls'), 1), 77n, 'the map outlives the object that made it');
  assert.throws(() => openFixture({ sharedMaps: [map] }), { code: 'USAGE', errno: 9 });
});

test('a shared map of another shape is refused by name', needsBpf, (context) => {
  const skipPrograms = ['fx_refused', 'fx_on_call', 'fx_on_exec', 'fx_on_raw', 'fx_on_syscall'];
  const other = native().openObject(compileBpf(['CALLS_VALUE=__u32']), { skipPrograms });
  context.after(() => other.close());
  assert.throws(
    () => openFixture({ sharedMaps: [other.map('fx_calls')] }),
    (error) => {
      assert(error instanceof PlainsightError);
      assert.equal(error.code, 'LOAD');
      assert.match(error.message, /fx_calls cannot be shared/);
      return true;
    },
  );
});

test('a closed object refuses everything but another close', needsBpf, () => {
  const object = openFixture();
  const link = object.attach('fx_on_exec');
  object.close();
  object.close();
  link.close();
  const closed = { name: 'PlainsightError', code: 'USAGE', errno: 9, message: /is closed/ };
  assert.throws(() => object.map('fx_calls'), closed);
  assert.throws(() => object.attach('fx_on_exec'), closed);
  assert.throws(() => object.misses('fx_on_exec'), closed);
  assert.equal(object.programs.length, 8);
});

test('arguments of the wrong type are refused', needsBpf, (context) => {
  const object = openFixture();
  context.after(() => object.close());
  const open = native().openObject as (...args: unknown[]) => unknown;
  const path = fixturePath();
  for (const args of [
    [],
    [7, {}],
    ['', {}],
    [path],
    [path, null],
    [path, { btfPath: 7 }],
    [path, { mapSizes: 7 }],
    [path, { mapSizes: { fx_calls: '3' } }],
    [path, { skipPrograms: 'fx_refused' }],
    [path, { skipPrograms: [7] }],
    [path, { sharedMaps: {} }],
    [path, { sharedMaps: [{}] }],
    [path, { sharedMaps: [object] }],
    [path, { uprobeMethod: 'both' }],
  ])
    assert.throws(() => open(...args), TypeError, JSON.stringify(args));
  for (const size of [0, -1, 1.5, 2 ** 32, Number.NaN])
    assert.throws(() => open(path, { mapSizes: { fx_calls: size } }), RangeError, String(size));
  assert.throws(() => open(path, { skipPrograms: ['absent'] }), { code: 'USAGE' });
  assert.throws(() => object.map('absent'), { code: 'USAGE' });
  for (const name of ['map', 'attach'] as const)
    assert.throws(() => (object[name] as (argument: unknown) => unknown)(undefined), TypeError);
  const BpfObject = object.constructor as new () => unknown;
  assert.throws(() => new BpfObject(), TypeError);
  assert.throws(() => object.close.call({} as never), TypeError);
});

test('an option that closes a shared map while the options are read is noticed', needsBpf, () => {
  const first = openFixture();
  const options = {
    sharedMaps: [first.map('fx_calls')],
    get uprobeMethod(): 'perf' {
      first.close();
      return 'perf';
    },
  };
  assert.throws(() => native().openObject(fixturePath(), options), { code: 'USAGE', errno: 9 });
});

test('libbpf messages come after the call, and a callback cannot disturb it', needsBpf, (context) => {
  context.after(() => native().setLog(undefined));
  const messages: string[] = [];
  native().setLog((level, message) => messages.push(`${level} ${message}`));
  assert.throws(() => native().openObject(fixturePath(), {}));
  assert(messages.some((message) => /^warn .*fx_refused/s.test(message)));
  assert(messages.some((message) => message.startsWith('debug ')));
  assert(messages.every((message) => message.length < 5000));

  const object = openFixture();
  native().setLog(() => object.close());
  object.attach('fx_on_exec');
  native().setLog(undefined);
  object.close();

  const silent = messages.length;
  openFixture().close();
  assert.equal(messages.length, silent);
  assert.throws(() => native().setLog(7 as never), TypeError);
});

test('a log callback that throws is an uncaught exception, and the call still has its result', needsBpf, () => {
  const script = `
    const addon = require(process.argv[1]);
    process.on('uncaughtException', (error) => console.log('uncaught ' + error.message));
    let thrown = 0;
    addon.setLog(() => { if (thrown++ === 0) throw new Error('from the callback'); });
    const object = addon.openObject(process.argv[2], { skipPrograms: ['fx_refused'] });
    console.log(object.programs.length);`;
  const child = spawnSync(process.execPath, ['-e', script, fromRoot('build/native/plainsight.node'), fixturePath()], {
    encoding: 'utf8',
  });
  assert.equal(child.stdout, 'uncaught from the callback\n8\n', child.stderr);
  assert.equal(child.status, 0);
});

test('without rights: EPERM and what to do', needsBpf, () => {
  chmodSync(folder, 0o755);
  const script = `
    const addon = require(process.argv[1]);
    try { addon.openObject(process.argv[2], { skipPrograms: ['fx_refused'] }); }
    catch (error) { console.log(error.code, error.errno, error.message); }`;
  const child = spawnSync(
    'setpriv',
    [
      ...['--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all', '--bounding-set=-all', '--'],
      ...[process.execPath, '-e', script, fromRoot('build/native/plainsight.node'), fixturePath()],
    ],
    { encoding: 'utf8' },
  );
  assert.match(child.stdout, /^LOAD 1 .*EPERM .*run as root, or with CAP_BPF and CAP_PERFMON/, child.stderr);
});
