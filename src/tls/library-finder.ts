/**
 * Which files of a process may hold a TLS library: by the names of all that it has mapped, and by the symbols of its
 * executable. Where that finds nothing and the process speaks TLS, by the symbols of all that it has mapped. A file is
 * opened once for its symbols, and what they said is remembered. It is no judge of a file: that is LibraryFiles.
 * Limits: 16 libraries of one process, 4096 files remembered, 256 files of one process searched.
 *
 * What the symbols of an executable cost, warm, on a 2.8 GHz core: 0.1 ms for programs of /usr/bin, 8 ms for Node.js, the
 * largest met (75,000 exported symbols and 110,000 others); a page of a cold file costs what its disk takes.
 */

import { LRUCache } from 'lru-cache';
import { type ElfMachine, readElf } from '../elf/elf-file.ts';
import { symbols } from '../elf/symbols.ts';
import { PlainsightError } from '../errors.ts';
import type { ExecutableMapping } from '../process/proc-text.ts';
import type { TlsLibrary } from './library.ts';
import { type FileMapper, type LibraryFiles, type OpenPath, stampOf } from './mapped-library.ts';

const MAX_LIBRARIES_PER_PROCESS = 16;
const MAX_FILES = 4096;
const MAX_SEARCHED_FILES = 256;

export interface Candidate {
  readonly mapping: ExecutableMapping;
  readonly library: TlsLibrary;
}

export class LibraryFinder {
  readonly #libraries: readonly TlsLibrary[];
  readonly #embeddable: readonly TlsLibrary[];
  readonly #inspecting: readonly TlsLibrary[];
  readonly #names: ReadonlySet<string>;
  readonly #files: LibraryFiles;
  readonly #mapFile: FileMapper;
  readonly #machine: ElfMachine;
  /** By stamp; '' for a file that holds none. */
  readonly #embedded = new LRUCache<string, TlsLibrary | ''>({ max: MAX_FILES });

  constructor(options: {
    libraries: readonly TlsLibrary[];
    files: LibraryFiles;
    mapFile: FileMapper;
    machine: ElfMachine;
  }) {
    this.#libraries = options.libraries;
    this.#embeddable = options.libraries.filter((library) => library.embedded.length > 0);
    this.#inspecting = options.libraries.filter((library) => library.inspect !== undefined);
    this.#names = new Set(this.#embeddable.flatMap((library) => library.embedded));
    this.#files = options.files;
    this.#mapFile = options.mapFile;
    this.#machine = options.machine;
  }

  /** One mapping of each file that is called like a library, and of the executable if it holds one. */
  find(pid: number, mappings: readonly ExecutableMapping[]): Candidate[] {
    const files = distinctFiles(mappings);
    const candidates: Candidate[] = [];
    for (const [i, mapping] of files.entries()) {
      // Programs are mapped below their libraries. Where one is not, search() finds it.
      const library = this.#byName(mapping.path) ?? (i === 0 ? this.#bySymbols(pid, mapping) : undefined);
      if (library) candidates.push({ mapping, library });
      if (candidates.length === MAX_LIBRARIES_PER_PROCESS) break;
    }
    return candidates;
  }

  /** What find() has left out: files that hold a library whatever they are called. */
  search(pid: number, mappings: readonly ExecutableMapping[]): Candidate[] {
    const candidates: Candidate[] = [];
    for (const mapping of distinctFiles(mappings).slice(1, MAX_SEARCHED_FILES)) {
      if (this.#byName(mapping.path)) continue;
      const library = this.#bySymbols(pid, mapping);
      if (library) candidates.push({ mapping, library });
      if (candidates.length === MAX_LIBRARIES_PER_PROCESS) break;
    }
    return candidates;
  }

  /** The library that one file holds: by its name, else by its symbols. */
  identify(open: OpenPath, path: string): TlsLibrary | undefined {
    return this.#byName(path) ?? (this.#read(open) || undefined);
  }

  #byName(path: string): TlsLibrary | undefined {
    return this.#libraries.find((library) => library.recognise(path));
  }

  #bySymbols(pid: number, mapping: ExecutableMapping): TlsLibrary | undefined {
    const open = this.#files.resolve(pid, mapping);
    if (typeof open === 'string') return undefined;
    const stamp = stampOf(open.stat);
    const known = this.#embedded.get(stamp);
    if (known !== undefined) return known === '' ? undefined : known;
    const library = this.#read(open);
    // What could not be read may be readable later.
    if (library !== undefined) this.#embedded.set(stamp, library);
    return library === '' ? undefined : library;
  }

  /** '' when it holds none, undefined when it cannot be read. */
  #read(open: OpenPath): TlsLibrary | '' | undefined {
    let file: ReturnType<FileMapper>;
    try {
      file = this.#mapFile(open.path);
    } catch {
      return undefined;
    }
    try {
      if (file.device !== open.stat.device || file.inode !== open.stat.inode) return undefined;
      const elf = readElf(file.bytes);
      if (!elf.supported) return '';
      const found = symbols(elf, file.bytes, this.#names);
      const library =
        this.#embeddable.find(({ embedded }) => embedded.every((name) => found.has(name))) ??
        this.#inspecting.find(({ inspect }) => inspect?.(elf, file.bytes, this.#machine) !== undefined);
      return file.truncated ? undefined : (library ?? '');
    } catch (cause) {
      if (cause instanceof RangeError || cause instanceof PlainsightError) return '';
      throw cause;
    } finally {
      file.close();
    }
  }
}

function distinctFiles(mappings: readonly ExecutableMapping[]): ExecutableMapping[] {
  const files = new Map<string, ExecutableMapping>();
  for (const mapping of mappings) {
    const file = `${mapping.device}:${mapping.inode}`;
    if (!files.has(file)) files.set(file, mapping);
  }
  return [...files.values()];
}
