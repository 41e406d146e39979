/** Programs that may make only the system calls they need live through probes that come and go. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import { makeCertificate, PYTHON, run, start, startPythonServer, temporaryFolder, until } from './harness.ts';
import { openProber } from './prober.ts';

const ROUNDS = 50;

let launcher = '';

before(async () => {
  launcher = fromRoot('build/seccomp-run');
  await run('gcc', ['-O2', '-o', launcher, fromRoot('fixtures/servers/seccomp-run.c')]);
});

test('the profile ends a program that makes another system call', async (t) => {
  const child = start(t, launcher, ['/bin/mkdir', join(temporaryFolder(t), 'new')]);
  assert.deepEqual(await child.exited, { code: null, signal: 'SIGSYS' });
});

for (const name of ['curl', 'Python'] as const) {
  test(`${name} under a strict profile: probes come and go ${ROUNDS} times, and it runs on`, async (t) => {
    const folder = temporaryFolder(t);
    const { port } = await startPythonServer(t, await makeCertificate(folder));
    const config = join(folder, 'curl.conf');
    const request = `url = "https://127.0.0.1:${port}/status/200"\ninsecure\nsilent\noutput = "${folder}/body"\n`;
    writeFileSync(config, Array.from({ length: 300 }, () => request).join('next\n'));
    // Its interpreter alone takes a round or two.
    const client = [PYTHON, fromRoot('fixtures/servers/client.py'), `https://127.0.0.1:${port}`, '5000'];
    const prober = await openProber(t);
    let runs = 0;
    while (prober.attached < ROUNDS) {
      const child = start(t, launcher, name === 'curl' ? ['/usr/bin/curl', '--config', config] : client);
      let ended = false;
      child.exited.then(() => {
        ended = true;
      });
      while (!ended) await prober.round([child.pid]);
      assert.deepEqual(await child.exited, { code: 0, signal: null }, child.stderr());
      runs++;
      assert.ok(runs < 2000, `${prober.attached} rounds`);
    }
    await until('there was something to attach', () => prober.attached >= ROUNDS || undefined);
  });
}
