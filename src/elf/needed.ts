/**
 * The libraries that a file asks the loader for (DT_NEEDED), by the table that PT_DYNAMIC names. Limits: 64 names of 255
 * bytes.
 */

import { type ElfFile, loadedOffset } from './elf-file.ts';

const DYNAMIC_ENTRY_BYTES = 16;
const MAX_ENTRIES = 4096;
const MAX_NEEDED = 64;
const MAX_NAME_BYTES = 255;
const DT_NEEDED = 1;
const DT_STRTAB = 5;

/** In the order of the file. What lies outside of it is left out. */
export function neededLibraries(file: ElfFile, bytes: Uint8Array): string[] {
  const program = file.programs.find((candidate) => candidate.type === 'dynamic');
  if (!program) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const offsets: number[] = [];
  let strings: number | undefined;
  const entries = Math.min(Math.floor(program.fileSizeBytes / DYNAMIC_ENTRY_BYTES), MAX_ENTRIES);
  for (let i = 0; i < entries; i++) {
    const at = program.offset + i * DYNAMIC_ENTRY_BYTES;
    const tag = view.getBigUint64(at, true);
    const value = Number(view.getBigUint64(at + 8, true));
    if (tag === 0n) break;
    if (tag === BigInt(DT_NEEDED) && offsets.length < MAX_NEEDED) offsets.push(value);
    if (tag === BigInt(DT_STRTAB)) strings = loadedOffset(file, value);
  }
  if (strings === undefined) return [];
  return offsets.map((offset) => nameAt(bytes, strings + offset)).filter((name) => name !== '');
}

function nameAt(bytes: Uint8Array, start: number): string {
  let end = start;
  while (end < bytes.length && end - start < MAX_NAME_BYTES && bytes[end] !== 0) end++;
  return bytes[end] === 0 ? Buffer.from(bytes.subarray(start, end)).toString('latin1') : '';
}
