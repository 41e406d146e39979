/**
 * The one place that forms paths under --proc-root. Each read has a size limit, and a process that is gone is undefined,
 * not an error: between listing a pid and reading its files anything may happen. Keeps no descriptor open.
 */

import { closeSync, opendirSync, openSync, readlinkSync, readSync, statfsSync, statSync } from 'node:fs';
import { PlainsightError } from '../errors.ts';
import {
  type CgroupPaths,
  type ExecutableMapping,
  isAnonymousDevice,
  type ProcessStat,
  type ProcessStatus,
  parseCgroup,
  parseMaps,
  parseStat,
  parseStatus,
} from './proc-text.ts';

const SCRATCH_BYTES = 64 * 1024;
/** A process with 65530 mappings (vm.max_map_count's default) of 120 characters each. */
const MAPS_LIMIT_BYTES = 8 * 1024 * 1024;
const SMALL_LIMIT_BYTES = 16 * 1024;
/** Two cgroup paths of PATH_MAX and a dozen v1 controllers. */
const CGROUP_LIMIT_BYTES = 64 * 1024;
/** More than any node runs; pid_max itself can be 4 million. */
const MAX_PIDS = 131072;
/** OVERLAYFS_SUPER_MAGIC, include/uapi/linux/magic.h */
const OVERLAY_MAGIC = 0x794c7630;

export interface FileStat {
  readonly device: bigint;
  readonly inode: bigint;
  readonly sizeBytes: number;
  readonly modifiedNs: bigint;
  readonly changedNs: bigint;
  /** On overlayfs one file has another device number in each container that shows it. */
  readonly overlay: boolean;
}

export class ProcFs {
  readonly root: string;
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

  constructor(root = '/proc') {
    this.root = root.length > 1 && root.endsWith('/') ? root.slice(0, -1) : root;
  }

  /** Processes, not threads, in no particular order. At most 131072. */
  listPids(): number[] {
    const pids: number[] = [];
    let folder: ReturnType<typeof opendirSync>;
    try {
      folder = opendirSync(this.root, { bufferSize: 256 });
    } catch (cause) {
      throw fileError(this.root, cause);
    }
    try {
      for (let entry = folder.readSync(); entry && pids.length < MAX_PIDS; entry = folder.readSync()) {
        if (/^[1-9]\d*$/.test(entry.name)) pids.push(Number(entry.name));
      }
    } finally {
      folder.closeSync();
    }
    return pids;
  }

  /** @throws PlainsightError FILE with errno EACCES or EPERM when the kernel refuses. */
  maps(pid: number): ExecutableMapping[] | undefined {
    const text = this.#read(pid, 'maps', MAPS_LIMIT_BYTES);
    return text === undefined ? undefined : parseMaps(text);
  }

  stat(pid: number): ProcessStat | undefined {
    const text = this.#read(pid, 'stat', SMALL_LIMIT_BYTES);
    return text === undefined ? undefined : parseStat(text);
  }

  status(pid: number): ProcessStatus | undefined {
    const text = this.#read(pid, 'status', SMALL_LIMIT_BYTES);
    return text === undefined ? undefined : parseStatus(text);
  }

  cgroup(pid: number): CgroupPaths | undefined {
    const text = this.#read(pid, 'cgroup', CGROUP_LIMIT_BYTES);
    return text === undefined ? undefined : parseCgroup(text);
  }

  /** The words it was started with, of its first 16 KiB; undefined for what is gone or cannot be read. */
  commandLine(pid: number): string[] | undefined {
    try {
      return this.#read(pid, 'cmdline', SMALL_LIMIT_BYTES)?.split('\0');
    } catch {
      return undefined;
    }
  }

  /** Where /proc/PID/exe points; undefined for kernel threads, for what is gone, and where the kernel refuses. */
  executable(pid: number): string | undefined {
    try {
      return readlinkSync(`${this.root}/${pid}/exe`);
    } catch {
      return undefined;
    }
  }

  /** Inode of the network namespace; 0 where it cannot be read. */
  networkNamespace(pid: number): number {
    try {
      return Number(/^net:\[(\d+)\]$/.exec(readlinkSync(`${this.root}/${pid}/ns/net`))?.[1] ?? 0);
    } catch {
      return 0;
    }
  }

  exists(pid: number): boolean {
    return this.fileStat(`${this.root}/${pid}`) !== undefined;
  }

  /** The path by which we reach what the process calls `path`. */
  rootPath(pid: number, path: string): string {
    return `${this.root}/${pid}/root${path}`;
  }

  /** The path by which we reach a mapped file whatever became of its name. Needs CAP_CHECKPOINT_RESTORE or SYS_ADMIN. */
  mapFilePath(pid: number, mapping: Pick<ExecutableMapping, 'start' | 'end'>): string {
    return `${this.root}/${pid}/map_files/${mapping.start.toString(16)}-${mapping.end.toString(16)}`;
  }

  /**
   * Of the file that a path formed here leads to; undefined when there is none.
   * @throws PlainsightError FILE when the kernel refuses.
   */
  fileStat(path: string): FileStat | undefined {
    try {
      const stat = statSync(path, { bigint: true });
      return {
        device: stat.dev,
        inode: stat.ino,
        sizeBytes: Number(stat.size),
        modifiedNs: stat.mtimeNs,
        changedNs: stat.ctimeNs,
        overlay: isAnonymousDevice(stat.dev) && statfsSync(path).type === OVERLAY_MAGIC,
      };
    } catch (cause) {
      if (isGone(cause)) return undefined;
      throw fileError(path, cause);
    }
  }

  #read(pid: number, name: string, limitBytes: number): string | undefined {
    const path = `${this.root}/${pid}/${name}`;
    let descriptor = -1;
    try {
      descriptor = openSync(path, 'r');
      let buffer: Buffer = this.#scratch;
      let length = 0;
      while (length < limitBytes) {
        if (length === buffer.length) {
          const larger = Buffer.allocUnsafeSlow(Math.min(buffer.length * 2, limitBytes));
          buffer.copy(larger);
          buffer = larger;
        }
        // One read gives at most about a page of most of these files, whatever is asked for.
        const count = readSync(descriptor, buffer, length, Math.min(buffer.length, limitBytes) - length, null);
        if (count === 0) break;
        length += count;
      }
      return buffer.toString('utf8', 0, length);
    } catch (cause) {
      if (isGone(cause)) return undefined;
      throw fileError(path, cause);
    } finally {
      if (descriptor >= 0) closeSync(descriptor);
    }
  }
}

function isGone(cause: unknown): boolean {
  const code = (cause as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ESRCH' || code === 'ENOTDIR';
}

function fileError(path: string, cause: unknown): PlainsightError {
  const { code, errno } = cause as NodeJS.ErrnoException;
  const advice =
    code === 'EACCES' || code === 'EPERM'
      ? 'run as root or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH'
      : 'check --proc-root';
  return new PlainsightError('FILE', `cannot read ${path} (${code ?? 'unknown error'}); ${advice}`, {
    cause,
    ...(errno === undefined ? {} : { errno: Math.abs(errno) }),
  });
}
