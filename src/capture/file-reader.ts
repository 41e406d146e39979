/**
 * Reads a capture file into the pipeline, a line at a time. The file is untrusted: every field is checked, a line is
 * bounded, nothing is allocated by a number that a line states. The first bad line ends it; what came before it has been
 * fed already.
 */

import { isIPv4, isIPv6 } from 'node:net';
import { PlainsightError } from '../errors.ts';
import {
  type ChunkSink,
  type ConnectionId,
  type ConnectionInfo,
  DIRECTION_NAMES,
  type Direction,
  EGRESS,
  INGRESS,
  type Owner,
} from '../stream/contract.ts';

export const LINE_LIMIT = 1024 * 1024;
const NAME_LIMIT = 256;
const PID_LIMIT = 2 ** 31;
/** Connections without a close and processes: the oldest are forgotten, their later chunks have no known process. */
const REMEMBERED_LIMIT = 65_536;
const NOTHING = new Uint8Array(0);

export interface CaptureSink extends ChunkSink {
  /** A process line: the owner of that pid, for connections that no `open` announces. */
  process?(owner: Owner): void;
}

/**
 * Feeds the lines into `sink`.
 * @throws PlainsightError BAD_INPUT with the number of the line and what is wrong with it.
 */
export async function readCapture(lines: AsyncIterable<string> | Iterable<string>, sink: CaptureSink): Promise<void> {
  const reader = new LineReader(sink);
  for await (const line of lines) reader.line(line);
  reader.finish();
}

/**
 * Cuts a stream of bytes into lines.
 * @throws PlainsightError BAD_INPUT for a line longer than 1 MiB, and for one that is not UTF-8.
 */
export async function* splitLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let parts: Uint8Array[] = [];
  let partsBytes = 0;
  let number = 1;
  const take = (last: Uint8Array): string => {
    const bytes = parts.length === 0 ? last : Buffer.concat([...parts, last]);
    parts = [];
    partsBytes = 0;
    try {
      return decoder.decode(bytes);
    } catch (cause) {
      throw badLine(number, 'is not UTF-8', cause);
    }
  };
  for await (const chunk of chunks) {
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      if (partsBytes + at - from > LINE_LIMIT) throw badLine(number, `is longer than ${LINE_LIMIT} bytes`);
      yield take(chunk.subarray(from, at));
      number++;
      from = at + 1;
    }
    if (from === chunk.length) continue;
    partsBytes += chunk.length - from;
    if (partsBytes > LINE_LIMIT) throw badLine(number, `is longer than ${LINE_LIMIT} bytes`);
    // A copy (which slice() of a Buffer is not): the caller may fill its buffer again.
    parts.push(Uint8Array.prototype.slice.call(chunk, from));
  }
  if (partsBytes > 0) yield take(NOTHING);
}

function badLine(number: number, problem: string, cause?: unknown): PlainsightError {
  return new PlainsightError('BAD_INPUT', `capture file, line ${number}: ${problem}`, { cause });
}

type Fields = Readonly<Record<string, unknown>>;

const FIELDS: Readonly<Record<string, readonly string[]>> = {
  process: ['pid', 'comm', 'namespace', 'pod', 'container', 'service'],
  open: ['conn', 'pid', 'time', 'scheme', 'local', 'remote'],
  data: ['conn', 'pid', 'time', 'direction', 'position', 'length', 'data'],
  bound: ['conn', 'time', 'local', 'remote'],
  close: ['conn', 'time', 'direction', 'reset'],
};

class LineReader {
  readonly #sink: CaptureSink;
  readonly #owners = new Map<number, Owner>();
  readonly #pids = new Map<ConnectionId, number>();
  #number = 0;

  constructor(sink: CaptureSink) {
    this.#sink = sink;
  }

  finish(): void {
    if (this.#number === 0) throw badLine(1, 'is missing; a capture file begins with {"plainsight":1}');
  }

  line(line: string): void {
    this.#number++;
    if (line.length > LINE_LIMIT) throw this.#bad(`is longer than ${LINE_LIMIT} bytes`);
    let fields: unknown;
    try {
      fields = JSON.parse(line);
    } catch {
      throw this.#bad('is not JSON');
    }
    if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) throw this.#bad('is not a JSON object');
    if (this.#number === 1) this.#header(fields as Fields);
    else this.#record(fields as Fields);
  }

  #header(fields: Fields): void {
    if (fields.plainsight === 1 && Object.keys(fields).length === 1) return;
    throw this.#bad('is not {"plainsight":1}, with which a capture file of this version begins');
  }

  #record(fields: Fields): void {
    const { type } = fields;
    const allowed = typeof type === 'string' && Object.hasOwn(FIELDS, type) ? FIELDS[type] : undefined;
    if (!allowed) throw this.#bad('"type" is not one of process, open, data, bound, close');
    const surplus = Object.keys(fields).find((name) => name !== 'type' && !allowed.includes(name));
    if (surplus !== undefined) {
      throw this.#bad(`unknown field "${surplus.slice(0, 40)}"; those of ${type} are ${allowed.join(', ')}`);
    }
    if (type === 'process') this.#process(fields);
    else if (type === 'open') this.#open(fields);
    else if (type === 'data') this.#data(fields);
    else if (type === 'bound') this.#bound(fields);
    else this.#close(fields);
  }

  #process(fields: Fields): void {
    const comm = this.#name(fields, 'comm') ?? this.#lacks('comm');
    const owner: Owner = {
      pid: this.#integer(fields, 'pid', PID_LIMIT) ?? this.#lacks('pid'),
      comm,
      namespace: this.#name(fields, 'namespace') ?? '',
      pod: this.#name(fields, 'pod') ?? '',
      container: this.#name(fields, 'container') ?? '',
      service: this.#name(fields, 'service') ?? comm,
    };
    remember(this.#owners, owner.pid, owner);
    this.#sink.process?.(owner);
  }

  #open(fields: Fields): void {
    const id = this.#conn(fields);
    const pid = this.#integer(fields, 'pid', PID_LIMIT) ?? this.#lacks('pid');
    const timeNs = this.#time(fields);
    const { scheme } = fields;
    if (scheme !== 'http' && scheme !== 'https') throw this.#bad('"scheme" is neither "http" nor "https"');
    const local = this.#address(fields, 'local');
    const remote = this.#address(fields, 'remote');
    remember(this.#pids, id, pid);
    const info: ConnectionInfo = { id, owner: this.#owners.get(pid) ?? unknownOwner(pid), scheme, local, remote };
    this.#sink.open(info, timeNs);
  }

  #data(fields: Fields): void {
    const id = this.#conn(fields);
    const timeNs = this.#time(fields);
    const direction = this.#direction(fields) ?? this.#lacks('direction');
    const lengthBytes = this.#integer(fields, 'length') ?? this.#lacks('length');
    const position = this.#integer(fields, 'position') ?? -1;
    const bytes = this.#bytes(fields);
    if (bytes.length > lengthBytes) throw this.#bad(`"data" holds ${bytes.length} bytes, "length" says ${lengthBytes}`);
    if (Math.max(position, 0) + lengthBytes > Number.MAX_SAFE_INTEGER) throw this.#bad('"position" is out of range');
    const newPid = this.#integer(fields, 'pid', PID_LIMIT);
    if (newPid !== undefined) remember(this.#pids, id, newPid);
    const pid = this.#pids.get(id) ?? 0;
    this.#sink.data(id, pid, timeNs, direction, position, lengthBytes, bytes, 0, bytes.length);
  }

  #bound(fields: Fields): void {
    const id = this.#conn(fields);
    this.#sink.bound?.(id, this.#time(fields), this.#address(fields, 'local'), this.#address(fields, 'remote'));
  }

  #close(fields: Fields): void {
    const id = this.#conn(fields);
    const timeNs = this.#time(fields);
    const direction = this.#direction(fields);
    const { reset } = fields;
    if (reset !== undefined && typeof reset !== 'boolean') throw this.#bad('"reset" is neither true nor false');
    if (direction === undefined) {
      this.#pids.delete(id);
      this.#sink.close(id, timeNs, reset ? 'reset' : 'orderly');
    } else {
      if (reset) throw this.#bad('"reset" is of a whole connection, "direction" of a half');
      this.#sink.end(id, timeNs, direction);
    }
  }

  #conn(fields: Fields): ConnectionId {
    const { conn } = fields;
    if (typeof conn === 'string' && conn !== '' && conn.length <= NAME_LIMIT) return conn;
    if (typeof conn === 'number' && Number.isSafeInteger(conn) && conn >= 0) return conn;
    throw this.#bad(`"conn" is neither a text of 1 to ${NAME_LIMIT} characters nor an integer from 0`);
  }

  #time(fields: Fields): number {
    return this.#integer(fields, 'time') ?? this.#lacks('time');
  }

  #integer(fields: Fields, name: string, max: number = Number.MAX_SAFE_INTEGER): number | undefined {
    const value = fields[name];
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max) return value;
    throw this.#bad(`"${name}" is not an integer from 0 to ${max}`);
  }

  #name(fields: Fields, name: string): string | undefined {
    const value = fields[name];
    if (value === undefined) return undefined;
    if (typeof value === 'string' && value.length <= NAME_LIMIT) return value;
    throw this.#bad(`"${name}" is not a text of at most ${NAME_LIMIT} characters`);
  }

  #direction(fields: Fields): Direction | undefined {
    const { direction } = fields;
    if (direction === undefined) return undefined;
    if (direction === DIRECTION_NAMES[INGRESS]) return INGRESS;
    if (direction === DIRECTION_NAMES[EGRESS]) return EGRESS;
    throw this.#bad('"direction" is neither "ingress" nor "egress"');
  }

  #address(fields: Fields, name: string): string | undefined {
    const value = this.#name(fields, name);
    if (value === undefined) return undefined;
    const [, v6, v4, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(value) ?? [];
    const isAddress = v6 !== undefined ? isIPv6(v6) : v4 !== undefined && isIPv4(v4);
    if (isAddress && Number(port) <= 65535) return value;
    throw this.#bad(`"${name}" is not ADDRESS:PORT or [ADDRESS]:PORT`);
  }

  #bytes({ data }: Fields): Uint8Array {
    if (data === undefined) return NOTHING;
    if (typeof data === 'string' && data.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(data)) {
      return Buffer.from(data, 'base64');
    }
    throw this.#bad('"data" is not base64');
  }

  #lacks(name: string): never {
    throw this.#bad(`"${name}" is missing`);
  }

  #bad(problem: string): PlainsightError {
    return badLine(this.#number, problem);
  }
}

/** Of a process of which only the number is known. */
export function unknownOwner(pid: number): Owner {
  return { pid, comm: '', namespace: '', pod: '', container: '', service: '' };
}

function remember<Key, Value>(map: Map<Key, Value>, key: Key, value: Value): void {
  if (!map.has(key) && map.size >= REMEMBERED_LIMIT) {
    const [oldest] = map.keys();
    map.delete(oldest!);
  }
  map.set(key, value);
}
