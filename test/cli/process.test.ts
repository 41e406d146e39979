/** The command as a process: the launcher, pipes, exit codes. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fromRoot, packageVersion } from '../../src/root.ts';
import { temporaryFolder } from './fake-context.ts';

const SOURCES = join(dirname(fileURLToPath(import.meta.url)), '../../src');

/** The launcher beside the code that is being tested; its path. */
function launcher(t: TestContext, built: boolean): string {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'bin'));
  mkdirSync(join(folder, 'build'));
  copyFileSync(fromRoot('bin/plainsight'), join(folder, 'bin/plainsight'));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  if (built) symlinkSync(SOURCES, join(folder, 'build/src'));
  return join(folder, 'bin/plainsight');
}

function run(path: string, words: string[], input = '') {
  const { status, stdout, stderr } = spawnSync(path, words, {
    input,
    encoding: 'utf8',
    env: { PATH: process.env.PATH },
  });
  return { status, stdout, stderr };
}

describe('the launcher', () => {
  test('runs what is built', (t) => {
    const stdout = `plainsight ${packageVersion()}\n`;
    assert.deepEqual(run(launcher(t, true), ['--version']), { status: 0, stdout, stderr: '' });
  });

  test('says when nothing is built', (t) => {
    const stderr = 'plainsight: not built; run: npm run setup\n';
    assert.deepEqual(run(launcher(t, false), ['--version']), { status: 2, stdout: '', stderr });
  });

  test('hands on the exit code', (t) => {
    const stderr = "plainsight: --tls: 'on' is not allowed; give auto, off\n";
    assert.deepEqual(run(launcher(t, true), ['run', '--tls', 'on']), { status: 64, stdout: '', stderr });
  });

  test('reads a capture from a pipe', (t) => {
    const { status, stderr } = run(launcher(t, true), ['replay', '-'], '{"plainsight":1}\nx\n');
    assert.deepEqual({ status, stderr }, { status: 65, stderr: 'plainsight: capture file, line 2: is not JSON\n' });
  });
});

describe('pipes', () => {
  const capture = ['{"plainsight":1}'];
  for (let i = 0; i < 20_000; i++) {
    const data = (direction: string, text: string) =>
      JSON.stringify({
        ...{ type: 'data', conn: i, pid: 7, time: i, direction, length: text.length },
        data: Buffer.from(text).toString('base64'),
      });
    capture.push(data('ingress', 'GET / HTTP/1.1\r\n\r\n'), data('egress', 'HTTP/1.1 204 No Content\r\n\r\n'));
  }
  const input = `${capture.join('\n')}\n`;

  /** The exit code of the command is the last line of stderr. */
  function pipe(t: TestContext, command: string) {
    const script = `{ "$0" replay - --transactions; echo "$?" >&2; } | ${command}`;
    return spawnSync('sh', ['-c', script, launcher(t, true)], { input, encoding: 'utf8' });
  }

  test('a reader that goes away: exit code 0, not a word', (t) => {
    const { stdout, stderr } = pipe(t, 'head -n 1');
    assert.match(stdout, /^\{"time":0,"conn":0,[^\n]*\n$/);
    assert.equal(stderr, '0\n');
  });

  test('everything arrives, however much it is', (t) => {
    const { stdout, stderr } = pipe(t, 'wc -l');
    assert.equal(stdout.trim(), '20000');
    assert.equal(stderr, '0\n');
  });
});
