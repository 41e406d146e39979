/** Reads the cases of fixtures/http (its README.md tells the format) and replays them. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { PROTOCOLS } from '../../src/http/registry.ts';
import { fromRoot } from '../../src/root.ts';
import type {
  ChunkSink,
  CloseKind,
  ConnectionInfo,
  Direction,
  GrpcCall,
  Owner,
  Role,
  TraceContext,
} from '../../src/stream/contract.ts';
import { EGRESS, INGRESS, UNKNOWN_STATUS } from '../../src/stream/contract.ts';
import { Streams } from '../../src/stream/streams.ts';
import { encodeFrames } from './http2/notation.ts';

export type Side = 'request' | 'response';

export interface ChunkStep {
  readonly kind: 'chunk';
  readonly side: Side;
  readonly timeNs: number;
  readonly bytes: Buffer;
  readonly lengthBytes: number;
  /** From the end of the last chunk of the side: above 0 a gap, below 0 bytes that were there before. */
  readonly skipBytes: number;
}

export type Step =
  | ChunkStep
  | { readonly kind: 'end'; readonly side: Side; readonly timeNs: number }
  | { readonly kind: 'close'; readonly timeNs: number; readonly close: CloseKind };

export const TREATMENTS = ['cut', 'middle', 'truncated', 'lost'] as const;
export type Treatment = (typeof TREATMENTS)[number];

export interface Case {
  readonly protocol: string;
  readonly name: string;
  readonly steps: readonly Step[];
  readonly expected: readonly string[];
  readonly except: ReadonlySet<Treatment>;
}

function decode(text: string): string {
  const plain = text.replace(/\\\{(.*?)\*(\d+)\}/gs, (_, part: string, times: string) => part.repeat(Number(times)));
  return plain.replace(/\\(?:x([0-9a-f]{2})|(.))/gs, (_, hex: string | undefined, letter: string) => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    const byte = { r: '\r', n: '\n', t: '\t', '\\': '\\' }[letter];
    assert.ok(byte !== undefined, `unknown escape \\${letter}`);
    return byte;
  });
}

function parseStep(info: readonly string[], bytes: Buffer): Step {
  const [first, second] = info;
  if (first === 'close') {
    assert.ok(info[2] === 'orderly' || info[2] === 'reset');
    return { kind: 'close', timeNs: Number(second), close: info[2] };
  }
  if (first === 'end') return { kind: 'end', side: second as Side, timeNs: Number(info[2]) };
  assert.ok(first === 'request' || first === 'response', `unknown step ${info.join(' ')}`);
  const options = new Map(info.slice(2).map((option) => option.split('=') as [string, string]));
  return {
    kind: 'chunk',
    side: first,
    timeNs: Number(second),
    bytes,
    lengthBytes: Number(options.get('length') ?? bytes.length),
    skipBytes: Number(options.get('lost') ?? 0) - Number(options.get('back') ?? 0),
  };
}

function parseCase(protocol: string, file: string, section: string): Case {
  const steps: Step[] = [];
  const expected: string[] = [];
  const except = new Set<Treatment>();
  const lines = section.split('\n');
  const name = `${file}: ${lines[0]}`;
  for (let at = 1; at < lines.length; at++) {
    const line = lines[at]!;
    const exemption = /^- not (\w+): \S/.exec(line);
    if (exemption) {
      const treatment = exemption[1] as Treatment;
      assert.ok(TREATMENTS.includes(treatment), `${name}: unknown treatment ${treatment}`);
      except.add(treatment);
    }
    if (!line.startsWith('```')) continue;
    const block: string[] = [];
    while (lines[++at] !== '```') {
      assert.ok(at < lines.length, `${name}: a block without end`);
      block.push(lines[at]!);
    }
    if (line === '```expect') expected.push(...block);
    else if (line.startsWith('```http '))
      steps.push(parseStep(line.slice(8).split(' '), Buffer.from(decode(block.join('')), 'latin1')));
    else if (line.startsWith('```http2 ')) steps.push(parseStep(line.slice(9).split(' '), encodeFrames(block)));
    else assert.fail(`${name}: unknown block ${line}`);
  }
  assert.ok(section.includes('```expect'), `${name}: nothing is expected`);
  assert.ok(steps.length > 0, `${name}: nothing happens`);
  return { protocol, name, steps, expected, except };
}

export function loadCases(): Case[] {
  const folder = fromRoot('fixtures/http');
  const cases: Case[] = [];
  for (const file of readdirSync(folder).sort()) {
    if (file === 'README.md' || !file.endsWith('.md')) continue;
    const text = readFileSync(`${folder}/${file}`, 'latin1');
    const protocol = /^protocol: (\S+)$/m.exec(text)?.[1];
    assert.ok(protocol !== undefined, `${file}: no protocol`);
    for (const section of text.split(/^## /m).slice(1)) cases.push(parseCase(protocol, file, section));
  }
  return cases;
}

export const OWNER: Owner = { pid: 7, comm: 'web', namespace: '', pod: '', container: '', service: 'web' };

export function connectionInfo(id: number | string): ConnectionInfo {
  return { id, owner: OWNER, scheme: 'http', local: undefined, remote: undefined };
}

function grpcText(grpc: GrpcCall | undefined): string {
  return grpc === undefined ? '' : ` ${grpc.service}/${grpc.method} ${grpc.code}`;
}

function traceText(trace: TraceContext | undefined): string {
  return trace === undefined ? '' : ` trace ${trace.traceId} ${trace.spanId}`;
}

/** What came out, one line for each, as the cases write it, by connection. */
export class Outcome {
  readonly lines: string[] = [];
  readonly roles = new Set<Role | 'unknown'>();
  readonly streams: Streams;

  constructor(maxConnections = 100) {
    this.streams = new Streams({
      protocols: PROTOCOLS,
      maxConnections,
      describe: connectionInfo,
      ownerOf: () => OWNER,
      sink: {
        transaction: ({ method, status, version, timeNs, durationNs, role, grpc, trace }) => {
          const shown = status === UNKNOWN_STATUS ? 'unknown' : status;
          this.lines.push(
            `${method} ${shown} ${version} at ${timeNs} for ${durationNs}${grpcText(grpc)}${traceText(trace)}`,
          );
          this.roles.add(role);
        },
        stream: ({ kind, timeNs, durationNs, role, grpc }) => {
          this.lines.push(`stream ${kind} at ${timeNs} for ${durationNs}${grpcText(grpc)}`);
          this.roles.add(role);
        },
        incomplete: (_owner, role, reason) => {
          this.lines.push(`incomplete ${reason}`);
          this.roles.add(role);
        },
      },
    });
  }

  get transactions(): string[] {
    return this.lines.filter((line) => !line.startsWith('incomplete'));
  }
}

export function directionOf(side: Side, role: Role): Direction {
  return (side === 'request') === (role === 'server') ? INGRESS : EGRESS;
}

/** Feeds the steps of one connection, one for each next(). */
export class Replay {
  readonly #sink: ChunkSink;
  readonly #id: number | string;
  readonly #role: Role;
  readonly #positions = [0, 0];

  constructor(sink: ChunkSink, id: number | string, role: Role) {
    this.#sink = sink;
    this.#id = id;
    this.#role = role;
  }

  step(step: Step): void {
    if (step.kind === 'close') {
      this.#sink.close(this.#id, step.timeNs, step.close);
      return;
    }
    const direction = directionOf(step.side, this.#role);
    if (step.kind === 'end') {
      this.#sink.end(this.#id, step.timeNs, direction);
      return;
    }
    const position = this.#positions[direction]! + step.skipBytes;
    this.#positions[direction] = position + step.lengthBytes;
    const { timeNs, lengthBytes, bytes } = step;
    this.#sink.data(this.#id, OWNER.pid, timeNs, direction, position, lengthBytes, bytes, 0, bytes.length);
  }

  all(steps: readonly Step[]): void {
    for (const step of steps) this.step(step);
  }
}

export function replay(steps: readonly Step[], role: Role = 'server'): Outcome {
  const outcome = new Outcome();
  new Replay(outcome.streams, 'c1', role).all(steps);
  return outcome;
}

/** Two chunks in place of one. */
export function cut(step: ChunkStep, at: number): [ChunkStep, ChunkStep] {
  return [
    { ...step, bytes: step.bytes.subarray(0, at), lengthBytes: at },
    { ...step, bytes: step.bytes.subarray(at), lengthBytes: step.lengthBytes - at, skipBytes: 0 },
  ];
}

/** The steps without those of `dropped`, with the gaps that this leaves. */
export function withLoss(steps: readonly Step[], dropped: ReadonlySet<number>): Step[] {
  const missing = { request: 0, response: 0 };
  const result: Step[] = [];
  steps.forEach((step, index) => {
    if (step.kind !== 'chunk') {
      result.push(step);
    } else if (dropped.has(index)) {
      missing[step.side] += step.skipBytes + step.lengthBytes;
    } else {
      result.push({ ...step, skipBytes: step.skipBytes + missing[step.side] });
      missing[step.side] = 0;
    }
  });
  return result;
}

/** Is it the same, but for words that are not known? */
function isLess(line: string, whole: string): boolean {
  const words = whole.split(/[ /]/);
  const known = line.split(/[ /]/);
  return known.length === words.length && known.every((word, index) => word === 'unknown' || word === words[index]);
}

/** Every line must be one of `expected`, each of them at most once, but for what is said to be unknown. */
export function assertOnlyThese(lines: readonly string[], expected: readonly string[], what: string): void {
  const left = [...expected];
  for (const line of lines) {
    const same = left.indexOf(line);
    const at = same >= 0 ? same : left.findIndex((whole) => isLess(line, whole));
    assert.ok(at >= 0, `${what}: invented: ${line}`);
    left.splice(at, 1);
  }
}
