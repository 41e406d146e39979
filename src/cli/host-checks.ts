/**
 * Judges the facts about a host: what is there, what is missing, and what to do about it. Pure: facts in, lines out.
 * Where trying a feature and the facts around it disagree, each says so in its own line; nothing is inferred.
 */

import type { KernelFeature, ProbeResult } from '../native.ts';
import { isUretprobeSafe } from '../probes/uretprobe.ts';
import type { HostFacts } from './host-facts.ts';

/** `degraded`: runs, but not with everything. `missing`: cannot run. */
export type CheckStatus = 'ok' | 'degraded' | 'missing';

export interface Check {
  readonly name: string;
  readonly status: CheckStatus;
  /** What was found. */
  readonly detail: string;
  /** What to do; '' when there is nothing to do. */
  readonly fix: string;
}

type Verdict = Omit<Check, 'name'>;

const ok = (detail: string): Verdict => ({ status: 'ok', detail, fix: '' });
const degraded = (detail: string, fix: string): Verdict => ({ status: 'degraded', detail, fix });
const missing = (detail: string, fix: string): Verdict => ({ status: 'missing', detail, fix });

/** include/uapi/linux/capability.h (v6.12) */
const CAPABILITIES = {
  DAC_READ_SEARCH: 2n,
  SYS_PTRACE: 19n,
  SYS_ADMIN: 21n,
  SYS_RESOURCE: 24n,
  PERFMON: 38n,
  BPF: 39n,
} as const;
type Capability = keyof typeof CAPABILITIES;

export function judge(facts: HostFacts): Check[] {
  const checks: Check[] = [
    { name: 'kernel', ...judgeKernel(facts) },
    { name: 'architecture', ...judgeArchitecture(facts) },
    { name: 'BTF', ...judgeBtf(facts) },
    { name: 'privileges', ...judgePrivileges(facts) },
    { name: 'access to processes', ...judgeProcessAccess(facts) },
    { name: 'pid namespace', ...judgePidNamespace(facts) },
    { name: 'lockdown', ...judgeLockdown(facts) },
    { name: 'memlock', ...judgeMemlock(facts) },
    { name: 'perf_event_paranoid', ...ok(`${facts.perfEventParanoid ?? 'not there'}; does not matter with PERFMON`) },
    {
      name: 'unprivileged_bpf_disabled',
      ...ok(`${facts.unprivilegedBpfDisabled ?? 'not there'}; does not matter with BPF`),
    },
    { name: 'cgroup', ...judgeCgroup(facts) },
    { name: 'uretprobes', ...judgeUretprobes(facts) },
  ];
  return checks.concat(judgeFeatures(facts.features));
}

/** The exit status of `doctor`: 0 all features, 1 degraded, 2 cannot run. */
export function exitCodeOf(checks: readonly Check[]): 0 | 1 | 2 {
  if (checks.some(({ status }) => status === 'missing')) return 2;
  return checks.some(({ status }) => status === 'degraded') ? 1 : 0;
}

/** A line per check: status, name, what was found, the fix. */
export function checksTable(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.map(({ name, status, detail, fix }) => {
    return `${status.padEnd(8)}  ${name.padEnd(width)}  ${detail}${fix && `; fix: ${fix}`}\n`;
  });
  return lines.join('');
}

function isBefore(facts: HostFacts, major: number, minor: number): boolean | undefined {
  const [, foundMajor, foundMinor] = /^(\d+)\.(\d+)/.exec(facts.kernelRelease ?? '') ?? [];
  if (foundMajor === undefined) return undefined;
  return Number(foundMajor) < major || (Number(foundMajor) === major && Number(foundMinor) < minor);
}

function has(facts: HostFacts, capability: Capability): boolean {
  return facts.capabilities !== undefined && (facts.capabilities & (1n << CAPABILITIES[capability])) !== 0n;
}

function judgeKernel(facts: HostFacts): Verdict {
  const before = isBefore(facts, 5, 8);
  if (before === undefined) return degraded('the version cannot be told', 'mount /proc');
  const found = `${facts.kernelRelease} (5.8 or later is needed)`;
  return before ? missing(found, 'boot a later kernel') : ok(found);
}

function judgeArchitecture({ architecture }: HostFacts): Verdict {
  if (architecture === 'x64' || architecture === 'arm64') return ok(architecture);
  return missing(`${architecture} is not supported`, 'use x64 or arm64');
}

function judgeBtf({ btf: { path, state } }: HostFacts): Verdict {
  if (state === 'ok') return ok(path);
  const fix = 'boot a kernel with CONFIG_DEBUG_INFO_BTF=y, or name a BTF file of this kernel with --btf-path';
  if (state === 'unreadable') return missing(`${path} cannot be read`, 'run as root, or make it readable');
  return missing(`${path} is ${state}`, fix);
}

function judgePrivileges(facts: HostFacts): Verdict {
  if (has(facts, 'SYS_ADMIN')) return ok('SYS_ADMIN');
  const lacking = (['BPF', 'PERFMON'] as const).filter((capability) => !has(facts, capability));
  if (lacking.length > 0) {
    return missing(`without ${lacking.join(' and ')}`, 'run as root, or with BPF PERFMON SYS_PTRACE DAC_READ_SEARCH');
  }
  if (isBefore(facts, 6, 6)) {
    return degraded('BPF and PERFMON, but uprobes need SYS_ADMIN before 6.6', 'run as root, or add SYS_ADMIN');
  }
  return ok('BPF and PERFMON');
}

function judgeProcessAccess(facts: HostFacts): Verdict {
  const lacking = (['SYS_PTRACE', 'DAC_READ_SEARCH'] as const).filter((capability) => !has(facts, capability));
  if (lacking.length === 0) return ok('SYS_PTRACE and DAC_READ_SEARCH');
  const detail = `without ${lacking.join(' and ')}: the TLS libraries of other users' processes are not found`;
  return degraded(detail, `run as root, or add ${lacking.join(' and ')}`);
}

function judgePidNamespace({ initialPidNamespace }: HostFacts): Verdict {
  if (initialPidNamespace === undefined) return degraded('cannot be told', 'mount /proc');
  if (initialPidNamespace) return ok('of the host');
  const fix = "start it in the host's (hostPID: true, --pid=host), or give the host's /proc with --proc-root";
  return missing('of a container: process numbers are not those of the kernel', fix);
}

function judgeLockdown({ lockdown }: HostFacts): Verdict {
  if (lockdown !== 'confidentiality') return ok(lockdown);
  // LOCKDOWN_BPF_READ_KERNEL of include/linux/security.h (v6.12): bpf_probe_read_kernel() is not there then.
  return missing(
    'confidentiality: BPF must not read kernel memory',
    'boot with lockdown=integrity or without lockdown',
  );
}

/** BPF memory counts against the limit until kernel commit 3ac1f01b43b6 (5.11) gave it to the memory cgroup. */
const MEMLOCK_NEEDED_BYTES = 128 * 2 ** 20;

function judgeMemlock(facts: HostFacts): Verdict {
  if (isBefore(facts, 5, 11) === false) return ok('does not count from 5.11 on');
  if (has(facts, 'SYS_RESOURCE')) return ok('can be raised (SYS_RESOURCE)');
  if (facts.memlockBytes !== undefined && facts.memlockBytes >= MEMLOCK_NEEDED_BYTES) return ok('high enough');
  const limit = facts.memlockBytes === undefined ? 'not known' : `${Math.floor(facts.memlockBytes / 1024)} KiB`;
  return missing(`${limit}, 128 MiB are needed before 5.11`, 'ulimit -l unlimited, or add SYS_RESOURCE');
}

function judgeUretprobes({ kernelRelease, architecture }: HostFacts): Verdict {
  if (kernelRelease === undefined || isUretprobeSafe(kernelRelease, architecture)) return ok('safe on this kernel');
  return degraded(
    'would kill processes under strict seccomp filters on this kernel, and are not used',
    'boot a kernel of 6.12.14, 6.13.3 or 6.14 on',
  );
}

function judgeCgroup({ cgroup }: HostFacts): Verdict {
  if (cgroup !== 'none') return ok(cgroup);
  return degraded('no cgroup file system: containers cannot be told apart', 'mount -t cgroup2 cgroup2 /sys/fs/cgroup');
}

const SOCKET_FEATURES: readonly KernelFeature[] = ['sock_length_tracepoints', 'task_pt_regs', 'sk_storage_tracing'];
const SYSCALLS_INSTEAD =
  'unencrypted traffic is captured at the system calls instead, at a higher cost for the host, and not on Unix sockets';
const NO_PLAIN = 'unencrypted traffic is captured in no other way here';
const NO_TLS = 'TLS is not seen';

interface FeatureRule {
  readonly feature: KernelFeature;
  readonly since: string;
  /** When all of these work, the feature is replaced by them. */
  readonly replacedBy: readonly KernelFeature[];
  readonly replaced: Omit<Verdict, 'fix'>;
  /** Without the feature and its replacement. */
  readonly without: Omit<Verdict, 'fix'>;
}

const UNREPLACED = ok('');

const FEATURE_RULES: readonly FeatureRule[] = [
  ...(['bpf', 'ring_buffer'] as const).map((feature): FeatureRule => {
    const without = { status: 'missing', detail: 'nothing works without it' } as const;
    return { feature, since: '5.8', replacedBy: [], replaced: UNREPLACED, without };
  }),
  ...SOCKET_FEATURES.map((feature): FeatureRule => {
    const since = { sock_length_tracepoints: '6.3', task_pt_regs: '5.15' }[feature as string] ?? '5.11';
    const replaced = { status: 'degraded', detail: SYSCALLS_INSTEAD } as const;
    const without = { status: 'degraded', detail: NO_PLAIN } as const;
    return { feature, since, replacedBy: ['sys_exit_tracepoint'], replaced, without };
  }),
  {
    feature: 'sys_exit_tracepoint',
    since: '5.8',
    replacedBy: SOCKET_FEATURES,
    replaced: ok('not needed: the sockets are traced'),
    without: degraded(NO_PLAIN, ''),
  },
  {
    feature: 'uprobe_multi',
    since: '6.6',
    replacedBy: ['uprobe'],
    replaced: ok('perf events are used instead'),
    without: degraded(NO_TLS, ''),
  },
  {
    feature: 'uprobe',
    since: '5.8',
    replacedBy: ['uprobe_multi'],
    replaced: ok('not needed: uprobe_multi is used'),
    without: degraded(NO_TLS, ''),
  },
  {
    feature: 'attach_cookie',
    since: '5.15',
    replacedBy: ['uprobe'],
    replaced: ok('a program per kind of function is used instead'),
    without: degraded(NO_TLS, ''),
  },
  {
    feature: 'tcp_tracepoints',
    since: '5.9',
    replacedBy: [],
    replaced: UNREPLACED,
    without: degraded('no metrics of TCP connections, and no bytes in the service graph', ''),
  },
];

type Features = Readonly<Partial<Record<KernelFeature, ProbeResult>>>;

function works(features: Features, feature: KernelFeature): boolean {
  return features[feature]?.errno === 0;
}

function judgeFeatures(features: HostFacts['features']): Check[] {
  if (features === undefined) return [];
  if (typeof features === 'string') {
    return [
      {
        name: 'native addon',
        ...missing('cannot be loaded: the features of the kernel were not tried', 'npm run setup'),
      },
    ];
  }
  const checks = FEATURE_RULES.map(({ feature, since, replacedBy, replaced, without }): Check => {
    const name = feature.replaceAll('_', ' ');
    if (works(features, feature)) return { name, ...ok('works') };
    const reason = features[feature]?.detail || 'not tried';
    const isReplaced = replacedBy.length > 0 && replacedBy.every((other) => works(features, other));
    const { status, detail } = isReplaced ? replaced : without;
    if (status === 'ok') return { name, ...ok(detail) };
    // What was refused comes with what to do; what the kernel lacks, with what it is.
    const [, code, advice] = /^(EPERM|EACCES|EMFILE|ENFILE|ENOMEM): (.+)$/.exec(reason) ?? [];
    const fix = advice ?? `boot a kernel that has it (${since}+)`;
    return { name, status, detail: `${detail} (${code ?? reason})`, fix };
  });
  const anySource = ['sock_length_tracepoints', 'sys_exit_tracepoint', 'uprobe', 'uprobe_multi'] as const;
  if (!anySource.some((feature) => works(features, feature))) {
    checks.push({ name: 'sources of traffic', ...missing('none works', 'see the lines above') });
  }
  return checks;
}
