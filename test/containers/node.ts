/**
 * A node as kubelet, containerd and a network plugin make it: a cgroup for each pod, a network namespace on a bridge, and
 * containers that runc runs in both, with what the API server says about them. Needs root, runc and iproute2. All that is
 * made goes with the test.
 */

import { randomBytes, randomUUID } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { run, sleep, until } from '../kernel/harness.ts';
import type { ApiServer } from '../kubernetes/api-server.ts';
import { NODE, type PodSample, podObject } from '../kubernetes/samples.ts';
import { makeRootfs } from './rootfs.ts';

const CAPABILITIES = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'KILL', 'SETGID', 'SETUID', 'NET_BIND_SERVICE'].map(
  (name) => `CAP_${name}`,
);
/** Of its own for each run. */
const SUBNET = `10.244.${1 + (process.pid % 250)}`;

export interface ContainerOptions {
  readonly args: readonly string[];
  readonly env?: readonly string[];
}

export interface Container {
  readonly id: string;
  /** Of its first process. */
  pid(): number;
  /** Waits for its end. Returns what it wrote to stdout. @throws when its exit status is not 0 */
  finished(): Promise<string>;
}

/** How kubelet names the cgroups: by its driver. */
export type CgroupDriver = 'cgroupfs' | 'systemd';

export class Pod {
  readonly uid = randomUUID();
  readonly address: string;
  /** The name of its network namespace; empty: the host's. */
  readonly network: string;
  readonly sample: Omit<PodSample, 'uid' | 'containers'>;
  readonly containers: Record<string, string> = {};
  readonly #node: TestNode;
  readonly #driver: CgroupDriver;
  #processes: Promise<unknown>[] = [];

  constructor(
    node: TestNode,
    sample: Pod['sample'],
    options: { address: string; network: string; driver: CgroupDriver },
  ) {
    this.#node = node;
    this.sample = sample;
    this.address = options.address;
    this.network = options.network;
    this.#driver = options.driver;
  }

  /** Below each hierarchy. */
  get cgroup(): string {
    return this.#driver === 'systemd'
      ? `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${this.uid.replaceAll('-', '_')}.slice`
      : `kubepods/burstable/pod${this.uid}`;
  }

  object() {
    const { uid, containers, address: ip } = this;
    return podObject({ ...this.sample, uid, containers, ip, node: NODE });
  }

  /** The names of containers are known when a pod is scheduled, their ids when they run. */
  tell(server: ApiServer): void {
    server.put('pods', this.object());
  }

  /** Starts a container, and tells the API server of it unless it is `undefined`. */
  start(server: ApiServer | undefined, name: string, { args, env = [] }: ContainerOptions): Container {
    const id = randomBytes(32).toString('hex');
    const folder = join(this.#node.folder, id);
    mkdirSync(folder);
    const cgroupsPath =
      this.#driver === 'systemd' ? `/${this.cgroup}/cri-containerd-${id}.scope` : `/${this.cgroup}/${id}`;
    const namespaces = ['pid', 'mount', 'uts', 'ipc'].map((type): object => ({ type }));
    if (this.network !== '') namespaces.push({ type: 'network', path: `/run/netns/${this.network}` });
    const sets = Object.fromEntries(['bounding', 'effective', 'permitted'].map((set) => [set, CAPABILITIES]));
    const config = {
      ociVersion: '1.0.2',
      process: {
        ...{ terminal: false, user: { uid: 0, gid: 0 }, cwd: '/', noNewPrivileges: true, capabilities: sets },
        args,
        env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'PYTHONDONTWRITEBYTECODE=1', ...env],
      },
      root: { path: this.#node.rootfs, readonly: true },
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc' },
        { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64k'] },
        { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=1777', 'size=16m'] },
        { destination: '/srv', type: 'bind', source: this.#node.work, options: ['bind', 'ro'] },
      ],
      linux: { cgroupsPath, namespaces },
    };
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
    const pidFile = join(folder, 'pid');
    const runc = run('runc', ['--root', this.#node.state, 'run', '--pid-file', pidFile, '--bundle', folder, id], {
      maxBuffer: 16 * 1024 * 1024,
    });
    // What fails is stopped by the test itself at its end; before that, it says why.
    const stopped = runc.catch((error: { stderr?: string }) =>
      this.#node.failures.push(`${name}: ${error.stderr ?? ''}`),
    );
    this.#processes.push(stopped);
    this.containers[name] = id;
    if (server) this.tell(server);
    return {
      id,
      pid: () => Number(readFileSync(pidFile, 'utf8')),
      finished: async () => (await runc).stdout,
    };
  }

  /** Ends its containers and removes its cgroup, as kubelet does before the object goes. */
  async stop(): Promise<void> {
    for (const id of Object.values(this.containers)) {
      await run('runc', ['--root', this.#node.state, 'delete', '--force', id]).catch(() => {});
    }
    await Promise.all(this.#processes);
    this.#processes = [];
    this.#node.removeCgroup(this.cgroup);
  }
}

export class TestNode {
  readonly folder: string;
  /** /srv of each container. */
  readonly work: string;
  readonly state: string;
  readonly rootfs: string;
  /** What containers wrote that ended in failure. */
  readonly failures: string[] = [];
  readonly #bridge: string;
  readonly #pods: Pod[] = [];
  readonly #networks: string[] = [];
  #made = 1;

  private constructor(t: TestContext, rootfs: string) {
    this.rootfs = rootfs;
    // Goes after its containers, which temporaryFolder() would not wait for.
    this.folder = mkdtempSync(join(tmpdir(), 'plainsight-test-'));
    t.after(() => this.#remove());
    this.work = join(this.folder, 'work');
    this.state = join(this.folder, 'state');
    this.#bridge = `ps${process.pid}`;
    mkdirSync(this.work);
  }

  static async make(t: TestContext): Promise<TestNode> {
    const node = new TestNode(t, realpathSync(await makeRootfs()));
    await run('ip', ['link', 'add', node.#bridge, 'type', 'bridge']);
    await run('ip', ['address', 'add', `${node.address}/24`, 'dev', node.#bridge]);
    await run('ip', ['link', 'set', node.#bridge, 'up']);
    return node;
  }

  /** Of the node itself. */
  get address(): string {
    return `${SUBNET}.1`;
  }

  async pod(sample: Pod['sample'], driver: CgroupDriver = 'cgroupfs'): Promise<Pod> {
    const number = ++this.#made;
    const network = sample.hostNetwork ? '' : `ps${process.pid}-${number}`;
    const address = sample.hostNetwork ? this.address : `${SUBNET}.${number}`;
    if (network !== '') await this.#makeNetwork(network, address, number);
    const pod = new Pod(this, sample, { address, network, driver });
    for (const root of hierarchies()) mkdirSync(join(root, pod.cgroup), { recursive: true });
    this.#pods.push(pod);
    return pod;
  }

  removeCgroup(path: string): void {
    for (const root of hierarchies()) removeFolders(join(root, path));
  }

  async #makeNetwork(name: string, address: string, number: number): Promise<void> {
    this.#networks.push(name);
    const outside = `ps${process.pid}v${number}`.slice(-15);
    const ip = (...args: string[]) => run('ip', args);
    await ip('netns', 'add', name);
    await ip('link', 'add', outside, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    await ip('link', 'set', outside, 'master', this.#bridge, 'up');
    await ip('-n', name, 'address', 'add', `${address}/24`, 'dev', 'eth0');
    await ip('-n', name, 'link', 'set', 'eth0', 'up');
    await ip('-n', name, 'link', 'set', 'lo', 'up');
  }

  async #remove(): Promise<void> {
    for (const pod of this.#pods) await pod.stop();
    for (const name of this.#networks) await run('ip', ['netns', 'delete', name]).catch(() => {});
    await run('ip', ['link', 'delete', this.#bridge]).catch(() => {});
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Where the v1 and v2 hierarchies are mounted. */
function hierarchies(): string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return mounts.filter((line) => / - cgroup2? /.test(line)).map((line) => line.split(' ')[4]!);
}

function removeFolders(path: string): void {
  let names: string[] = [];
  try {
    names = readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch {
    return;
  }
  for (const name of names) removeFolders(join(path, name));
  try {
    rmdirSync(path);
  } catch {
    // A zombie holds it for a moment; it is empty and goes with the next reboot at the latest.
  }
}

export async function listens(node: TestNode, address: string, port: number): Promise<void> {
  await until(`${address}:${port} listens`, async () => {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, address, () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
    if (!open) await sleep(50);
    if (node.failures.length > 0) throw new Error(node.failures.join('\n'));
    return open || undefined;
  });
}
