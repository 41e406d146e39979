/**
 * From a mapping in a process to the file behind it: a path by which that very file can be opened, and what its ELF
 * tables say. Each file is opened once, parsed, closed, and remembered as facts; nothing is held open. The file that a
 * path leads to is always compared with the mapping, since names change under a running process.
 */

import { dirname, join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { buildId } from '../elf/build-id.ts';
import { type ElfFile, type ElfMachine, readElf } from '../elf/elf-file.ts';
import { neededLibraries } from '../elf/needed.ts';
import { symbols } from '../elf/symbols.ts';
import { PlainsightError } from '../errors.ts';
import type { MappedFile } from '../native.ts';
import type { ProbeOperation } from '../probes/cookie.ts';
import type { InstructionReader } from '../probes/mnemonic.ts';
import type { PlanReason, ProbePlanner, UretprobeReason } from '../probes/plan.ts';
import { type ExecutableMapping, isAnonymousDevice } from '../process/proc-text.ts';
import type { FileStat, ProcFs } from '../process/procfs.ts';
import type { TlsLibrary, TlsReason, TlsSite, UnprobedReason } from './library.ts';
import { ACCESSOR_SYMBOLS, type CodeSource, type SocketLayout, type SocketLayouts } from './socket-layout.ts';

/** Maps a file, read-only. Throws when it cannot. */
export type FileMapper = (path: string) => MappedFile;

/** A path that leads to a mapped file at this moment. */
export interface OpenPath {
  readonly path: string;
  readonly stat: FileStat;
}

/** A function of the library that the file has, and whether it can be probed. */
export interface FunctionFacts {
  readonly symbol: string;
  readonly operation: ProbeOperation;
  /** In the file. */
  readonly offset: number;
  readonly sizeBytes: number;
  /** '' when it is probed. */
  readonly reason: PlanReason | UnprobedReason | 'calls another one that is probed' | 'the same as another one';
  /** Why its return takes a uretprobe; '' where it takes none. */
  readonly uretprobeReason: UretprobeReason;
}

/** What a file holds, as far as probes are concerned. */
export interface FileFacts {
  /** The same for all paths and containers that show one file, different for different files. */
  readonly identity: string;
  readonly library: TlsLibrary;
  readonly version: string;
  readonly buildId: string;
  /** '' when it can be attached. */
  readonly reason: TlsReason;
  readonly sites: readonly TlsSite[];
  /** Empty for libraries that are read in a way of their own. */
  readonly functions: readonly FunctionFacts[];
  /** undefined: no library of which that is known. */
  readonly layout: SocketLayout | undefined;
}

export interface LibraryFilesOptions {
  readonly proc: ProcFs;
  readonly mapFile: FileMapper;
  readonly plan: ProbePlanner;
  readonly machine: ElfMachine;
  /** instructionText() of src/probes/. */
  readonly instruction?: InstructionReader;
  readonly layouts?: SocketLayouts;
}

const MAX_FILES = 1024;

export class LibraryFiles {
  readonly #proc: ProcFs;
  readonly #mapFile: FileMapper;
  readonly #machine: ElfMachine;
  readonly #plan: ProbePlanner;
  readonly #instruction: InstructionReader;
  readonly #layouts: SocketLayouts | undefined;
  /** By device, inode, size and times: an inode number is used again soon after its file is gone. */
  readonly #facts = new LRUCache<string, FileFacts>({ max: MAX_FILES });

  constructor(options: LibraryFilesOptions) {
    this.#proc = options.proc;
    this.#mapFile = options.mapFile;
    this.#plan = options.plan;
    this.#machine = options.machine;
    this.#instruction = options.instruction ?? (() => '');
    this.#layouts = options.layouts;
  }

  /** Files that are remembered. */
  get size(): number {
    return this.#facts.size;
  }

  /** Where a mapping's file can be opened, or why it cannot. */
  resolve(pid: number, mapping: ExecutableMapping): OpenPath | TlsReason {
    const byName = this.#proc.rootPath(pid, mapping.path);
    // A process in a chroot has paths that begin at the root of its mount namespace, which is init's more often than not.
    for (const path of [byName, this.#proc.rootPath(1, mapping.path)]) {
      const stat = this.#stat(path);
      if (stat?.inode === mapping.inode && stat.device === mapping.device) return { path, stat };
    }
    const byMapping = this.#proc.mapFilePath(pid, mapping);
    const stat = this.#stat(byMapping);
    if (stat?.inode === mapping.inode) return { path: byMapping, stat };
    // Older kernels show the device below an overlay in maps, and map_files wants a capability that we may not have.
    const shown = this.#stat(byName);
    if (shown?.inode === mapping.inode && isAnonymousDevice(shown.device)) return { path: byName, stat: shown };
    if (!this.#proc.exists(pid)) return 'process exited';
    return this.#isRefused(byMapping) ? 'permission denied' : 'file replaced';
  }

  /** Reads the file unless it is known. */
  facts(open: OpenPath, library: TlsLibrary, mappedPath: string): FileFacts | TlsReason {
    const key = `${library.name}:${stampOf(open.stat)}`;
    const known = this.#facts.get(key);
    if (known) return known;
    let file: MappedFile;
    try {
      file = this.#mapFile(open.path);
    } catch (cause) {
      return reasonOfError(cause);
    }
    try {
      if (file.device !== open.stat.device || file.inode !== open.stat.inode) return 'file replaced';
      const version = library.version(mappedPath);
      const facts = { library, version, ...this.#read(file.bytes, library, open) };
      if (file.truncated) return 'file replaced';
      this.#facts.set(key, facts);
      return facts;
    } finally {
      file.close();
    }
  }

  /** Does the path still lead to the same unchanged file? */
  isUnchanged(open: OpenPath): boolean {
    const stat = this.#stat(open.path);
    return stat !== undefined && stampOf(stat) === stampOf(open.stat);
  }

  #read(
    bytes: Uint8Array,
    library: TlsLibrary,
    open: OpenPath,
  ): Omit<FileFacts, 'library' | 'version'> & { version?: string } {
    let id = '';
    const functions: FunctionFacts[] = [];
    let layout: SocketLayout | undefined;
    const answer = (reason: TlsReason, sites: readonly TlsSite[] = []) => {
      const version = layout?.version ? { version: layout.version } : {};
      return { identity: identityOf(open.stat, id), buildId: id, reason, sites, functions, layout, ...version };
    };
    try {
      const elf = readElf(bytes);
      if (!elf.supported) return answer(elf.reason);
      id = buildId(elf, bytes) ?? '';
      if (library.inspect) {
        const inspection = library.inspect(elf, bytes, this.#machine);
        if (!inspection) return answer('no read or write function');
        id ||= inspection.buildId;
        return { ...answer(inspection.reason, inspection.sites), version: inspection.version };
      }
      if (elf.machine !== this.#machine) return answer('other machine');
      const hasLayout = this.#layouts?.has(library.name) === true;
      const unprobed = library.unprobed ?? [];
      const names = [...library.functions, ...unprobed].map((fn) => fn.symbol);
      const found = symbols(elf, bytes, new Set(hasLayout ? [...names, ...ACCESSOR_SYMBOLS] : names));
      if (library.functions.some((fn) => fn.required && !found.has(fn.symbol)))
        return answer('required function missing');
      if (hasLayout) layout = this.#layout(library, { elf, bytes, found }, open);
      const layoutBits = layout === undefined ? 0n : this.#layouts!.cookieBits(layout);
      const sites: TlsSite[] = [];
      const probed = new Set<ProbeOperation>();
      const offsets = new Set<number>();
      let refusal: PlanReason = '';
      for (const fn of library.functions) {
        const symbol = found.get(fn.symbol);
        if (!symbol) continue;
        const { sizeBytes } = symbol;
        const note = (reason: FunctionFacts['reason'], uretprobeReason: UretprobeReason = '') => {
          const { operation } = fn;
          functions.push({
            symbol: fn.symbol,
            operation,
            offset: symbol.fileOffset,
            sizeBytes,
            reason,
            uretprobeReason,
          });
        };
        // Two names of one function: it is probed once.
        if (offsets.has(symbol.fileOffset)) note('the same as another one');
        else if (fn.forwardsTo !== undefined && found.has(fn.forwardsTo)) note('calls another one that is probed');
        else {
          // Without a size it goes on to the end of the file; the planner looks at no more than it can use.
          const end = sizeBytes === 0 ? bytes.length : symbol.fileOffset + sizeBytes;
          const code = bytes.subarray(symbol.fileOffset, end);
          const plan = this.#plan({ machine: elf.machine, code }, symbol, fn);
          note(plan.reason, plan.uretprobeReason);
          if (plan.reason !== '') {
            if (fn.required) return answer(plan.reason);
            refusal ||= plan.reason;
            continue;
          }
          offsets.add(symbol.fileOffset);
          probed.add(fn.operation);
          for (const site of [...plan.entries, ...plan.returns]) {
            const instruction = this.#instruction(elf.machine, code, site.offset - symbol.fileOffset);
            const cookie = site.kind === 'return' ? site.cookie | layoutBits : site.cookie;
            sites.push({ ...site, cookie, symbol: fn.symbol, instruction });
          }
        }
      }
      for (const { symbol, operation, reason } of unprobed) {
        const there = found.get(symbol);
        if (!there) continue;
        const { fileOffset: offset, sizeBytes } = there;
        functions.push({ symbol, operation, offset, sizeBytes, reason, uretprobeReason: '' });
      }
      if (!probed.has('read') || !probed.has('write')) return answer(refusal || 'no read or write function');
      return answer('', sites);
    } catch (cause) {
      if (isLyingFile(cause)) return answer('not an ELF file');
      throw cause;
    }
  }

  /** Of a library that comes in two files the second is looked for beside the first, where the loader finds it too. */
  #layout(library: TlsLibrary, source: CodeSource, open: OpenPath): SocketLayout {
    const layouts = this.#layouts!;
    const other = neededLibraries(source.elf, source.bytes).find((name) => COMPANION.test(name));
    if (other === undefined) return layouts.of(library.name, [source]);
    let file: MappedFile;
    try {
      file = this.#mapFile(join(dirname(open.path), other));
    } catch {
      return layouts.of(library.name, [source]);
    }
    try {
      const { bytes } = file;
      const elf: ElfFile | undefined = readSupported(bytes);
      if (!elf) return layouts.of(library.name, [source]);
      return layouts.of(library.name, [source, { elf, bytes, found: symbols(elf, bytes, new Set(ACCESSOR_SYMBOLS)) }]);
    } catch (cause) {
      if (isLyingFile(cause)) return layouts.of(library.name, [source]);
      throw cause;
    } finally {
      file.close();
    }
  }

  #stat(path: string): FileStat | undefined {
    try {
      return this.#proc.fileStat(path);
    } catch {
      return undefined;
    }
  }

  #isRefused(path: string): boolean {
    try {
      this.#proc.fileStat(path);
      return false;
    } catch (cause) {
      return reasonOfError(cause) === 'permission denied';
    }
  }
}

/** A name, never a path: what a file asks for may be anything. */
const COMPANION = /^libcrypto[^/]*\.so[^/]*$/;

function readSupported(bytes: Uint8Array): ElfFile | undefined {
  const elf = readElf(bytes);
  return elf.supported ? elf : undefined;
}

function isLyingFile(cause: unknown): boolean {
  return cause instanceof RangeError || (cause instanceof PlainsightError && cause.code === 'BAD_ELF');
}

const EPERM = 1;
const EACCES = 13;

function reasonOfError(cause: unknown): TlsReason {
  const errno = cause instanceof PlainsightError ? cause.errno : (cause as NodeJS.ErrnoException).errno;
  const positive = Math.abs(errno ?? 0);
  return positive === EPERM || positive === EACCES ? 'permission denied' : 'file unreadable';
}

/** Another one as soon as the file is another or has changed. */
export function stampOf(stat: FileStat): string {
  return `${stat.device}:${stat.inode}:${stat.sizeBytes}:${stat.modifiedNs}:${stat.changedNs}`;
}

/**
 * Probes sit on the inode below an overlay, which has another device number in every container: attached once for each,
 * every call would be hit twice. There the time of the last change tells a copied-up file from its origin.
 */
function identityOf(stat: FileStat, id: string): string {
  if (!stat.overlay) return `${stat.device}:${stat.inode}`;
  return `overlay:${stat.inode}:${stat.sizeBytes}:${stat.changedNs}:${id}`;
}
