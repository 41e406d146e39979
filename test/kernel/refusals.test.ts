import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { PLAINSIGHT, temporaryFolder } from './harness.ts';

async function ends(args: readonly string[], command = PLAINSIGHT): Promise<{ code: number; stderr: string }> {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  const [code] = await once(child, 'close');
  return { code, stderr };
}

test('not root: the table of doctor, exit code 2', async () => {
  const { code, stderr } = await ends(
    ['--reuid=65534', '--regid=65534', '--clear-groups', PLAINSIGHT, 'run'],
    'setpriv',
  );
  assert.equal(code, 2);
  assert.match(stderr, /cannot run on this host/);
});

test('no BTF: an empty file or one that is none', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'empty'), '');
  writeFileSync(join(folder, 'stub'), 'not BTF at all, but long enough to be read as a header');
  for (const name of ['empty', 'stub']) {
    const { code, stderr } = await ends(['run', '--btf-path', join(folder, name)]);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /BTF/);
  }
});

test('a port in use', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const { code, stderr } = await ends(['run', '--listen', `127.0.0.1:${port}`]);
  server.close();
  assert.equal(code, 69, stderr);
  assert.match(stderr, new RegExp(`127\\.0\\.0\\.1:${port}`));
});

test('a malformed capture file', async (t) => {
  const path = join(temporaryFolder(t), 'capture');
  writeFileSync(path, '{"plainsight":1}\n{"type":"data"}\n');
  const { code, stderr } = await ends(['replay', path]);
  assert.equal(code, 65);
  assert.match(stderr, /line 2/);
});
