/**
 * A seeded fuzzer of the pipeline from chunks to transactions: cases of fixtures/http with bytes changed, left out, doubled and
 * moved to other cases, cut anywhere, lost, out of order, in connections that change places; and bytes that are nothing at all.
 * Whatever comes out has to be something that may be a label, and no more of it than went in.
 */

import assert from 'node:assert/strict';
import { METHODS } from '../../src/http/http1/methods.ts';
import { Http1Redactor } from '../../src/http/http1/redact.ts';
import { PROTOCOLS } from '../../src/http/registry.ts';
import type { Direction, Transaction } from '../../src/stream/contract.ts';
import { Streams } from '../../src/stream/streams.ts';
import { type ChunkStep, connectionInfo, directionOf, loadCases, OWNER } from './cases.ts';

/** A reproducible sequence of integers in 0..limit - 1 (mulberry32). */
export function numbers(seed: number): (limit: number) => number {
  let state = seed | 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

/** Lines of output for each byte of input at most: the shortest message is `GET / HTTP/1.1` and a line feed or two. */
const SHORTEST_MESSAGE_BYTES = 9;
const CHUNKS_PER_ROUND = 60;
const CONNECTIONS = 4;
const VERSIONS: readonly string[] = ['1.0', '1.1', '2'];

const chunks = loadCases().flatMap(({ steps }) => steps.filter((step): step is ChunkStep => step.kind === 'chunk'));

function mutate(random: (limit: number) => number, original: Uint8Array): Buffer {
  let bytes = Buffer.from(original);
  for (let i = random(4); i > 0 && bytes.length > 1; i--) {
    const at = random(bytes.length);
    const to = Math.min(bytes.length, at + 1 + random(12));
    switch (random(6)) {
      case 0:
        bytes[at] = random(256);
        break;
      case 1:
        bytes[at] = bytes[at]! ^ (1 << random(8));
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(to)]);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, to), bytes.subarray(at)]);
        break;
      case 4: {
        const other = chunks[random(chunks.length)]!.bytes;
        const from = random(other.length + 1);
        bytes = Buffer.concat([bytes.subarray(0, at), other.subarray(from, from + random(200)), bytes.subarray(to)]);
        break;
      }
      default:
        bytes = bytes.subarray(0, at);
    }
  }
  return bytes;
}

function check({ method, status, version, durationNs, timeNs, trace }: Transaction): void {
  assert.ok(method === 'unknown' || (METHODS as readonly string[]).includes(method), method);
  assert.ok(status === 0 || (status >= 100 && status <= 599), String(status));
  assert.ok(VERSIONS.includes(version), version);
  assert.ok(durationNs >= 0 && Number.isFinite(durationNs) && Number.isFinite(timeNs));
  if (trace !== undefined) assert.match(`${trace.traceId}-${trace.spanId}`, /^(?:[0-9a-f]{16}){1,2}-[0-9a-f]{16}$/);
}

/** One round: a few connections with mutated cases. Throws what is wrong. Returns how many bytes it fed. */
export function fuzzCases(seed: number): number {
  const random = numbers(seed);
  let lines = 0;
  let fed = 0;
  const redactor = new Http1Redactor(CONNECTIONS);
  const streams = new Streams({
    protocols: PROTOCOLS,
    maxConnections: CONNECTIONS - random(2),
    describe: connectionInfo,
    ownerOf: () => OWNER,
    sink: {
      transaction: (transaction) => {
        lines++;
        check(transaction);
      },
      stream: ({ durationNs }) => {
        lines++;
        assert.ok(durationNs >= 0);
      },
      incomplete: () => lines++,
    },
  });
  let timeNs = 0;
  let next = random(chunks.length);
  for (let i = 0; i < CHUNKS_PER_ROUND; i++) {
    // Mostly a chunk and what follows it in its case.
    next = random(8) === 0 ? random(chunks.length) : (next + 1) % chunks.length;
    const step = chunks[next]!;
    const bytes = mutate(random, step.bytes);
    const id = random(3) === 0 ? random(CONNECTIONS) : 0;
    const direction = directionOf(step.side, id % 2 === 0 ? 'server' : 'client');
    timeNs += random(3);
    const length = bytes.length + (random(6) === 0 ? random(10) ** random(12) : 0);
    const position = random(10) === 0 ? random(1000) : -1;
    fed += bytes.length;
    const pieces = redactor.redact(id, direction, position, length, bytes, 0, bytes.length, timeNs);
    assert.equal(
      pieces.reduce((sum, piece) => sum + piece.lengthBytes, 0),
      length,
    );
    streams.data(id, OWNER.pid, timeNs, direction, position, length, bytes, 0, bytes.length);
    if (random(20) === 0) streams.end(id, timeNs, random(2) as Direction);
    if (random(20) === 0) {
      streams.close(id, timeNs, random(2) === 0 ? 'orderly' : 'reset');
      redactor.close(id);
    }
  }
  for (let id = 0; id < CONNECTIONS; id++) {
    streams.close(id, timeNs, 'orderly');
    redactor.close(id);
  }
  assert.ok(lines <= fed / SHORTEST_MESSAGE_BYTES + CHUNKS_PER_ROUND, `${lines} lines of ${fed} bytes`);
  return fed;
}

/** So many random bytes, of all values or of few, over a few connections. Returns the transactions and streams that came out. */
export function fuzzNoise(seed: number, sizeBytes: number): number {
  const random = numbers(seed);
  let found = 0;
  const streams = new Streams({
    protocols: PROTOCOLS,
    maxConnections: 20,
    describe: connectionInfo,
    ownerOf: () => OWNER,
    sink: { transaction: () => found++, stream: () => found++, incomplete: () => {} },
  });
  const block = new Uint8Array(1 << 16);
  for (let fed = 0, timeNs = 0; fed < sizeBytes; fed += block.length) {
    const values = random(4) === 0 ? 64 : 256;
    for (let i = 0; i < block.length; i++) block[i] = random(values);
    for (let at = 0; at < block.length; timeNs++) {
      const length = Math.min(1 + random(3000), block.length - at);
      streams.data(random(40), OWNER.pid, timeNs, random(2) as Direction, -1, length, block, at, at + length);
      at += length;
    }
  }
  return found;
}
