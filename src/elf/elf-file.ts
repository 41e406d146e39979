/**
 * An ELF file as a few small objects: machine, program headers, section headers. Nothing here holds on to the bytes.
 *
 * elfy reads the headers, and only after they were checked against the length of the file, because
 * - elfy.parse() names the sections by scanning for a terminator without a limit, and fails on files without sections;
 *   so its Parser is called for the three tables one by one and the names are read here;
 * - it slices a view per table entry: cheap for a Buffer, a copy of the whole file for any other Uint8Array;
 * - it reads sh_addralign and sh_entsize of 64-bit files at the wrong offsets: neither is used.
 *
 * Program headers that lie are BAD_ELF: the kernel would not run such a file. Section headers that lie count as absent:
 * nothing that runs a file reads them, so they must not be a way to hide one. Refused with a reason: 32-bit, big-endian.
 */

import elfy from 'elfy';
import { PlainsightError } from '../errors.ts';

export type ElfMachine = 'x64' | 'arm64' | 'other';
export type ElfType = 'executable' | 'shared' | 'relocatable' | 'other';

export interface ElfProgram {
  readonly type: 'load' | 'dynamic' | 'note' | 'other';
  readonly executable: boolean;
  readonly offset: number;
  readonly address: number;
  readonly fileSizeBytes: number;
  readonly memorySizeBytes: number;
  readonly align: number;
}

export interface ElfSection {
  readonly name: string;
  /** `symtab`, `dynsym`, `strtab`, `note`, `versym`, `progbits`, `nobits`, ...; other types as hexadecimal. */
  readonly type: string;
  readonly address: number;
  readonly offset: number;
  readonly sizeBytes: number;
  /** Index of the section that this one refers to. */
  readonly link: number;
}

export interface ElfFile {
  readonly supported: true;
  readonly machine: ElfMachine;
  readonly type: ElfType;
  readonly programs: readonly ElfProgram[];
  /** By index; empty when the file has none, or none that can be believed. */
  readonly sections: readonly ElfSection[];
}

export type UnsupportedElfReason = '32-bit' | 'big-endian';
export interface UnsupportedElf {
  readonly supported: false;
  readonly reason: UnsupportedElfReason;
}

const HEADER_BYTES = 64;
const PROGRAM_BYTES = 56;
const SECTION_BYTES = 64;
const MAX_PROGRAMS = 512;
const MAX_SECTIONS = 4096;
const MAX_NAME_BYTES = 64;

/** elfy's words -> ours. */
const MACHINES: Readonly<Record<string, ElfMachine>> = { amd64: 'x64', AArch64: 'arm64' };
const TYPES: Readonly<Record<string, ElfType>> = { exec: 'executable', dyn: 'shared', rel: 'relocatable' };

/**
 * @param bytes The whole file, best a mapping of it.
 * @throws PlainsightError BAD_ELF: not an ELF file, or one whose headers lie.
 */
export function readElf(bytes: Uint8Array): ElfFile | UnsupportedElf {
  // A view: elfy asks for a Buffer, and this makes no copy.
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < HEADER_BYTES || buffer.readUInt32BE(0) !== 0x7f454c46) throw badElf('it is not an ELF file');
  const elfClass = buffer[4];
  const order = buffer[5];
  if ((elfClass !== 1 && elfClass !== 2) || (order !== 1 && order !== 2)) throw badElf('its identification is invalid');
  if (elfClass === 1) return { supported: false, reason: '32-bit' };
  if (order === 2) return { supported: false, reason: 'big-endian' };
  try {
    const parser = new elfy.Parser();
    const header = parser.parseHeader(buffer);
    return {
      supported: true,
      machine: MACHINES[header.machine ?? ''] ?? 'other',
      type: TYPES[header.type ?? ''] ?? 'other',
      programs: readPrograms(parser, buffer, header),
      sections: readSections(parser, buffer, header),
    };
  } catch (cause) {
    if (cause instanceof PlainsightError) throw cause;
    throw badElf('its headers cannot be read', cause);
  }
}

/** The file offset of an address of the program's code, by its executable PT_LOAD segments; undefined outside of them. */
export function fileOffset(file: ElfFile, address: number): number | undefined {
  return offsetIn(file, address, true);
}

/** The file offset of any loaded address, for tables that are found through PT_DYNAMIC. */
export function loadedOffset(file: ElfFile, address: number): number | undefined {
  return offsetIn(file, address, false);
}

export function badElf(what: string, cause?: unknown): PlainsightError {
  return new PlainsightError('BAD_ELF', `the file cannot be used: ${what}`, cause === undefined ? {} : { cause });
}

function offsetIn(file: ElfFile, address: number, executable: boolean): number | undefined {
  for (const program of file.programs) {
    if (program.type !== 'load' || (executable && !program.executable)) continue;
    if (address >= program.address && address - program.address < program.fileSizeBytes) {
      return program.offset + (address - program.address);
    }
  }
  return undefined;
}

function readPrograms(parser: elfy.Parser, buffer: Buffer, header: elfy.Header): ElfProgram[] {
  if (header.phnum === 0) return [];
  if (header.phentsize !== PROGRAM_BYTES) throw badElf(`a program header of ${header.phentsize} bytes`);
  if (header.phnum > MAX_PROGRAMS) throw badElf(`${header.phnum} program headers`);
  if (!within(buffer, header.phoff, header.phnum * PROGRAM_BYTES)) {
    throw badElf('its program headers are not in the file');
  }
  const programs: ElfProgram[] = [];
  for (const program of parser.parsePrograms(buffer, header)) {
    const inside = within(buffer, program.offset, program.filesz);
    const type = programType(program.type);
    if (type === 'load' && (!inside || !Number.isSafeInteger(program.vaddr + program.memsz))) {
      throw badElf('a segment is not in the file');
    }
    programs.push({
      type: inside ? type : 'other',
      executable: program.flags.x === true,
      offset: program.offset,
      address: program.vaddr,
      fileSizeBytes: program.filesz,
      memorySizeBytes: program.memsz,
      align: program.align,
    });
  }
  return programs;
}

function readSections(parser: elfy.Parser, buffer: Buffer, header: elfy.Header): ElfSection[] {
  const usable =
    header.shnum > 0 &&
    header.shnum <= MAX_SECTIONS &&
    header.shentsize === SECTION_BYTES &&
    header.shoff >= HEADER_BYTES &&
    within(buffer, header.shoff, header.shnum * SECTION_BYTES);
  if (!usable) return [];
  const sections = parser.parseSections(buffer, header);
  const inside = sections.every((section) => section.type === 'nobits' || within(buffer, section.off, section.size));
  if (!inside) return [];
  const names = sections[header.shstrndx];
  return sections.map((section) => ({
    name: names?.type === 'strtab' ? readName(buffer, names.off, names.size, section.name) : '',
    type: sectionType(section.type),
    address: section.addr,
    offset: section.off,
    sizeBytes: section.size,
    link: section.link,
  }));
}

function programType(type: string | undefined): ElfProgram['type'] {
  return type === 'load' || type === 'dynamic' || type === 'note' ? type : 'other';
}

function sectionType(type: string | number): string {
  if (typeof type === 'number') return `0x${type.toString(16)}`;
  // elfy calls 0x6fffffff by the name of the end of its range; it is SHT_GNU_versym.
  return type === 'hios' ? 'versym' : type;
}

function readName(buffer: Buffer, tableOffset: number, tableBytes: number, nameOffset: number): string {
  if (nameOffset >= tableBytes) return '';
  const start = tableOffset + nameOffset;
  const limit = Math.min(start + MAX_NAME_BYTES, tableOffset + tableBytes);
  let end = start;
  while (end < limit && buffer[end] !== 0) end++;
  return buffer.toString('latin1', start, end);
}

function within(buffer: Buffer, offset: number, sizeBytes: number): boolean {
  return offset <= buffer.length && sizeBytes <= buffer.length - offset;
}
