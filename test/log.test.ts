import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Log, type LogFormat, type LogLevel } from '../src/log.ts';

function logger(format: LogFormat, level: LogLevel = 'info') {
  const lines: string[] = [];
  const log = new Log({ level, format, write: (line) => void lines.push(line), now: () => 1_700_000_000_123 });
  return { log, lines };
}

test('text: a line with the fields that have a value', () => {
  const { log, lines } = logger('text');
  log.warn('attach failed', { pid: 7, path: '/a b', none: undefined, size: 2n ** 60n, ok: false, quote: 'a"b' });
  assert.deepEqual(lines, [
    '2023-11-14T22:13:20.123Z warn  attach failed pid=7 path="/a b" size=1152921504606846976 ok=false quote="a\\"b"\n',
  ]);
});

test('json: an object a line; a field cannot replace the time, the level or the message', () => {
  const { log, lines } = logger('json');
  log.error('attach failed', { pid: 7, level: 'debug', size: 2n ** 60n, none: undefined });
  assert.deepEqual(lines, [
    '{"time":"2023-11-14T22:13:20.123Z","level":"error","message":"attach failed","pid":7,"size":"1152921504606846976"}\n',
  ]);
});

test('nobody forges a line or drives the terminal', () => {
  const hostile = 'x\n2023 error fake\u001b[2J\u202e\u2028';
  for (const format of ['text', 'json'] as const) {
    const { log, lines } = logger(format);
    log.info(hostile, { comm: hostile });
    assert.equal(lines.length, 1);
    assert.doesNotMatch(lines[0]!.slice(0, -1), /[\p{Cc}\p{Cf}\p{Zl}]/u);
  }
});

test('long values are cut', () => {
  const { log, lines } = logger('text');
  log.info('x'.repeat(100_000));
  assert.equal(lines[0]!.length, '2023-11-14T22:13:20.123Z info  '.length + 1000 + '…\n'.length);
});

test('the level can change', () => {
  const { log, lines } = logger('text', 'warn');
  log.info('a');
  assert.equal(log.enabled('info'), false);
  log.setLevel('debug');
  log.debug('b');
  assert.deepEqual(
    lines.map((line) => line.slice(25)),
    ['debug b\n'],
  );
});

test('once: the first of each key, up to a limit', () => {
  const { log, lines } = logger('text');
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 2000; i++) log.once(`library ${i}`, 'warn', `library ${i} is not known`);
  }
  assert.equal(lines.length, 1025);
  assert.match(lines[1023]!, /library 1023 is not known/);
  assert.match(lines[1024]!, /too many different messages of this kind/);
});

test('once: what is below the level is not remembered', () => {
  const { log, lines } = logger('text', 'warn');
  log.once('key', 'debug', 'a');
  log.setLevel('debug');
  log.once('key', 'debug', 'a');
  assert.equal(lines.length, 1);
});
