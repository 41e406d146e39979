/** A context whose streams are kept as text, whose host is a made-up tree, and whose agent does what the test says. */

import { EventEmitter } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import type { TestContext } from 'node:test';
import type { AgentHandle, StartAgent, StartOptions } from '../../src/cli/agent-contract.ts';
import type { Context } from '../../src/cli/context.ts';
import type { Config } from '../../src/config.ts';
import type { KernelFeature, Native } from '../../src/native.ts';
import type { ConnectionInfo, Owner, Transaction } from '../../src/stream/contract.ts';

/** Takes everything at once, unless `stall` holds it back. */
export class TextStream extends Writable {
  text = '';
  stall = false;
  readonly #held: (() => void)[] = [];

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    if (this.stall) this.#held.push(done);
    else done();
  }

  release(): void {
    this.stall = false;
    for (const done of this.#held.splice(0)) done();
  }
}

export interface FakeContext extends Context {
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  readonly signals: EventEmitter;
  readonly exits: number[];
}

export function fakeContext(overrides: Partial<Context> = {}): FakeContext {
  const exits: number[] = [];
  return {
    env: {},
    stdin: Readable.from([]),
    exit: (code) => void exits.push(code),
    startAgent: () => Promise.reject(new Error('this test starts no agent')),
    native: () => Promise.resolve(fakeNative([])),
    hostRoot: '',
    ...overrides,
    exits,
    signals: new EventEmitter(),
    stdout: new TextStream(),
    stderr: new TextStream(),
  };
}

/** An addon on a kernel that has all features but these. */
export function fakeNative(refused: readonly KernelFeature[]): Native {
  const unused = () => {
    throw new Error('this test uses no addon');
  };
  return {
    libbpfVersion: '1.5',
    openObject: unused,
    openRingBuffer: unused,
    mapFile: unused,
    trimMemory: unused,
    releaseFilePages: unused,
    setLog: unused,
    probeFeature: (feature) =>
      refused.includes(feature) ? { errno: 22, detail: 'EINVAL: not in this kernel' } : { errno: 0, detail: '' },
  };
}

export interface FakeAgent {
  readonly start: StartAgent;
  /** Of the last start. */
  config?: Config;
  options?: StartOptions;
  stops: number;
  readonly reloads: Config[];
}

/** An agent that calls `started` once it runs. */
export function fakeAgent(started: (agent: FakeAgent) => void, handle: Partial<AgentHandle> = {}): FakeAgent {
  const agent: FakeAgent = {
    stops: 0,
    reloads: [],
    async start(config, options) {
      agent.config = config;
      agent.options = options;
      setImmediate(() => started(agent));
      return {
        stop: async () => void agent.stops++,
        status: () => ({}),
        summary: () => [],
        wallOffsetNs: 1_700_000_000_000_000_000n,
        reload: (next) => void agent.reloads.push(next),
        ...handle,
      };
    },
  };
  return agent;
}

export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'plainsight-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** struct btf_header: magic, version 1, header of 24 bytes, 8 bytes of types, 8 of strings; and those. */
export const TINY_BTF = Buffer.concat([
  Buffer.from('9feb0100', 'hex'),
  Buffer.from(new Uint32Array([24, 0, 8, 8, 8]).buffer),
  Buffer.alloc(16),
]);

const MOUNTS = [
  '31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw',
  '32 23 0:12 / /sys/kernel/tracing rw,relatime shared:9 - tracefs tracefs rw',
  '',
].join('\n');

/** path -> content; symbolic links begin with `->`. */
export const FIT_HOST: Readonly<Record<string, string | Buffer>> = {
  '/proc/sys/kernel/osrelease': '6.12.19-amd64\n',
  '/proc/sys/kernel/perf_event_paranoid': '3\n',
  '/proc/sys/kernel/unprivileged_bpf_disabled': '2\n',
  '/proc/self/status': 'Name:\tnode\nCapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffffff\n',
  '/proc/self/limits': 'Limit  Soft Limit  Hard Limit  Units\nMax locked memory         8388608    8388608    bytes\n',
  '/proc/self/mountinfo': MOUNTS,
  '/proc/self/ns/pid': '->pid:[4026531836]',
  '/sys/kernel/security/lockdown': '[none] integrity confidentiality\n',
  '/sys/kernel/btf/vmlinux': TINY_BTF,
};

export function makeHost(t: TestContext, changes: Readonly<Record<string, string | Buffer | undefined>> = {}): string {
  const root = temporaryFolder(t);
  for (const [path, content] of Object.entries({ ...FIT_HOST, ...changes })) {
    if (content === undefined) continue;
    mkdirSync(dirname(root + path), { recursive: true });
    if (typeof content === 'string' && content.startsWith('->')) symlinkSync(content.slice(2), root + path);
    else writeFileSync(root + path, content);
  }
  return root;
}

export const NGINX: Owner = { pid: 7, comm: 'nginx', namespace: '', pod: '', container: '', service: 'nginx' };

export const CONNECTION: ConnectionInfo = {
  id: 42,
  owner: NGINX,
  scheme: 'https',
  local: '10.0.0.1:443',
  remote: '10.0.0.2:50000',
};

export const TRANSACTION: Transaction = {
  connection: CONNECTION,
  owner: NGINX,
  role: 'server',
  method: 'GET',
  status: 200,
  version: '1.1',
  timeNs: 1_500_000,
  durationNs: 2_250_000,
};

/** Lets everything that is due happen, time apart. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
