/** The build id that the linker left in a note (NT_GNU_BUILD_ID). Limits: 64 KiB of each note segment, ids of 64 bytes. */

import type { ElfFile } from './elf-file.ts';

const NOTE_HEADER_BYTES = 12;
const MAX_SEGMENT_BYTES = 64 * 1024;
const MAX_ID_BYTES = 64;
const NT_GNU_BUILD_ID = 3;
/** "GNU\0" as a little-endian word. */
const GNU = 0x00554e47;

/** Lower-case hexadecimal; undefined when there is none. */
export function buildId(file: ElfFile, bytes: Uint8Array): string | undefined {
  for (const program of file.programs) {
    if (program.type !== 'note') continue;
    // Notes of a segment that is aligned to 8 are padded to 8 (.note.gnu.property), all others to 4.
    const found = findInNotes(bytes, program.offset, program.fileSizeBytes, program.align === 8 ? 8 : 4);
    if (found !== undefined) return found;
  }
  for (const section of file.sections) {
    if (section.type !== 'note') continue;
    const found = findInNotes(bytes, section.offset, section.sizeBytes, 4);
    if (found !== undefined) return found;
  }
  return undefined;
}

function findInNotes(bytes: Uint8Array, offset: number, sizeBytes: number, align: number): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = Math.min(offset + Math.min(sizeBytes, MAX_SEGMENT_BYTES), bytes.length);
  for (let at = offset; at + NOTE_HEADER_BYTES <= end; ) {
    const nameBytes = view.getUint32(at, true);
    const idBytes = view.getUint32(at + 4, true);
    const type = view.getUint32(at + 8, true);
    const name = at + NOTE_HEADER_BYTES;
    const id = name + roundUp(nameBytes, align);
    if (id + idBytes > end) return undefined;
    if (type === NT_GNU_BUILD_ID && nameBytes === 4 && view.getUint32(name, true) === GNU && idBytes > 0) {
      return idBytes <= MAX_ID_BYTES ? Buffer.from(bytes.subarray(id, id + idBytes)).toString('hex') : undefined;
    }
    at = id + roundUp(idBytes, align);
  }
  return undefined;
}

function roundUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}
