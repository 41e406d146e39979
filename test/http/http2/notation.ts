/**
 * HTTP/2 frames as readable text, and their bytes. fixtures/http/README.md tells the notation. An encoder for tests: it
 * writes what it is told to, also what no endpoint may send.
 */

import assert from 'node:assert/strict';
import { HUFFMAN_CODES } from '../../../src/http/http2/hpack/huffman.ts';
import { STATIC_FIELDS } from '../../../src/http/http2/hpack/static-table.ts';

const TYPES = [
  ...['DATA', 'HEADERS', 'PRIORITY', 'RST_STREAM', 'SETTINGS', 'PUSH_PROMISE', 'PING', 'GOAWAY', 'WINDOW_UPDATE'],
  'CONTINUATION',
];
const FLAGS: Readonly<Record<string, number>> = { END_STREAM: 1, ACK: 1, END_HEADERS: 4, PADDED: 8, PRIORITY: 0x20 };
const SETTINGS: Readonly<Record<string, number>> = {
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
};

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export function encodeHuffman(bytes: Uint8Array): Buffer {
  let bits = '';
  for (const byte of bytes) {
    const { code, bits: length } = HUFFMAN_CODES[byte]!;
    bits += code.toString(2).padStart(length, '0');
  }
  bits = bits.padEnd(Math.ceil(bits.length / 8) * 8, '1');
  return Buffer.from(
    Array.from({ length: bits.length / 8 }, (_, i) => Number.parseInt(bits.slice(i * 8, i * 8 + 8), 2)),
  );
}

function integer(value: number, prefixBits: number, pattern: number): number[] {
  const mask = 2 ** prefixBits - 1;
  if (value < mask) return [pattern | value];
  const bytes = [pattern | mask];
  let rest = value - mask;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return [...bytes, rest];
}

function string(text: string, huffman: boolean): number[] {
  const plain = Buffer.from(text, 'latin1');
  const bytes = huffman ? encodeHuffman(plain) : plain;
  return [...integer(bytes.length, 7, huffman ? 0x80 : 0), ...bytes];
}

/** One field: see fixtures/http/README.md. */
function encodeField(text: string): number[] {
  if (text.startsWith('^')) return integer(Number(text.slice(1)), 5, 0x20);
  const [, marks = '', field = ''] = /^([+!~]*)(.*)$/s.exec(text)!;
  const inserts = marks.includes('+');
  const huffman = marks.includes('~');
  const [name = '', ...rest] = field.split('=');
  if (name.startsWith('#') && rest.length === 0) return integer(Number(name.slice(1)), 7, 0x80);
  const value = rest.join('=');
  if (marks === '' && STATIC_FIELDS.includes(field)) return integer(STATIC_FIELDS.indexOf(field) + 1, 7, 0x80);
  const known = STATIC_FIELDS.findIndex((entry) => entry.split('=')[0] === name) + 1;
  const index = name.startsWith('#') ? Number(name.slice(1)) : known;
  const head = inserts ? integer(index, 6, 0x40) : integer(index, 4, marks.includes('!') ? 0x10 : 0);
  return [...head, ...(index === 0 ? string(name, huffman) : []), ...string(value, huffman)];
}

export function encodeFields(fields: readonly string[]): Buffer {
  return Buffer.from(fields.flatMap((field) => encodeField(field)));
}

export function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

function u32(...values: number[]): Buffer {
  return Buffer.concat(
    values.map((value) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(value);
      return bytes;
    }),
  );
}

function encodeSetting(text: string): Buffer {
  const [name = '', value = ''] = text.split('=');
  const bytes = Buffer.alloc(6);
  bytes.writeUInt16BE(SETTINGS[name] ?? Number(name));
  bytes.writeUInt32BE(Number(value), 2);
  return bytes;
}

/** `GRPC:5` is a gRPC message of 5 bytes, `x5` 5 bytes, `:0a0b` bytes in hex. */
function encodeBytes(text: string): Buffer {
  if (text.startsWith('GRPC:')) {
    const length = Number(text.slice(5));
    return Buffer.concat([Buffer.of(0), u32(length), Buffer.alloc(length, 0x6d)]);
  }
  if (text.startsWith('x')) return Buffer.alloc(Number(text.slice(1)), 0x78);
  return Buffer.from(text.slice(1), 'hex');
}

/** One line: `TYPE stream FLAG... content...`. */
export function encodeFrame(line: string): Buffer {
  if (line === 'PREFACE') return PREFACE;
  const [word = '', id = '0', ...rest] = line.split(' ');
  const type = TYPES.includes(word) ? TYPES.indexOf(word) : Number(word);
  assert.ok(Number.isInteger(type), `unknown frame ${line}`);
  let flags = 0;
  let padding = -1;
  let priority = false;
  const content: string[] = [];
  for (const item of rest) {
    const [flag = '', value] = item.split('=');
    if (flag === 'PADDED') padding = Number(value);
    if (flag === 'PRIORITY') priority = true;
    if (FLAGS[flag] !== undefined) flags |= FLAGS[flag];
    else content.push(item);
  }
  let payload: Buffer;
  switch (word) {
    case 'HEADERS':
    case 'CONTINUATION':
      payload = encodeFields(content);
      if (priority) payload = Buffer.concat([u32(0), Buffer.of(15), payload]);
      break;
    case 'PUSH_PROMISE':
      payload = Buffer.concat([u32(Number(content[0])), encodeFields(content.slice(1))]);
      break;
    case 'SETTINGS':
      payload = Buffer.concat(content.map(encodeSetting));
      break;
    case 'RST_STREAM':
    case 'WINDOW_UPDATE':
      payload = u32(Number(content[0] ?? 0));
      break;
    case 'GOAWAY':
      payload = u32(...content.map(Number));
      break;
    case 'PING':
      payload = Buffer.alloc(8);
      break;
    case 'PRIORITY':
      payload = Buffer.concat([u32(0), Buffer.of(15)]);
      break;
    default:
      payload = Buffer.concat(content.map(encodeBytes));
  }
  if (padding >= 0) payload = Buffer.concat([Buffer.of(padding), payload, Buffer.alloc(padding)]);
  return frame(type, flags, Number(id), payload);
}

/** The frames of several lines. A line `...5` takes the last 5 bytes off again. */
export function encodeFrames(lines: readonly string[]): Buffer {
  let bytes = Buffer.alloc(0);
  for (const line of lines) {
    const cut = /^\.\.\.(\d+)$/.exec(line);
    if (cut) bytes = bytes.subarray(0, bytes.length - Number(cut[1]));
    else if (line !== '') bytes = Buffer.concat([bytes, encodeFrame(line)]);
  }
  return bytes;
}
