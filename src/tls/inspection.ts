/**
 * What a scan would find in one process or one file, without attaching anything: the libraries, the state and the reason
 * that plainsight_tls_processes would show, and the facts behind them. Reads files; needs no right to use BPF.
 */

import { readElf } from '../elf/elf-file.ts';
import { PlainsightError } from '../errors.ts';
import type { ExecutableMapping } from '../process/proc-text.ts';
import type { ProcFs } from '../process/procfs.ts';
import { stateOf, type TlsLibrary, type TlsReason, type TlsState } from './library.ts';
import { LibraryFinder } from './library-finder.ts';
import { type FileFacts, LibraryFiles, type LibraryFilesOptions } from './mapped-library.ts';

export interface LibraryReport {
  /** As the process, or who asked, has it. */
  readonly path: string;
  /** '' when none was found. */
  readonly library: string;
  readonly version: string;
  readonly buildId: string;
  /** `attachable` where a scan of the agent says `attached`. */
  readonly state: 'attachable' | Exclude<TlsState, 'attached'>;
  readonly reason: TlsReason;
  /** undefined: the file could not be read, or holds no library. */
  readonly facts: FileFacts | undefined;
}

export class Inspector {
  readonly #proc: ProcFs;
  readonly #files: LibraryFiles;
  readonly #finder: LibraryFinder;
  readonly #options: LibraryFilesOptions;

  constructor(options: LibraryFilesOptions & { readonly libraries: readonly TlsLibrary[] }) {
    const { libraries, mapFile, machine } = options;
    this.#proc = options.proc;
    this.#options = options;
    this.#files = new LibraryFiles(options);
    this.#finder = new LibraryFinder({ libraries, files: this.#files, mapFile, machine });
  }

  /**
   * Each file of the process that holds a library; undefined when there is no such process.
   * @throws PlainsightError FILE when its mappings may not be read.
   */
  process(pid: number): LibraryReport[] | undefined {
    const mappings = this.#proc.maps(pid);
    if (mappings === undefined) return undefined;
    const reports = this.#finder.find(pid, mappings).map((found) => this.#inMapping(pid, found.mapping, found.library));
    if (!reports.some(({ state }) => state === 'attachable')) {
      for (const { mapping, library } of this.#finder.search(pid, mappings)) {
        reports.push(this.#inMapping(pid, mapping, library));
      }
    }
    if (reports.length > 0) return reports;
    return [nothing('', this.#proc.exists(pid) ? 'no known TLS library' : 'process exited')];
  }

  /** @throws PlainsightError FILE when there is no such file, it cannot be read, or is no regular file. */
  file(path: string): LibraryReport {
    // Tells why it cannot be read, where the facts below only say that it cannot.
    const file = this.#options.mapFile(path);
    let reason: TlsReason;
    try {
      const elf = readElf(file.bytes);
      reason = elf.supported ? 'no known TLS library' : elf.reason;
    } catch (cause) {
      if (!(cause instanceof PlainsightError)) throw cause;
      reason = 'not an ELF file';
    } finally {
      file.close();
    }
    const stat = this.#proc.fileStat(path);
    if (!stat) return nothing(path, 'file replaced');
    const open = { path, stat };
    const library = this.#finder.identify(open, path);
    if (!library) return nothing(path, reason);
    return report(path, library, this.#files.facts(open, library, path));
  }

  #inMapping(pid: number, mapping: ExecutableMapping, library: TlsLibrary): LibraryReport {
    const open = this.#files.resolve(pid, mapping);
    const facts = typeof open === 'string' ? open : this.#files.facts(open, library, mapping.path);
    return report(mapping.path, library, facts);
  }
}

function report(path: string, library: TlsLibrary, facts: FileFacts | TlsReason): LibraryReport {
  if (typeof facts === 'string') {
    return { ...nothing(path, facts), library: library.name, version: library.version(path) };
  }
  const { version, buildId, reason } = facts;
  return { path, library: library.name, version, buildId, state: wouldBe(reason), reason, facts };
}

function nothing(path: string, reason: TlsReason): LibraryReport {
  return { path, library: '', version: '', buildId: '', state: wouldBe(reason), reason, facts: undefined };
}

function wouldBe(reason: TlsReason): LibraryReport['state'] {
  const state = stateOf(reason);
  return state === 'attached' ? 'attachable' : state;
}
