/**
 * Containers as containerd makes them of a pod's specification, run by runc: namespaces, a cgroup of their own, masked
 * paths, the security context of a manifest. Needs root and runc; what is started ends with the test.
 */

import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { type Child, start, temporaryFolder, until } from '../kernel/harness.ts';

const run = promisify(execFile);

export interface SecurityContext {
  readonly allowPrivilegeEscalation: boolean;
  readonly readOnlyRootFilesystem: boolean;
  readonly runAsUser: number;
  readonly runAsGroup: number;
  readonly capabilities: { readonly add: readonly string[]; readonly drop: readonly string[] };
}

export interface Mount {
  readonly path: string;
  /** A folder of this host. */
  readonly source: string;
  readonly readOnly: boolean;
}

export interface ContainerOptions {
  readonly rootfs: string;
  readonly args: readonly string[];
  readonly env?: readonly string[];
  readonly hostPid?: boolean;
  /** Where a server of the test is to be reached. */
  readonly hostNetwork?: boolean;
  readonly security: SecurityContext;
  readonly mounts?: readonly Mount[];
  readonly memoryLimitBytes?: number;
  /** Below each hierarchy. */
  readonly cgroup: string;
}

export interface Container extends Child {
  /** Of its first process, as this host counts; 0 when it ended at once. */
  readonly firstPid: number;
  /** A program of this host in its network. */
  inNetwork(program: string, ...args: string[]): Promise<string>;
}

/** What containerd hides of /proc and /sys unless a pod asks for all of it. */
const MASKED = ['acpi', 'kcore', 'keys', 'latency_stats', 'timer_list', 'timer_stats', 'sched_debug', 'scsi'].map(
  (name) => `/proc/${name}`,
);
const READ_ONLY = ['bus', 'fs', 'irq', 'sys', 'sysrq-trigger'].map((name) => `/proc/${name}`);

export async function startContainer(t: TestContext, options: ContainerOptions): Promise<Container> {
  const folder = temporaryFolder(t);
  const state = join(folder, 'state');
  const bundle = join(folder, 'bundle');
  mkdirSync(bundle);
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(specification(options)));
  const id = `plainsight-${process.pid}-${options.cgroup.replaceAll('/', '-')}`;
  const pidFile = join(folder, 'pid');
  t.after(() => run('runc', ['--root', state, 'delete', '--force', id]).catch(() => {}));
  const child = start(t, 'runc', ['--root', state, 'run', '--pid-file', pidFile, '--bundle', bundle, id]);
  const firstPid = await until('the container runs', async () => {
    // It may have ended by itself, which its status tells.
    if (child.process.exitCode !== null) return 0;
    const { stdout } = await run('runc', ['--root', state, 'state', id]).catch(() => ({ stdout: '{}' }));
    const { status, pid } = JSON.parse(stdout) as { status?: string; pid?: number };
    return status === 'running' ? pid : undefined;
  });
  return {
    ...child,
    firstPid,
    inNetwork: async (program, ...args) => {
      const command = [`--net=/proc/${firstPid}/ns/net`, '--', program, ...args];
      return (await run('nsenter', command, { maxBuffer: 64 * 1024 * 1024 })).stdout;
    },
  };
}

function specification(options: ContainerOptions): object {
  const {
    rootfs,
    args,
    env = [],
    hostPid = false,
    hostNetwork = false,
    security,
    mounts = [],
    memoryLimitBytes,
    cgroup,
  } = options;
  if (!security.capabilities.drop.includes('ALL')) throw new Error('what a runtime adds by itself is not known here');
  const names = security.capabilities.add.map((name) => `CAP_${name}`);
  const namespaces = [
    'mount',
    'uts',
    'ipc',
    'cgroup',
    ...(hostPid ? [] : ['pid']),
    ...(hostNetwork ? [] : ['network']),
  ];
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid: security.runAsUser, gid: security.runAsGroup },
      cwd: '/',
      args,
      env: ['PATH=/usr/sbin:/usr/bin', ...env],
      noNewPrivileges: !security.allowPrivilegeEscalation,
      capabilities: { bounding: names, effective: names, permitted: names },
      oomScoreAdj: 0,
    },
    root: { path: rootfs, readonly: security.readOnlyRootFilesystem },
    hostname: 'plainsight',
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=65536k'] },
      { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'mode=1777'] },
      ...mounts.map(({ path, source, readOnly }) => ({
        destination: path,
        type: 'bind',
        source,
        options: ['rbind', 'rprivate', readOnly ? 'ro' : 'rw'],
      })),
    ],
    linux: {
      cgroupsPath: `/${cgroup}`,
      namespaces: namespaces.map((type) => ({ type })),
      maskedPaths: MASKED,
      readonlyPaths: READ_ONLY,
      resources: {
        devices: [{ allow: false, access: 'rwm' }],
        ...(memoryLimitBytes !== undefined && { memory: { limit: memoryLimitBytes } }),
      },
    },
  };
}
