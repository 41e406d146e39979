/**
 * Parsers of the texts under /proc/PID. Pure: text in, values out. What a line does not hold is left out, never guessed.
 * Formats: fs/proc/task_mmu.c (maps), fs/proc/array.c (stat, status), kernel/cgroup/cgroup.c (cgroup) of Linux.
 */

/** An executable mapping of a file. */
export interface ExecutableMapping {
  readonly start: bigint;
  readonly end: bigint;
  /** File offset of `start`. */
  readonly offsetBytes: number;
  /** In the encoding of stat(2). */
  readonly device: bigint;
  readonly inode: bigint;
  /** As the process sees it, without ` (deleted)`. A memfd is `/memfd:name`. */
  readonly path: string;
  readonly deleted: boolean;
}

export interface ProcessStat {
  readonly comm: string;
  readonly parentPid: number;
  readonly kernelThread: boolean;
  /** Since boot, in ticks of 10 ms (USER_HZ is 100 on every architecture that Node.js runs on). */
  readonly startTicks: number;
}

export interface ProcessStatus {
  readonly name: string;
  readonly tgid: number;
  /** The pid in each nested pid namespace, the outermost first. */
  readonly namespacePids: readonly number[];
  readonly kernelThread: boolean;
}

export interface CgroupPaths {
  /** Path in the v2 hierarchy; undefined where v2 is not mounted. */
  readonly unified: string | undefined;
  /** Path in the v1 hierarchy `name=systemd`. */
  readonly systemd: string | undefined;
  /** Different paths in all hierarchies, v2 first; the root is none. */
  readonly all: readonly string[];
}

const DELETED = ' (deleted)';
const MAX_MAPPINGS = 16384;

/** stat(2)'s encoding of a device number (glibc's makedev). */
export function makeDevice(major: number, minor: number): bigint {
  const high = BigInt(major);
  const low = BigInt(minor);
  return (
    (low & 0xffn) |
    ((high & 0xfffn) << 8n) |
    ((low & ~0xffn & 0xffffffffn) << 12n) |
    ((high & ~0xfffn & 0xffffffffn) << 32n)
  );
}

/** Devices with major number 0 belong to no hardware: overlayfs, tmpfs, btrfs, memfd. */
export function isAnonymousDevice(device: bigint): boolean {
  return ((device >> 8n) & 0xfffn) === 0n && device >> 44n === 0n;
}

/**
 * Executable mappings of files. Anonymous memory, [vdso] and the like are left out. At most 16384 mappings; a last line
 * without its newline (the text was cut at a limit) is ignored.
 */
export function parseMaps(text: string): ExecutableMapping[] {
  const mappings: ExecutableMapping[] = [];
  let from = 0;
  for (let to = text.indexOf('\n'); to >= 0; from = to + 1, to = text.indexOf('\n', from)) {
    const permissions = text.indexOf(' ', from) + 1;
    if (permissions === 0 || permissions + 4 > to || text.charCodeAt(permissions + 2) !== 0x78) continue;
    const mapping = parseMapsLine(text.slice(from, to));
    if (!mapping) continue;
    if (mappings.push(mapping) === MAX_MAPPINGS) break;
  }
  return mappings;
}

const MAPS_LINE = /^([0-9a-f]+)-([0-9a-f]+) ..x. ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+) +(\/.*)$/s;

function parseMapsLine(line: string): ExecutableMapping | undefined {
  const match = MAPS_LINE.exec(line);
  if (!match) return undefined;
  const [, start, end, offset, major, minor, inode, rawPath] = match;
  // The kernel escapes the newline and nothing else here (seq_path(m, path, "\n")).
  const name = rawPath!.replaceAll('\\012', '\n');
  const deleted = name.endsWith(DELETED);
  return {
    start: BigInt(`0x${start}`),
    end: BigInt(`0x${end}`),
    offsetBytes: Number.parseInt(offset!, 16),
    device: makeDevice(Number.parseInt(major!, 16), Number.parseInt(minor!, 16)),
    inode: BigInt(inode!),
    path: deleted ? name.slice(0, -DELETED.length) : name,
    deleted,
  };
}

const PF_KTHREAD = 0x00200000;

/** @returns undefined when the text is not a stat line. */
export function parseStat(text: string): ProcessStat | undefined {
  const open = text.indexOf('(');
  // comm may hold parentheses and spaces, so it ends at the last parenthesis.
  const close = text.lastIndexOf(')');
  if (open < 0 || close < open) return undefined;
  const fields = text.slice(close + 2).split(' ');
  // fields[0] is field 3 of proc(5): 4 is ppid, 9 the flags, 22 the start time.
  const startTicks = Number(fields[19]);
  if (fields.length < 20 || !Number.isSafeInteger(startTicks)) return undefined;
  return {
    comm: text.slice(open + 1, close),
    parentPid: Number(fields[1]),
    kernelThread: (Number(fields[6]) & PF_KTHREAD) !== 0,
    startTicks,
  };
}

/** @returns undefined when the text has no Tgid. */
export function parseStatus(text: string): ProcessStatus | undefined {
  let name = '';
  let tgid = 0;
  let namespacePids: number[] = [];
  let kernelThread = false;
  let hasMemory = false;
  let kernelTells = false;
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    const value = line.slice(colon + 1).trim();
    switch (line.slice(0, Math.max(colon, 0))) {
      case 'Name':
        name = value;
        break;
      case 'Tgid':
        tgid = Number(value);
        break;
      case 'NSpid':
        namespacePids = value.split(/\s+/).map(Number);
        break;
      case 'Kthread':
        kernelTells = true;
        kernelThread = value === '1';
        break;
      case 'VmSize':
        hasMemory = true;
        break;
    }
  }
  if (!Number.isSafeInteger(tgid) || tgid <= 0) return undefined;
  // Before 6.10 there is no line `Kthread`: then a process without an address space is one (or a zombie).
  return { name, tgid, namespacePids, kernelThread: kernelTells ? kernelThread : !hasMemory };
}

export function parseCgroup(text: string): CgroupPaths {
  let unified: string | undefined;
  let systemd: string | undefined;
  const others = new Set<string>();
  for (const line of text.split('\n')) {
    const first = line.indexOf(':');
    const second = line.indexOf(':', first + 1);
    if (first < 0 || second < 0) continue;
    const controllers = line.slice(first + 1, second);
    const path = line.slice(second + 1);
    if (line.startsWith('0::')) unified = path;
    else if (controllers === 'name=systemd') systemd = path;
    others.add(path);
  }
  const all = [...new Set([unified ?? '/', systemd ?? '/', ...others])].filter((path) => path !== '/');
  return { unified, systemd, all };
}

/**
 * The systemd service that a cgroup path lies in: `nginx` for /system.slice/nginx.service, `getty@tty1` for instances,
 * '' for scopes (sessions, containers) and for what systemd did not make.
 */
export function unitOfCgroup(path: string): string {
  const segments = path.split('/');
  for (let i = segments.length - 1; i >= 0; i--) {
    const segment = segments[i]!;
    if (segment.endsWith('.scope')) return '';
    if (segment.endsWith('.service')) return unescapeUnit(segment.slice(0, -'.service'.length));
  }
  return '';
}

/** systemd.unit(5): a byte that may not stand in a unit name is written \xNN. Unprintable ones stay escaped. */
function unescapeUnit(name: string): string {
  return name.replace(/\\x([2-7][0-9a-f])/g, (escaped, hex: string) => {
    const code = Number.parseInt(hex, 16);
    return code < 0x7f ? String.fromCharCode(code) : escaped;
  });
}
