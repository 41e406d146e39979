/**
 * One guest from boot to end: QEMU with three disks (root, project, exchange), a time limit, and what came back. The
 * guest has no network, writes to a copy of its root that nobody keeps, and is killed with this process, whichever way
 * that ends.
 */

import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromRoot } from '../../src/root.ts';
import { ARCHITECTURES, type Architecture, isForeign } from './architecture.ts';
import { CACHE, keep, must, run, withTemporary } from './host.ts';
import type { Kernel } from './kernels.ts';

/** Results are at most this long; the file is sparse. */
const EXCHANGE_BYTES = 256 * 1024 * 1024;
/** For boot, for the results, and for a guest that does not end by itself. */
const GRACE_SECONDS = 60;
const LONGEST_SHELL_MS = 24 * 3600 * 1000;

export interface Guest {
  readonly kernel: Kernel;
  readonly rootImage: string;
  readonly project: string;
  readonly memoryMebibytes: number;
}

export interface GuestCommand {
  /** A script for bash, with /plainsight as its working directory. */
  readonly script: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly limitSeconds: number;
  /** What the guest wrote to /results is put here, with `console`, `stdout`, `stderr`, `exit-code` and `dmesg`. */
  readonly results: string;
}

export interface GuestResult {
  /** undefined when the guest did not get as far as to say it. */
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  /** What went wrong with the guest itself, undefined when nothing did. */
  readonly problem: string | undefined;
  /** The end of the serial console. */
  readonly console: string;
}

const accelerators = new Map<string, Promise<string>>();

/**
 * Both processors in turn on one thread. With a thread for each, a processor can run into the int3 that the kernel puts
 * where it changes its own code after the kernel has removed it, and panics; two guests fill two cores either way.
 */
const EMULATION = 'tcg,thread=single';
/** `kvm` when a machine can be made and run with it: a /dev/kvm that can be opened does not promise that. */
function findAccelerator(architecture: Architecture): Promise<string> {
  if (isForeign(architecture)) return Promise.resolve(EMULATION);
  const known = accelerators.get(architecture.debian);
  if (known) return known;
  const accelerator = (async () => {
    if (!existsSync('/dev/kvm')) return EMULATION;
    // The firmware finds nothing to boot and turns the machine off.
    const options = [
      '-machine',
      architecture.machine,
      '-accel',
      'kvm',
      '-cpu',
      'max',
      '-m',
      '64',
      '-nodefaults',
      '-display',
      'none',
    ];
    const once = ['-boot', 'reboot-timeout=1', '-no-reboot'];
    const { status } = await run('timeout', ['--signal=KILL', '10', architecture.emulator, ...options, ...once]);
    return status === 0 ? 'kvm' : EMULATION;
  })();
  accelerators.set(architecture.debian, accelerator);
  return accelerator;
}

async function emulatorArguments(guest: Guest, exchange: string): Promise<string[]> {
  const { row, image, initramfs } = guest.kernel;
  const architecture = ARCHITECTURES[row.architecture];
  const disk = (name: string, path: string, options: string) => [
    ...['-drive', `file=${path},format=raw,if=none,id=${name},${options}`],
    ...['-device', `virtio-blk-pci,drive=${name},serial=${name}`],
  ];
  const accelerator = await findAccelerator(architecture);
  const words = [
    `console=${architecture.console}`,
    // A panic ends the machine; what it printed is in the console's output.
    'panic=-1',
    'loglevel=4',
    // Emulation is slow enough without them, and nothing hostile runs in a guest.
    'mitigations=off',
    'random.trust_cpu=on',
    ...(row.options ?? []),
  ];
  return [
    ...['-machine', architecture.machine, '-accel', accelerator],
    ...['-cpu', architecture.processor, '-smp', '2'],
    ...['-m', `${guest.memoryMebibytes}`, '-no-user-config', '-nodefaults', '-display', 'none', '-no-reboot'],
    ...['-kernel', image, '-initrd', initramfs, '-append', words.join(' ')],
    ...disk('root', guest.rootImage, 'snapshot=on,cache=unsafe'),
    ...disk('project', guest.project, 'readonly=on'),
    ...disk('exchange', exchange, 'cache=unsafe'),
  ];
}

const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** A tar archive with what the guest is to do, as long as the disk is. */
async function packExchange(folder: string, guest: Guest, command: GuestCommand | undefined): Promise<string> {
  const exchange = join(folder, 'exchange');
  const files = join(folder, 'files');
  mkdirSync(files);
  const settings = {
    limit: command?.limitSeconds ?? 0,
    interactive: command ? 'no' : 'yes',
    console: ARCHITECTURES[guest.kernel.row.architecture].console,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(join(files, 'settings'), lines.join(''));
  const variables = Object.entries(command?.environment ?? {}).map(
    ([name, value]) => `export ${name}=${quote(value)}\n`,
  );
  writeFileSync(join(files, 'command.sh'), `${variables.join('')}${command?.script ?? ''}\n`);
  writeFileSync(join(files, 'boot.sh'), readFileSync(fromRoot('test/vm/boot.sh')));
  await must('tar', ['--create', '--owner=0', '--group=0', '--file', exchange, '-C', files, '.']);
  truncateSync(exchange, EXCHANGE_BYTES);
  return exchange;
}

/** Starts the emulator and waits for its end. setpriv: it does not outlive this process even if that is killed. */
async function start(guest: Guest, exchange: string, serial: readonly string[], limitMs: number, interactive: boolean) {
  const { emulator } = ARCHITECTURES[guest.kernel.row.architecture];
  const args = ['--pdeathsig', 'KILL', emulator, ...(await emulatorArguments(guest, exchange)), ...serial];
  const stdin = interactive ? 'inherit' : 'ignore';
  const child = spawn('setpriv', args, {
    stdio: [stdin, interactive ? 'inherit' : 'ignore', interactive ? 'inherit' : 'pipe'],
    // Where snapshot=on keeps what the guest writes.
    env: { ...process.env, TMPDIR: join(exchange, '..') },
  });
  keep(child);
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill('SIGKILL');
  }, limitMs);
  const status = await new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  }).finally(() => clearTimeout(timer));
  return { status, stderr: stderr.trim(), timedOut };
}

function withRunFolder<T>(action: (folder: string) => Promise<T>): Promise<T> {
  return withTemporary(join(CACHE, 'run'), (folder) => {
    mkdirSync(folder, { recursive: true });
    return action(folder);
  });
}

/** Runs one command. A guest that hangs, panics or is never heard of is a result too, not an error. */
export function runGuest(guest: Guest, command: GuestCommand): Promise<GuestResult> {
  rmSync(command.results, { recursive: true, force: true });
  mkdirSync(command.results, { recursive: true });
  const read = (name: string) => {
    const path = join(command.results, name);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  };
  return withRunFolder(async (folder) => {
    const exchange = await packExchange(folder, guest, command);
    const serial = [
      '-chardev',
      `file,id=console,path=${join(command.results, 'console')}`,
      '-serial',
      'chardev:console',
    ];
    const limitMs = (command.limitSeconds + GRACE_SECONDS) * 1000;
    const { status, stderr, timedOut } = await start(guest, exchange, serial, limitMs, false);
    // A guest that ended early has left there what it was given.
    const unpacked = join(folder, 'results');
    mkdirSync(unpacked);
    await run('tar', ['--extract', '--no-same-owner', '--file', exchange, '-C', unpacked]);
    const finished = existsSync(join(unpacked, 'exit-code'));
    if (finished) cpSync(unpacked, command.results, { recursive: true });
    let problem: string | undefined;
    if (timedOut) problem = `the guest was killed after ${limitMs / 1000} s`;
    else if (status !== 0) problem = `the emulator ended with ${status}: ${stderr}`;
    else if (!finished) problem = 'the guest ended without results';
    return {
      exitCode: finished ? Number(read('exit-code')) : undefined,
      stdout: read('stdout'),
      stderr: read('stderr'),
      problem,
      console: read('console').trimEnd().split('\n').slice(-20).join('\n'),
    };
  });
}

/** A root shell on this terminal; the end of the shell is the end of the guest. */
export function shell(guest: Guest): Promise<number> {
  return withRunFolder(async (folder) => {
    const exchange = await packExchange(folder, guest, undefined);
    // ^C belongs to the guest.
    const serial = ['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'];
    const { status } = await start(guest, exchange, serial, LONGEST_SHELL_MS, true);
    return status;
  });
}
