import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Check, exitCodeOf, judge } from '../../src/cli/host-checks.ts';
import {
  FEATURES_TRIED,
  type HostFacts,
  parseCapabilities,
  parseCgroupMode,
  parseLockdown,
  parseMemlock,
  readBtfState,
  readHostFacts,
} from '../../src/cli/host-facts.ts';
import { PlainsightError } from '../../src/errors.ts';
import { main } from '../../src/main.ts';
import type { KernelFeature, ProbeResult } from '../../src/native.ts';
import { fakeContext, fakeNative, makeHost, TINY_BTF } from './fake-context.ts';

const ALL = 0x1ffffffffffn;
const DAC_READ_SEARCH = 1n << 2n;
const SYS_PTRACE = 1n << 19n;
const SYS_ADMIN = 1n << 21n;
const SYS_RESOURCE = 1n << 24n;
const PERFMON = 1n << 38n;
const BPF = 1n << 39n;

function featuresBut(...refused: KernelFeature[]): Partial<Record<KernelFeature, ProbeResult>> {
  const result = (name: KernelFeature) =>
    refused.includes(name) ? { errno: 22, detail: 'EINVAL: not in this kernel' } : { errno: 0, detail: '' };
  return Object.fromEntries(FEATURES_TRIED.map((name) => [name, result(name)]));
}

const FIT: HostFacts = {
  kernelRelease: '6.12.19-amd64',
  architecture: 'x64',
  btf: { path: '/sys/kernel/btf/vmlinux', state: 'ok' },
  capabilities: ALL,
  lockdown: 'none',
  perfEventParanoid: 3,
  unprivilegedBpfDisabled: 2,
  memlockBytes: 8 * 2 ** 20,
  cgroup: 'v2',
  initialPidNamespace: true,
  features: featuresBut(),
};

function check(changes: Partial<HostFacts>, name: string): Omit<Check, 'name'> | undefined {
  const found = judge({ ...FIT, ...changes }).find((one) => one.name === name);
  if (!found) return undefined;
  const { status, detail, fix } = found;
  return { status, detail, fix };
}

function problems(changes: Partial<HostFacts>): string[] {
  const checks = judge({ ...FIT, ...changes });
  return checks.filter(({ status }) => status !== 'ok').map(({ name, status }) => `${name} ${status}`);
}

describe('judging', () => {
  test('a host with everything', () => {
    assert.deepEqual(problems({}), []);
    assert.equal(exitCodeOf(judge(FIT)), 0);
  });

  const cases: [what: string, changes: Partial<HostFacts>, problems: string[]][] = [
    ['kernel 5.4', { kernelRelease: '5.4.0-216-generic' }, ['kernel missing']],
    ['kernel 5.8', { kernelRelease: '5.8.0' }, []],
    ['kernel 10.0', { kernelRelease: '10.0.0' }, []],
    ['kernel of no known version', { kernelRelease: undefined }, ['kernel degraded']],
    ['arm64', { architecture: 'arm64' }, []],
    ['ia32', { architecture: 'ia32' }, ['architecture missing']],
    ['no BTF', { btf: { path: '/x', state: 'absent' } }, ['BTF missing']],
    ['empty BTF', { btf: { path: '/x', state: 'empty' } }, ['BTF missing']],
    ['no capabilities', { capabilities: 0n }, ['privileges missing', 'access to processes degraded']],
    ['capabilities unknown', { capabilities: undefined }, ['privileges missing', 'access to processes degraded']],
    ['the four, on 6.12', { capabilities: BPF | PERFMON | SYS_PTRACE | DAC_READ_SEARCH }, []],
    ['BPF alone', { capabilities: ALL & ~SYS_ADMIN & ~PERFMON }, ['privileges missing']],
    ['SYS_ADMIN instead of BPF', { capabilities: SYS_ADMIN | SYS_PTRACE | DAC_READ_SEARCH }, []],
    [
      'the four, on 6.1',
      { capabilities: BPF | PERFMON | SYS_PTRACE | DAC_READ_SEARCH, kernelRelease: '6.1.0-28-amd64' },
      ['privileges degraded'],
    ],
    ['without SYS_PTRACE', { capabilities: ALL & ~SYS_PTRACE }, ['access to processes degraded']],
    ['lockdown integrity', { lockdown: 'integrity' }, []],
    ['lockdown confidentiality', { lockdown: 'confidentiality' }, ['lockdown missing']],
    ['memlock on 5.10', { kernelRelease: '5.10.0', capabilities: ALL & ~SYS_RESOURCE }, ['memlock missing']],
    ['memlock on 5.10, raised', { kernelRelease: '5.10.0' }, []],
    [
      'memlock on 5.10, unlimited',
      { kernelRelease: '5.10.0', capabilities: ALL & ~SYS_RESOURCE, memlockBytes: Number.POSITIVE_INFINITY },
      [],
    ],
    ['no cgroup', { cgroup: 'none' }, ['cgroup degraded']],
    ['6.11', { kernelRelease: '6.11.0-14-generic' }, ['uretprobes degraded']],
    ['in a container', { initialPidNamespace: false }, ['pid namespace missing']],
    ['in an unknown pid namespace', { initialPidNamespace: undefined }, ['pid namespace degraded']],
    ['no ring buffer', { features: featuresBut('ring_buffer') }, ['ring buffer missing']],
    ['no uprobe_multi', { features: featuresBut('uprobe_multi') }, []],
    ['no perf uprobes', { features: featuresBut('uprobe') }, []],
    ['no syscall tracepoints', { features: featuresBut('sys_exit_tracepoint') }, []],
    [
      'no socket tracepoints',
      { features: featuresBut('sock_length_tracepoints') },
      ['sock length tracepoints degraded'],
    ],
    ['no uprobes', { features: featuresBut('uprobe', 'uprobe_multi') }, ['uprobe multi degraded', 'uprobe degraded']],
    ['no uprobe_multi and no cookies', { features: featuresBut('uprobe_multi', 'attach_cookie') }, []],
    [
      'no source of traffic',
      { features: featuresBut('uprobe', 'uprobe_multi', 'sock_length_tracepoints', 'sys_exit_tracepoint') },
      [
        'sock length tracepoints degraded',
        'task pt regs degraded',
        'sk storage tracing degraded',
        'sys exit tracepoint degraded',
        'uprobe multi degraded',
        'uprobe degraded',
        'sources of traffic missing',
      ].filter((line) => !/^(task|sk )/.test(line)),
    ],
    ['no TCP tracepoints', { features: featuresBut('tcp_tracepoints') }, ['tcp tracepoints degraded']],
    ['no addon', { features: 'it cannot be loaded' }, ['native addon missing']],
    ['features not tried', { features: undefined }, []],
  ];
  for (const [what, changes, expected] of cases) {
    test(what, () => assert.deepEqual(problems(changes), expected));
  }

  test('says what was found and what to do', () => {
    assert.deepEqual(check({ kernelRelease: '5.4.0-216-generic' }, 'kernel'), {
      status: 'missing',
      detail: '5.4.0-216-generic (5.8 or later is needed)',
      fix: 'boot a later kernel',
    });
    assert.deepEqual(check({ capabilities: 0n }, 'privileges'), {
      status: 'missing',
      detail: 'without BPF and PERFMON',
      fix: 'run as root, or with BPF PERFMON SYS_PTRACE DAC_READ_SEARCH',
    });
    assert.deepEqual(check({ features: featuresBut('sock_length_tracepoints') }, 'sock length tracepoints'), {
      status: 'degraded',
      detail:
        'unencrypted traffic is captured at the system calls instead, at a higher cost for the host, and not on Unix sockets (EINVAL: not in this kernel)',
      fix: 'boot a kernel that has it (6.3+)',
    });
    const refused = { errno: 1, detail: 'EPERM: run as root, or with CAP_BPF' };
    assert.deepEqual(check({ features: { ...featuresBut(), bpf: refused } }, 'bpf'), {
      status: 'missing',
      detail: 'nothing works without it (EPERM)',
      fix: 'run as root, or with CAP_BPF',
    });
  });

  test('every problem has a fix', () => {
    for (const [, changes] of cases) {
      for (const { name, status, fix } of judge({ ...FIT, ...changes })) {
        assert.equal(fix !== '', status !== 'ok', name);
      }
    }
  });

  test('the worst line decides', () => {
    assert.equal(exitCodeOf(judge({ ...FIT, cgroup: 'none' })), 1);
    assert.equal(exitCodeOf(judge({ ...FIT, cgroup: 'none', lockdown: 'confidentiality' })), 2);
  });
});

describe('parsing', () => {
  test('capabilities', () => {
    assert.equal(parseCapabilities('CapPrm:\t0000000000000001\nCapEff:\t000001fffeffffff\n'), 0x1fffeffffffn);
    assert.equal(parseCapabilities('CapEff:\tzz\n'), undefined);
    assert.equal(parseCapabilities(''), undefined);
  });

  test('lockdown', () => {
    assert.equal(parseLockdown('none [integrity] confidentiality\n'), 'integrity');
    assert.equal(parseLockdown('[none] integrity confidentiality\n'), 'none');
    assert.equal(parseLockdown(undefined), 'none');
  });

  test('memlock', () => {
    const line = (soft: string) =>
      `Max processes 1 1 processes\nMax locked memory         ${soft}   unlimited   bytes\n`;
    assert.equal(parseMemlock(line('65536')), 65536);
    assert.equal(parseMemlock(line('unlimited')), Number.POSITIVE_INFINITY);
    assert.equal(parseMemlock(''), undefined);
  });

  test('cgroup', () => {
    const v1 = '32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n';
    const v2 = '31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw\n';
    assert.equal(parseCgroupMode(v1), 'v1');
    assert.equal(parseCgroupMode(v2), 'v2');
    assert.equal(parseCgroupMode(v1 + v2), 'hybrid');
    assert.equal(parseCgroupMode('1 1 0:1 / / rw - ext4 /dev/cgroup rw\n\nnonsense'), 'none');
  });

  test('BTF', (t) => {
    const host = makeHost(t, {
      '/good': TINY_BTF,
      '/empty': '',
      '/elf': '\u007fELF',
      '/one-byte': 'x',
      '/stub': TINY_BTF.subarray(0, 20),
      '/header': TINY_BTF.subarray(0, 24),
      '/short': TINY_BTF.subarray(0, -1),
    });
    const states = ['good', 'empty', 'elf', 'one-byte', 'stub', 'header', 'short', 'none', 'proc'].map((name) =>
      readBtfState(`${host}/${name}`),
    );
    assert.deepEqual(states, [
      ...['ok', 'empty', 'not BTF', 'not BTF', 'cut off', 'cut off', 'cut off', 'absent', 'unreadable'],
    ]);
  });
});

describe('reading', () => {
  const sources = { architecture: 'x64', procRoot: '/proc', btfPath: undefined, native: undefined };

  test('a host', async (t) => {
    const hostRoot = makeHost(t);
    const facts = await readHostFacts({ ...sources, hostRoot, native: async () => fakeNative([]) });
    assert.deepEqual(facts, { ...FIT, btf: { path: `${hostRoot}/sys/kernel/btf/vmlinux`, state: 'ok' } });
  });

  test('a host of which nothing can be read', async () => {
    assert.deepEqual(await readHostFacts({ ...sources, hostRoot: '/nonexistent' }), {
      kernelRelease: undefined,
      architecture: 'x64',
      btf: { path: '/nonexistent/sys/kernel/btf/vmlinux', state: 'absent' },
      capabilities: undefined,
      lockdown: 'none',
      perfEventParanoid: undefined,
      unprivilegedBpfDisabled: undefined,
      memlockBytes: undefined,
      cgroup: 'none',
      initialPidNamespace: undefined,
      features: undefined,
    });
  });

  test("the host's /proc makes up for another pid namespace", async (t) => {
    const own = { '/proc/self/ns/pid': '->pid:[4026532999]' };
    const alone = await readHostFacts({ ...sources, hostRoot: makeHost(t, own) });
    assert.equal(alone.initialPidNamespace, false);
    const hostRoot = makeHost(t, { ...own, '/host/proc/1/ns/pid': '->pid:[4026531836]' });
    const withHost = await readHostFacts({ ...sources, hostRoot, procRoot: '/host/proc' });
    assert.equal(withHost.initialPidNamespace, true);
  });

  test('a probe that throws is one line; the others go on', async (t) => {
    const native = {
      ...fakeNative([]),
      probeFeature: (feature: KernelFeature) => {
        if (feature === 'uprobe_multi') throw new PlainsightError('LOAD', 'EPERM: refused', { errno: 1 });
        return { errno: 0, detail: '' };
      },
    };
    const facts = await readHostFacts({ ...sources, hostRoot: makeHost(t), native: async () => native });
    assert.deepEqual(facts.features, { ...featuresBut(), uprobe_multi: { errno: 1, detail: 'EPERM: refused' } });
  });
});

describe('doctor', () => {
  test('a line for each check, then the verdict', async (t) => {
    const context = fakeContext({ hostRoot: makeHost(t) });
    assert.equal(await main(['doctor'], context), 0);
    const lines = context.stdout.text.split('\n');
    assert.equal(lines[0], 'ok        kernel                     6.12.19-amd64 (5.8 or later is needed)');
    assert.equal(lines.length, 12 + 10 + 3);
    assert.equal(lines.at(-2), 'all features');
  });

  test('degraded: exit code 1', async (t) => {
    const hostRoot = makeHost(t);
    const context = fakeContext({ hostRoot, native: async () => fakeNative(['sock_length_tracepoints']) });
    assert.equal(await main(['doctor'], context), 1);
    assert.match(
      context.stdout.text,
      /^degraded {2}sock length tracepoints {4}unencrypted .*; fix: boot a kernel that has it \(6\.3\+\)$/m,
    );
    assert.match(context.stdout.text, /\n\ndegraded: runs, but not with everything\n$/);
  });

  test('cannot run: exit code 2; without the addon the rest is still checked', async (t) => {
    const native = () =>
      Promise.reject(new PlainsightError('NOT_BUILT', 'the native addon cannot be loaded; run: npm run setup'));
    const context = fakeContext({ hostRoot: makeHost(t, { '/sys/kernel/btf/vmlinux': undefined }), native });
    assert.equal(await main(['doctor'], context), 2);
    assert.match(
      context.stdout.text,
      /^missing {3}BTF {8,}\S+ is absent; fix: boot a kernel with CONFIG_DEBUG_INFO_BTF=y/m,
    );
    assert.match(context.stdout.text, /^missing {3}native addon +cannot be loaded: .*; fix: npm run setup$/m);
    assert.match(context.stdout.text, /^ok {8}cgroup +v2$/m);
    assert.match(context.stdout.text, /\n\ncannot run on this host\n$/);
    assert.equal(context.stderr.text, '');
  });

  test('--btf-path is what is looked at', async (t) => {
    const hostRoot = makeHost(t, { '/sys/kernel/btf/vmlinux': undefined, '/mine': TINY_BTF, '/stub': '' });
    assert.equal(await main(['doctor', '--btf-path', `${hostRoot}/mine`], fakeContext({ hostRoot })), 0);
    const context = fakeContext({ hostRoot });
    assert.equal(await main(['doctor', '--btf-path', `${hostRoot}/stub`], context), 2);
    assert.match(context.stdout.text, /^missing {3}BTF +\S+\/stub is empty;/m);
  });

  test('--json', async (t) => {
    const context = fakeContext({ hostRoot: makeHost(t, { '/proc/sys/kernel/osrelease': '5.4.0' }) });
    assert.equal(await main(['doctor', '--json'], context), 2);
    const { status, checks } = JSON.parse(context.stdout.text);
    assert.equal(status, 'missing');
    assert.deepEqual(checks[0], {
      name: 'kernel',
      status: 'missing',
      detail: '5.4.0 (5.8 or later is needed)',
      fix: 'boot a later kernel',
    });
  });
});
