/**
 * The directories of the cgroup v2 hierarchy by their inode, which is how the kernel names the cgroup of a process in its
 * events: the process may be gone by then, and its pid somebody else's. Filled once from the tree, then by events.
 *
 * Under cgroup v1 alone it is empty and stays so. Keeps no directory open. Limits: 16384 directories, of which the least
 * recently used go; the tree is walked 16 levels deep. A removed directory stays known for a minute: events are late.
 */

import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { LRUCache } from 'lru-cache';

const MAX_CGROUPS = 16384;
const MAX_DEPTH = 16;
const GONE_MS = 60_000;
/** PROC_CGROUP_INIT_INO, include/linux/proc_ns.h at v6.12. */
const INITIAL_NAMESPACE = 'cgroup:[4026531835]';

export interface CgroupListener {
  /** A directory that was not known. The path begins at the root of the hierarchy. */
  cgroupFound(id: number, path: string): void;
  cgroupGone(id: number, path: string): void;
}

export class CgroupTable {
  readonly #paths = new LRUCache<number, string>({ max: MAX_CGROUPS });
  readonly #gone = new LRUCache<number, string>({ max: MAX_CGROUPS, ttl: GONE_MS });
  #listener: CgroupListener | undefined;

  get size(): number {
    return this.#paths.size;
  }

  /** Is told of all that are known, and of all that come. */
  listen(listener: CgroupListener): void {
    this.#listener = listener;
    for (const [id, path] of this.#paths) listener.cgroupFound(id, path);
  }

  /** As the events of the kernel say it; 0 is no cgroup. */
  made(id: number, path: string): void {
    if (id === 0 || this.#paths.get(id) === path) return;
    this.#paths.set(id, path);
    this.#listener?.cgroupFound(id, path);
  }

  gone(id: number): void {
    const path = this.#paths.peek(id);
    if (path === undefined) return;
    this.#paths.delete(id);
    this.#gone.set(id, path);
    this.#listener?.cgroupGone(id, path);
  }

  path(id: number): string | undefined {
    return this.#paths.get(id) ?? this.#gone.get(id);
  }

  /**
   * Reads the tree that process 1 sees, or this one, where it sees the whole. What cannot be read is left out.
   * @returns whether there is a v2 hierarchy with anything in it.
   */
  readTree(procRoot: string): boolean {
    return this.#readTree(`${procRoot}/1`) || (seesWhole(procRoot) && this.#readTree(`${procRoot}/self`));
  }

  /** As a process sees it, by its folder in /proc. */
  #readTree(process: string): boolean {
    const mount = findMount(`${process}/mountinfo`);
    if (mount === undefined) return false;
    const root = `${process}/root${mount}`;
    const rootId = inodeOf(root);
    if (rootId !== 0) this.#paths.set(rootId, '/');
    const waiting: { folder: string; path: string; depth: number }[] = [{ folder: root, path: '', depth: 0 }];
    let found = 0;
    for (let next = waiting.pop(); next !== undefined && found < MAX_CGROUPS; next = waiting.pop()) {
      const { folder, path, depth } = next;
      for (const name of foldersIn(folder)) {
        const child = { folder: `${folder}/${name}`, path: `${path}/${name}`, depth: depth + 1 };
        const id = inodeOf(child.folder);
        if (id === 0) continue;
        found++;
        this.made(id, child.path);
        if (child.depth < MAX_DEPTH) waiting.push(child);
      }
    }
    return found > 0;
  }
}

/** In another cgroup namespace a tree is only a part, and looks like a whole. */
function seesWhole(procRoot: string): boolean {
  try {
    return readlinkSync(`${procRoot}/self/ns/cgroup`) === INITIAL_NAMESPACE;
  } catch {
    return false;
  }
}

/** Where the whole v2 hierarchy is mounted; undefined when it is not. Format: proc_pid_mountinfo(5). */
function findMount(mountinfo: string): string | undefined {
  try {
    for (const line of readFileSync(mountinfo, 'utf8').split('\n')) {
      const fields = line.split(' ');
      if (fields[3] === '/' && line.includes(' - cgroup2 ')) return fields[4];
    }
  } catch {
    // Not ours to read: then there is none for us.
  }
  return undefined;
}

function foldersIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch {
    return [];
  }
}

function inodeOf(folder: string): number {
  try {
    return Number(statSync(folder, { bigint: true }).ino);
  } catch {
    return 0;
  }
}
