/**
 * Writes what a source of traffic feeds into a capture file: JSON Lines, the first of them `{"plainsight":1}`.
 *
 * It never waits and never grows: when the stream does not take lines fast enough, chunks are left out and counted. Each
 * data line carries its position, so what was left out is a gap to whoever reads the file. What a line may show of the
 * traffic is the redactor's decision.
 */

import { constants, createWriteStream, openSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { PlainsightError } from '../errors.ts';
import {
  type ChunkSink,
  type CloseKind,
  type ConnectionId,
  type ConnectionInfo,
  DIRECTION_NAMES,
  type Direction,
  type Owner,
} from '../stream/contract.ts';
import type { Redactor } from './redactor.ts';

/** Some tenths of a second of a busy node; a disk that stalls longer costs chunks. */
const WAITING_LIMIT_BYTES = 8 * 1024 * 1024;
const BATCH_BYTES = 64 * 1024;
/** Above what the kernel side tracks at a time by default. */
const CONNECTIONS_LIMIT = 65_536;
const PROCESSES_LIMIT = 65_536;

interface WrittenConnection {
  /** What the file says; 0: nothing. */
  pid: number;
  /** By direction: where a chunk without a position goes. */
  readonly next: [number, number];
}

export interface CaptureWriterOptions {
  readonly redactor: Redactor;
  /** Lines that may wait for the stream; for tests. */
  readonly waitingLimitBytes?: number;
}

export class CaptureWriter implements ChunkSink {
  readonly #stream: Writable;
  readonly #redactor: Redactor;
  readonly #waitingLimitBytes: number;
  readonly #connections = new Map<ConnectionId, WrittenConnection>();
  /** By pid: what was written, to write it again only when it has changed. */
  readonly #processes = new Map<number, { readonly owner: Owner; readonly line: string }>();
  #batch = '{"plainsight":1}\n';
  #scheduled = false;
  #lostLines = 0;
  #error: Error | undefined;
  /** Resolves when the stream takes nothing more: full disk, reader gone. */
  readonly failed: Promise<void>;

  constructor(stream: Writable, { redactor, waitingLimitBytes = WAITING_LIMIT_BYTES }: CaptureWriterOptions) {
    this.#stream = stream;
    this.#redactor = redactor;
    this.#waitingLimitBytes = waitingLimitBytes;
    this.failed = new Promise((resolve) => {
      stream.on('error', (error) => {
        this.#error ??= error;
        resolve();
      });
    });
    this.#schedule();
  }

  /** Chunks and lines that were not written because the stream was too slow. */
  get lostLines(): number {
    return this.#lostLines;
  }

  process(owner: Owner): void {
    const { pid, comm, namespace, pod, container, service } = owner;
    const known = this.#processes.get(pid);
    if (known?.owner === owner) return;
    const line = JSON.stringify({ type: 'process', pid, comm, namespace, pod, container, service });
    if (known?.line !== line && !this.#write(line)) return;
    if (!known && this.#processes.size >= PROCESSES_LIMIT) this.#processes.delete(oldestOf(this.#processes));
    this.#processes.set(pid, { owner, line });
  }

  open(info: ConnectionInfo, timeNs: number): void {
    this.process(info.owner);
    const { id, scheme, local, remote } = info;
    const { pid } = info.owner;
    const time = Math.round(timeNs);
    const written = this.#write(JSON.stringify({ type: 'open', conn: id, pid, time, scheme, local, remote }));
    // Without its open line, the first data line says the pid.
    this.#remember(id, written ? pid : 0);
  }

  data(
    id: ConnectionId,
    pid: number,
    timeNs: number,
    direction: Direction,
    position: number,
    lengthBytes: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const connection = this.#connections.get(id) ?? this.#remember(id, 0);
    const at = position < 0 ? connection.next[direction] : position;
    connection.next[direction] = at + lengthBytes;
    const pieces = this.#redactor.redact(id, direction, at, lengthBytes, bytes, start, end, timeNs);
    if (this.#waiting > this.#waitingLimitBytes) {
      this.#lostLines++;
      return;
    }
    // Said once, until it changes: a connection joined in the middle, or handed to another process.
    let newPid = pid > 0 && connection.pid !== pid ? pid : undefined;
    if (newPid) connection.pid = newPid;
    const time = Math.round(timeNs);
    const name = DIRECTION_NAMES[direction];
    let pieceAt = at;
    for (const { lengthBytes: length, bytes: kept } of pieces) {
      const data =
        kept.length > 0 ? Buffer.from(kept.buffer, kept.byteOffset, kept.length).toString('base64') : undefined;
      this.#write(
        JSON.stringify({ type: 'data', conn: id, pid: newPid, time, direction: name, position: pieceAt, length, data }),
      );
      pieceAt += length;
      newPid = undefined;
    }
    if (pieceAt !== at + lengthBytes) {
      throw new PlainsightError(
        'INTERNAL',
        `a chunk of ${lengthBytes} bytes became ${pieceAt - at} when it was redacted`,
      );
    }
  }

  bound(id: ConnectionId, timeNs: number, local: string | undefined, remote: string | undefined): void {
    this.#write(JSON.stringify({ type: 'bound', conn: id, time: Math.round(timeNs), local, remote }));
  }

  end(id: ConnectionId, timeNs: number, direction: Direction): void {
    const time = Math.round(timeNs);
    this.#write(JSON.stringify({ type: 'close', conn: id, time, direction: DIRECTION_NAMES[direction] }));
  }

  close(id: ConnectionId, timeNs: number, kind: CloseKind): void {
    this.#forget(id);
    const reset = kind === 'reset' ? true : undefined;
    this.#write(JSON.stringify({ type: 'close', conn: id, time: Math.round(timeNs), reset }));
  }

  /**
   * Writes what waits and ends the stream.
   * @throws PlainsightError FILE when something could not be written.
   */
  async finish(): Promise<void> {
    this.#pass();
    if (!this.#error) {
      const ended = new Promise<void>((resolve) => this.#stream.end(() => resolve()));
      await Promise.race([ended, this.failed]);
    }
    const cause = this.#error as NodeJS.ErrnoException | undefined;
    if (cause) {
      throw new PlainsightError('FILE', `the capture file cannot be written (${cause.code}); its end is missing`, {
        cause,
      });
    }
  }

  get #waiting(): number {
    return this.#stream.writableLength + this.#batch.length;
  }

  #remember(id: ConnectionId, pid: number): WrittenConnection {
    if (this.#connections.has(id)) this.#forget(id);
    else if (this.#connections.size >= CONNECTIONS_LIMIT) this.#forget(oldestOf(this.#connections));
    const connection: WrittenConnection = { pid, next: [0, 0] };
    this.#connections.set(id, connection);
    return connection;
  }

  #forget(id: ConnectionId): void {
    this.#redactor.close(id);
    this.#connections.delete(id);
  }

  /** Lines other than data are small and give the rest its meaning: they may fill twice the limit. */
  #write(line: string): boolean {
    if (this.#waiting > 2 * this.#waitingLimitBytes) {
      this.#lostLines++;
      return false;
    }
    this.#batch += `${line}\n`;
    if (this.#batch.length >= BATCH_BYTES) this.#pass();
    else this.#schedule();
    return true;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#pass();
    });
  }

  #pass(): void {
    const batch = this.#batch;
    this.#batch = '';
    if (batch !== '' && !this.#error) this.#stream.write(batch);
  }
}

function oldestOf<Key>(map: Map<Key, unknown>): Key {
  const [oldest] = map.keys();
  return oldest!;
}

/**
 * A new file that only its owner can read. An existing one is refused, a link too: another user could have put it there,
 * and would keep the right to read what is written into it.
 * @throws PlainsightError USAGE
 */
export function createCaptureFile(path: string): Writable {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  try {
    const fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    return createWriteStream(path, { fd });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const advice =
      code === 'EEXIST' ? 'it exists; remove it, or give another name' : `${code}; give a file that can be written`;
    throw new PlainsightError('USAGE', `--out: '${path}' cannot be created: ${advice}`, { cause });
  }
}
