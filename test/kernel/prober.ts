/** The programs of the agent without the agent: attaches what processes map and detaches it again, as often as wanted. */

import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { loadConfig } from '../../src/config.ts';
import { Log } from '../../src/log.ts';
import { native } from '../../src/native.ts';
import { encodeGoCookie } from '../../src/probes/go-cookie.ts';
import { planGoFunction } from '../../src/probes/go-plan.ts';
import { planProbes } from '../../src/probes/plan.ts';
import { ProcFs } from '../../src/process/procfs.ts';
import { Programs } from '../../src/programs.ts';
import { fromRoot } from '../../src/root.ts';
import { Discovery } from '../../src/tls/discovery.ts';
import { goLibrary } from '../../src/tls/go.ts';
import { parseGoOffsets } from '../../src/tls/go-offsets.ts';
import { TLS_LIBRARIES } from '../../src/tls/registry.ts';
import { sleep } from './harness.ts';

/** Enough for a program to call through the probes, and through the places where they were. */
const ROUND_MS = 40;

function libraries() {
  const offsets = parseGoOffsets(JSON.parse(readFileSync(fromRoot('offsets/go.json'), 'utf8')));
  return [...TLS_LIBRARIES, goLibrary({ offsets, plan: planGoFunction, encode: encodeGoCookie })];
}

/** Attaches what processes map and detaches it again, as the agent does. */
export class Prober {
  readonly #programs: Programs;
  readonly #discovery: Discovery;
  attached = 0;

  constructor(programs: Programs) {
    this.#programs = programs;
    this.#discovery = new Discovery({
      proc: new ProcFs(),
      mapFile: (path) => native().mapFile(path),
      plan: planProbes,
      libraries: libraries(),
      attach: {
        attach: (path, sites) => {
          this.attached++;
          return programs.attachTls(path, sites);
        },
      },
    });
  }

  async round(pids: readonly number[], roundMs = ROUND_MS): Promise<void> {
    for (const pid of pids) this.#discovery.scan(pid);
    await sleep(roundMs);
    this.#discovery.close();
    await sleep(roundMs / 2);
  }

  close(): void {
    this.#discovery.close();
    this.#programs.close();
  }
}

export async function openProber(t: TestContext): Promise<Prober> {
  const config = await loadConfig({ flags: new Map(), env: {} });
  const programs = Programs.load(native(), config, new Log({ level: 'error', format: 'text', write: () => {} }));
  programs.configure({ selfPid: process.pid, onlyPid: 0, excludeComm: [] });
  const prober = new Prober(programs);
  t.after(() => prober.close());
  return prober;
}
