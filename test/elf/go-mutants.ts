/** Changed copies of Go programs, the same in every run, and what must hold for whatever is found in them. */

import assert from 'node:assert/strict';
import { readElf } from '../../src/elf/elf-file.ts';
import { goBuildId, goBuildInfo } from '../../src/elf/go-build-info.ts';
import { goSymbols } from '../../src/elf/go-symbols.ts';
import { PlainsightError } from '../../src/errors.ts';

const NAMES = new Set(['crypto/tls.(*Conn).Read', 'crypto/tls.(*Conn).Write']);

/** How many functions were found; undefined for BAD_ELF or a reason. */
export function tryGo(bytes: Uint8Array): number | undefined {
  try {
    const file = readElf(bytes);
    if (!file.supported) return undefined;
    const info = goBuildInfo(file, bytes);
    assert.ok(info === undefined || (info.version !== '' && info.settings.size <= 256));
    const id = goBuildId(file, bytes);
    assert.ok(id === undefined || (id.length > 0 && id.length <= 256));
    const symbols = goSymbols(file, bytes, NAMES);
    if (!symbols.found) return undefined;
    for (const { name, sizeBytes, fileOffset } of symbols.functions.values()) {
      assert.ok(NAMES.has(name));
      assert.ok(Number.isSafeInteger(fileOffset) && fileOffset >= 0 && sizeBytes > 0);
      assert.ok(fileOffset + sizeBytes <= bytes.length);
    }
    return symbols.functions.size;
  } catch (error) {
    if (error instanceof PlainsightError && error.code === 'BAD_ELF') return undefined;
    throw error;
  }
}

/** The linear congruential generator of Numerical Recipes: the same mutants in every run. */
export function* numbers(seed: number): Generator<number, never> {
  let state = seed;
  for (;;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state >>> 8;
  }
}

const EXTREMES = [0, 1, 0x7f, 0x80, 0xff];

export function mutate(
  bytes: Buffer,
  random: Generator<number, never>,
  ranges: readonly (readonly [number, number])[],
): Buffer {
  const copy = Buffer.from(bytes);
  const next = (limit: number) => random.next().value % limit;
  for (let i = 1 + next(4); i > 0; i--) {
    const [from, to] = ranges[next(ranges.length)]!;
    const at = from + next(to - from);
    const width = [1, 2, 4, 8][next(4)]!;
    copy.fill(next(2) === 0 ? EXTREMES[next(EXTREMES.length)]! : next(256), at, Math.min(at + width, copy.length));
  }
  return copy;
}
