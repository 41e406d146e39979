/**
 * What the Go linker wrote about a build: toolchain version and settings (section .go.buildinfo, read as src/debug/buildinfo
 * of go1.27 does) and the id in the note .note.go.buildid. A file that has section headers but no such section is no Go
 * program; one without section headers is searched, its last segments first, since the linker puts this among the data.
 * Limits: 64 MiB searched, 1 MiB of settings, 256 settings, 64 KiB of notes.
 */

import { type ElfFile, loadedOffset } from './elf-file.ts';

export interface GoBuildInfo {
  /** As the toolchain says it, `go1.27.3`; see goVersion(). Never ''. */
  readonly version: string;
  /** Import path of the main package, '' when not recorded. */
  readonly path: string;
  /** `-buildmode`, `CGO_ENABLED`, `GOEXPERIMENT`, ... Empty before Go 1.18. */
  readonly settings: ReadonlyMap<string, string>;
}

/** Of `go1.21.5 X:boringcrypto`: 21, 5, no prerelease, ['boringcrypto']. */
export interface GoVersion {
  readonly minor: number;
  readonly patch: number;
  /** A beta, a release candidate, a development version, or a version that a vendor numbers: no release has its layout. */
  readonly prerelease: boolean;
  readonly experiments: readonly string[];
}

const MAGIC = Buffer.from('\xff Go buildinf:', 'latin1');
const ALIGN = 16;
const HEADER_BYTES = 32;
const FLAGS_AT = 15;
const FLAG_BIG_ENDIAN = 1;
const FLAG_INLINE = 2;
const POINTER_BYTES = 8;
const MAX_SEARCH_BYTES = 64 * 1024 * 1024;
const MAX_VERSION_BYTES = 256;
const MAX_SETTINGS_BYTES = 1024 * 1024;
const MAX_SETTINGS = 256;
/** The settings stand between two marks of 16 bytes (cmd/go/internal/modload, infoStart and infoEnd). */
const MARK_BYTES = 16;

const NOTE_HEADER_BYTES = 12;
const NOTE_GO_BUILD_ID = 4;
/** "Go\0\0" as a little-endian word (cmd/link/internal/ld/elf.go, ELF_NOTE_GO_NAME). */
const NOTE_GO = 0x00006f47;
const MAX_NOTE_BYTES = 64 * 1024;
const MAX_ID_BYTES = 256;

/** undefined: the Go toolchain did not make this file, or it was made to look so. */
export function goBuildInfo(file: ElfFile, bytes: Uint8Array): GoBuildInfo | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = findHeader(file, buffer);
  if (at === undefined) return undefined;
  const flags = buffer[at + FLAGS_AT]!;
  const texts =
    (flags & FLAG_INLINE) !== 0 ? readInline(buffer, at + HEADER_BYTES) : readPointers(file, buffer, at, flags);
  if (!texts || texts.version === '') return undefined;
  return { version: texts.version, ...readSettings(texts.settings) };
}

/** The id of the link, as `go tool buildid` prints it; undefined when there is none. */
export function goBuildId(file: ElfFile, bytes: Uint8Array): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const notes = [
    ...file.programs.filter(({ type }) => type === 'note').map((note) => [note.offset, note.fileSizeBytes] as const),
    ...file.sections.filter(({ type }) => type === 'note').map((note) => [note.offset, note.sizeBytes] as const),
  ];
  for (const [offset, sizeBytes] of notes) {
    const end = Math.min(offset + Math.min(sizeBytes, MAX_NOTE_BYTES), bytes.length);
    for (let at = offset; at + NOTE_HEADER_BYTES <= end; ) {
      const nameBytes = view.getUint32(at, true);
      const idBytes = view.getUint32(at + 4, true);
      const name = at + NOTE_HEADER_BYTES;
      const id = name + roundUp(nameBytes, 4);
      if (id + idBytes > end) break;
      const isGo = nameBytes === 4 && view.getUint32(name, true) === NOTE_GO;
      if (isGo && view.getUint32(at + 8, true) === NOTE_GO_BUILD_ID && idBytes > 0 && idBytes <= MAX_ID_BYTES) {
        const text = Buffer.from(bytes.subarray(id, id + idBytes)).toString('latin1');
        return /^[\w/+=.-]+$/.test(text) ? text : undefined;
      }
      at = id + roundUp(idBytes, 4);
    }
  }
  return undefined;
}

/** undefined for what is no version of Go 1. */
export function goVersion(text: string): GoVersion | undefined {
  const found = /^(devel )?go1\.(\d{1,3})(?:\.(\d{1,3}))?(?!\d)([^ ]*)(?: (.*))?$/.exec(text);
  if (!found) return undefined;
  const [, devel, minor, patch, suffix, rest] = found;
  const experiments = /(?:^| )X:(\S+)/.exec(rest ?? '')?.[1]?.split(',') ?? [];
  return {
    minor: Number(minor),
    patch: Number(patch ?? 0),
    prerelease: devel !== undefined || suffix !== '',
    experiments,
  };
}

function findHeader(file: ElfFile, buffer: Buffer): number | undefined {
  if (file.sections.length > 0) {
    const section = file.sections.find(({ name, type }) => name === '.go.buildinfo' && type !== 'nobits');
    return section && findMagic(buffer, section.offset, section.offset, section.sizeBytes);
  }
  let left = MAX_SEARCH_BYTES;
  for (const program of file.programs.toReversed()) {
    if (program.type !== 'load' || program.executable) continue;
    const sizeBytes = Math.min(program.fileSizeBytes, left);
    left -= sizeBytes;
    const at = findMagic(buffer, program.offset, program.address, sizeBytes);
    if (at !== undefined) return at;
  }
  return undefined;
}

/** `address` of the first byte: the header is aligned in memory. */
function findMagic(buffer: Buffer, offset: number, address: number, sizeBytes: number): number | undefined {
  const range = buffer.subarray(offset, offset + sizeBytes);
  for (let at = range.indexOf(MAGIC); at >= 0; at = range.indexOf(MAGIC, at + 1)) {
    if ((address + at) % ALIGN === 0 && at + HEADER_BYTES <= range.length) return offset + at;
  }
  return undefined;
}

interface Texts {
  readonly version: string;
  readonly settings: string;
}

/** Since Go 1.18. */
function readInline(buffer: Buffer, at: number): Texts | undefined {
  const version = readCounted(buffer, at, MAX_VERSION_BYTES);
  if (!version) return undefined;
  const settings = readCounted(buffer, version.end, MAX_SETTINGS_BYTES);
  return { version: version.text, settings: settings?.text ?? '' };
}

function readCounted(buffer: Buffer, at: number, maxBytes: number): { text: string; end: number } | undefined {
  let length = 0;
  let next = at;
  for (let shift = 0; ; shift += 7) {
    const byte = buffer[next++];
    if (byte === undefined || shift > 21) return undefined;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  if (length > maxBytes || next + length > buffer.length) return undefined;
  return { text: buffer.toString('latin1', next, next + length), end: next + length };
}

/** Up to Go 1.17: two pointers to strings, which are a pointer and a length. */
function readPointers(file: ElfFile, buffer: Buffer, at: number, flags: number): Texts | undefined {
  if (buffer[at + FLAGS_AT - 1] !== POINTER_BYTES || (flags & FLAG_BIG_ENDIAN) !== 0) return undefined;
  const version = readString(file, buffer, at + 16, MAX_VERSION_BYTES);
  if (version === undefined) return undefined;
  return { version, settings: readString(file, buffer, at + 16 + POINTER_BYTES, MAX_SETTINGS_BYTES) ?? '' };
}

function readString(file: ElfFile, buffer: Buffer, at: number, maxBytes: number): string | undefined {
  const header = loadedOffset(file, Number(buffer.readBigUInt64LE(at)));
  if (header === undefined || header + 2 * POINTER_BYTES > buffer.length) return undefined;
  const length = Number(buffer.readBigUInt64LE(header + POINTER_BYTES));
  const text = loadedOffset(file, Number(buffer.readBigUInt64LE(header)));
  if (text === undefined || length > maxBytes || text + length > buffer.length) return undefined;
  return buffer.toString('latin1', text, text + length);
}

function readSettings(framed: string): { path: string; settings: Map<string, string> } {
  const settings = new Map<string, string>();
  let path = '';
  const isFramed = framed.length > 2 * MARK_BYTES && framed.at(-MARK_BYTES - 1) === '\n';
  const lines = isFramed ? framed.slice(MARK_BYTES, -MARK_BYTES).split('\n') : [];
  for (const line of lines) {
    if (line.startsWith('path\t')) path = line.slice('path\t'.length);
    const setting = /^build\t([^=`"]+)=(.*)$/.exec(line);
    if (setting && settings.size < MAX_SETTINGS) settings.set(setting[1]!, unquote(setting[2]!));
  }
  return { path, settings };
}

/** Values with spaces and the like are quoted as in Go's source. */
function unquote(value: string): string {
  if (!value.startsWith('"')) return value;
  try {
    return String(JSON.parse(value));
  } catch {
    return value;
  }
}

function roundUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}
