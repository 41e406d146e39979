/** Uprobes by both methods: cookies, return probes, all sites or none. */

import assert from 'node:assert/strict';
import { readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PlainsightError } from '../../src/errors.ts';
import { native } from '../../src/native.ts';
import { compileTarget, ENTRY, folder, METHODS, needsBpf, openFixture, RETURN, readU64, sites } from './fixture.ts';

for (const uprobeMethod of METHODS) {
  test(`${uprobeMethod}: each site delivers its cookie`, needsBpf, (context) => {
    const target = compileTarget();
    const object = openFixture({ uprobeMethod });
    context.after(() => object.close());
    const calls = object.map('fx_calls');
    const link = object.attachUprobes(
      'fx_on_call',
      target.path,
      sites([target.add, 11n], [target.twice, 0xfedc_ba98_7654_3210n]),
      ENTRY,
    );
    target.call('add', [1, 2, 3, 4, 5, 6]);
    target.call('twice', [7]);
    assert.equal(readU64(calls, 11), 3n);
    assert.equal(readU64(calls, 0xfedc_ba98_7654_3210n), 1n);
    link.close();
    link.close();
    target.call('add', [1, 2]);
    assert.equal(readU64(calls, 11), 3n, 'closed links see nothing');
  });

  test(`${uprobeMethod}: a return probe sees what the function returned`, needsBpf, (context) => {
    const target = compileTarget();
    const object = openFixture({ uprobeMethod });
    context.after(() => object.close());
    object.attachUprobes('fx_on_return', target.path, sites([target.add, 5n], [target.twice, 6n]), RETURN);
    target.call('add', [40, 2, 100, 1]);
    target.call('twice', [21]);
    assert.equal(readU64(object.map('fx_returns'), 5), 143n);
    assert.equal(readU64(object.map('fx_returns'), 6), 42n);
  });

  test(`${uprobeMethod}: a mapped file reads without the breakpoints that are in it`, needsBpf, (context) => {
    const target = compileTarget();
    const object = openFixture({ uprobeMethod });
    context.after(() => object.close());
    const pristine = readFileSync(target.path);
    object.attachUprobes('fx_on_call', target.path, sites([target.add, 1n]), ENTRY);
    const mapped = native().mapFile(target.path);
    context.after(() => mapped.close());
    assert.ok(pristine.equals(mapped.bytes));
  });

  test(`${uprobeMethod}: a path through /proc/PID/root and a link reach the file`, needsBpf, (context) => {
    const target = compileTarget();
    const object = openFixture({ uprobeMethod });
    context.after(() => object.close());
    const linked = join(folder, `linked-${uprobeMethod}`);
    symlinkSync(target.path, linked);
    object.attachUprobes('fx_on_call', `/proc/${process.pid}/root${linked}`, sites([target.add, 9n]), ENTRY);
    target.call('add', [1, 2]);
    assert.equal(readU64(object.map('fx_calls'), 9), 1n);
  });

  test(`${uprobeMethod}: when one site cannot be probed, none is`, needsBpf, (context) => {
    const target = compileTarget();
    const object = openFixture({ uprobeMethod });
    context.after(() => object.close());
    const outside = 0x7fff_0000n;
    assert.throws(
      () => object.attachUprobes('fx_on_call', target.path, sites([target.add, 1n], [outside, 2n]), ENTRY),
      (error) => {
        assert(error instanceof PlainsightError);
        assert.equal(error.code, 'ATTACH');
        assert.equal(error.errno, 22);
        assert(error.message.includes(target.path) && error.message.includes('EINVAL'), error.message);
        if (uprobeMethod === 'perf') assert.match(error.message, /offset 0x7fff0000 \(site 2 of 2\)/);
        return true;
      },
    );
    target.call('add', [1, 2]);
    assert.equal(readU64(object.map('fx_calls'), 1), undefined);
  });

  test(`${uprobeMethod}: files that cannot be probed are errors with their errno`, needsBpf, (context) => {
    const object = openFixture({ uprobeMethod });
    context.after(() => object.close());
    const attach = (path: string) => object.attachUprobes('fx_on_call', path, sites([0n, 1n]), ENTRY);
    assert.throws(() => attach('/nonexistent/file'), { name: 'PlainsightError', code: 'ATTACH', errno: 2 });
    assert.throws(() => attach(folder), { name: 'PlainsightError', code: 'ATTACH' });
    assert.throws(() => attach('/dev/null'), { name: 'PlainsightError', code: 'ATTACH' });
  });
}

test('arguments of the wrong type are refused', needsBpf, (context) => {
  const object = openFixture();
  context.after(() => object.close());
  const good = sites([64n, 1n]);
  const attach = object.attachUprobes.bind(object) as (...args: unknown[]) => unknown;
  const refuse = (pattern: RegExp, ...args: unknown[]) =>
    assert.throws(
      () => attach(...args),
      (error) => error instanceof TypeError && pattern.test(error.message),
    );
  refuse(/program must be a string/);
  refuse(/path must be a string/, 'fx_on_call', 7);
  refuse(/path must be absolute/, 'fx_on_call', 'libc.so.6', good, ENTRY);
  refuse(/path must be .* no NUL/, 'fx_on_call', '/bin/sh\0x', good, ENTRY);
  refuse(/sites must be an object/, 'fx_on_call', '/bin/sh');
  refuse(/sites.offsets must be a BigUint64Array/, 'fx_on_call', '/bin/sh', { offsets: [1n], cookies: [1n] }, ENTRY);
  refuse(/sites.cookies must be a BigUint64Array/, 'fx_on_call', '/bin/sh', { offsets: good.offsets }, ENTRY);
  refuse(
    /as many elements/,
    'fx_on_call',
    '/bin/sh',
    { offsets: good.offsets, cookies: BigUint64Array.of(1n, 2n) },
    ENTRY,
  );
  refuse(/options must be an object/, 'fx_on_call', '/bin/sh', good);
  refuse(/options.returnProbe must be a boolean/, 'fx_on_call', '/bin/sh', good, {});
  assert.throws(() => attach('fx_on_call', '/bin/sh', sites(), ENTRY), RangeError);
  assert.throws(
    () =>
      attach('fx_on_call', '/bin/sh', { offsets: new BigUint64Array(65537), cookies: new BigUint64Array(1) }, ENTRY),
    RangeError,
  );
});

test('programs are found by function, and by a section that is theirs alone', needsBpf, (context) => {
  const object = openFixture();
  context.after(() => object.close());
  const usage = { name: 'PlainsightError', code: 'USAGE' };
  assert.throws(() => object.attachUprobes('uprobe', '/bin/sh', sites([64n, 1n]), ENTRY), usage);
  assert.throws(() => object.attachUprobes('nothing', '/bin/sh', sites([64n, 1n]), ENTRY), usage);
  assert.throws(() => object.attachUprobes('fx_refused', '/bin/sh', sites([64n, 1n]), ENTRY), usage);
  assert.throws(() => object.attachUprobes('fx_on_exec', '/bin/sh', sites([64n, 1n]), ENTRY), usage);
  assert.throws(() => object.attach('fx_on_call'), usage);
});
