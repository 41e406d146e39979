/** Programs that may make only the system calls they need live through probes that come and go. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { loadConfig } from '../../src/config.ts';
import { Log } from '../../src/log.ts';
import { native } from '../../src/native.ts';
import { planProbes } from '../../src/probes/plan.ts';
import { ProcFs } from '../../src/process/procfs.ts';
import { Programs } from '../../src/programs.ts';
import { fromRoot } from '../../src/root.ts';
import { Discovery } from '../../src/tls/discovery.ts';
import { makeCertificate, PYTHON, run, sleep, start, startPythonServer, temporaryFolder, until } from './harness.ts';

const ROUNDS = 50;
/** Enough for a program to call through the probes, and through the places where they were. */
const ROUND_MS = 40;

let launcher = '';

before(async () => {
  launcher = fromRoot('build/seccomp-run');
  await run('gcc', ['-O2', '-o', launcher, fromRoot('fixtures/servers/seccomp-run.c')]);
});

/** Attaches what a process maps and detaches it again, as the agent does. */
class Prober {
  readonly #programs: Programs;
  readonly #discovery: Discovery;
  attached = 0;

  constructor(programs: Programs) {
    this.#programs = programs;
    this.#discovery = new Discovery({
      proc: new ProcFs(),
      mapFile: (path) => native().mapFile(path),
      plan: planProbes,
      attach: {
        attach: (path, sites) => {
          this.attached++;
          return programs.attachTls(path, sites);
        },
      },
    });
  }

  async round(pid: number): Promise<void> {
    this.#discovery.scan(pid);
    await sleep(ROUND_MS);
    this.#discovery.close();
    await sleep(ROUND_MS / 2);
  }

  close(): void {
    this.#discovery.close();
    this.#programs.close();
  }
}

async function openProber(t: TestContext): Promise<Prober> {
  const config = await loadConfig({ flags: new Map(), env: {} });
  const programs = Programs.load(native(), config, new Log({ level: 'error', format: 'text', write: () => {} }));
  programs.configure({ selfPid: process.pid, onlyPid: 0, excludeComm: [] });
  const prober = new Prober(programs);
  t.after(() => prober.close());
  return prober;
}

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
      while (!ended) await prober.round(child.pid);
      assert.deepEqual(await child.exited, { code: 0, signal: null }, child.stderr());
      runs++;
      assert.ok(runs < 2000, `${prober.attached} rounds`);
    }
    await until('there was something to attach', () => prober.attached >= ROUNDS || undefined);
  });
}
