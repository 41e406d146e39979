/** What the tests do to the files that Go's linker made. */

import { readFileSync } from 'node:fs';
import { type ElfFile, loadedOffset, readElf } from '../../src/elf/elf-file.ts';
import { must } from '../vm/host.ts';
import { goEnvironment } from './programs.ts';
import type { Toolchain } from './toolchains.ts';

export interface Binary {
  readonly bytes: Buffer;
  readonly file: ElfFile;
}

export function load(path: string): Binary {
  return parse(readFileSync(path));
}

export function parse(bytes: Buffer): Binary {
  const file = readElf(bytes);
  if (!file.supported) throw new Error(`not supported: ${file.reason}`);
  return { bytes, file };
}

/**
 * The functions of .symtab as Go's own tool lists them: name -> addresses. A function and the wrapper for callers of the
 * other convention have one name in the table; the suffix is the linker's.
 */
export async function listFunctions(toolchain: Toolchain, path: string): Promise<Map<string, Set<number>>> {
  const functions = new Map<string, Set<number>>();
  const env = goEnvironment(toolchain);
  for (const line of (await must(toolchain.command, ['tool', 'nm', path], { env })).split('\n')) {
    const found = /^\s*([0-9a-f]+) [tT] (.*)$/.exec(line);
    if (!found) continue;
    const name = found[2]!.replace(/\.abi(0|internal)$/, '');
    const addresses = functions.get(name) ?? new Set();
    functions.set(name, addresses.add(Number.parseInt(found[1]!, 16)));
  }
  return functions;
}

/** A copy with zeros wherever the loader writes an address, as lld leaves a PIE. Returns how many there were. */
export function withoutRelocated({ bytes, file }: Binary): { binary: Binary; count: number } {
  const copy = Buffer.from(bytes);
  const dynamic = file.programs.find(({ type }) => type === 'dynamic')!;
  const values = new Map<number, number>();
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.fileSizeBytes; at += 16) {
    values.set(Number(bytes.readBigUInt64LE(at)), Number(bytes.readBigUInt64LE(at + 8)));
  }
  const begin = loadedOffset(file, values.get(7)!)!;
  let count = 0;
  for (let at = begin; at < begin + values.get(8)!; at += 24) {
    if (bytes.readBigUInt64LE(at + 8) !== 8n) continue;
    const place = loadedOffset(file, Number(bytes.readBigUInt64LE(at)));
    if (place === undefined) continue;
    copy.fill(0, place, place + 8);
    count++;
  }
  return { binary: parse(copy), count };
}
