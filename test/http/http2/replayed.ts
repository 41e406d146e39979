/** Recorded connections through the whole of Streams, in many treatments. The time of a chunk is its number. */

import { EGRESS, INGRESS } from '../../../src/stream/contract.ts';
import { Outcome } from '../cases.ts';
import type { RecordedChunk } from './recording.ts';

export interface Piece extends RecordedChunk {
  readonly timeNs: number;
  /** As many of the bytes as are captured. */
  readonly captured: number;
}

export function pieces(chunks: readonly RecordedChunk[]): Piece[] {
  return chunks.map((chunk, index) => ({ ...chunk, timeNs: (index + 1) * 1000, captured: chunk.bytes.length }));
}

/** Numerical Recipes' generator: the same numbers in every run. */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

export class Player {
  readonly outcome = new Outcome();
  readonly #positions = [0, 0];
  readonly #id: number;
  readonly #role: 'server' | 'client';

  constructor(id = 1, role: 'server' | 'client' = 'server') {
    this.#id = id;
    this.#role = role;
  }

  /** With a position, so that pieces that are left out are gaps. */
  piece({ side, bytes, timeNs, captured }: Piece, outcome: Outcome = this.outcome): void {
    const direction = (side === 'request') === (this.#role === 'server') ? INGRESS : EGRESS;
    const position = this.#positions[direction]!;
    this.#positions[direction] = position + bytes.length;
    outcome.streams.data(this.#id, 7, timeNs, direction, position, bytes.length, bytes, 0, captured);
  }

  skip({ side, bytes }: Piece): void {
    const direction = (side === 'request') === (this.#role === 'server') ? INGRESS : EGRESS;
    this.#positions[direction]! += bytes.length;
  }

  close(timeNs: number): string[] {
    this.outcome.streams.close(this.#id, timeNs, 'orderly');
    return this.outcome.lines;
  }
}

export function play(list: readonly Piece[], role: 'server' | 'client' = 'server'): string[] {
  const player = new Player(1, role);
  for (const piece of list) player.piece(piece);
  return player.close(1e9);
}

/** The same bytes in pieces of the sizes that `size` gives. */
export function segment(list: readonly Piece[], size: () => number): Piece[] {
  return list.flatMap((piece) => {
    const result: Piece[] = [];
    for (let at = 0; at < piece.bytes.length; ) {
      const bytes = piece.bytes.subarray(at, at + size());
      result.push({ ...piece, bytes, captured: bytes.length });
      at += bytes.length;
    }
    return result;
  });
}

/** As a kernel that walks the frames would capture them: of DATA the header only. */
export function withoutData(list: readonly Piece[]): Piece[] {
  const walked = { request: { left: 0, header: [] as number[] }, response: { left: 0, header: [] as number[] } };
  let prefaceLeft = 24;
  return list.flatMap((piece) => {
    const state = walked[piece.side];
    const result: Piece[] = [];
    let from = 0;
    let isData = state.left > 0 && state.header[3] === 0;
    const flush = (to: number): void => {
      if (to === from) return;
      const bytes = piece.bytes.subarray(from, to);
      result.push({ ...piece, bytes, captured: isData ? 0 : bytes.length });
      from = to;
    };
    for (let at = 0; at < piece.bytes.length; ) {
      if (piece.side === 'request' && prefaceLeft > 0) {
        prefaceLeft--;
        at++;
      } else if (state.left > 0) {
        const step = Math.min(state.left, piece.bytes.length - at);
        const begins = state.header[3] === 0;
        if (begins !== isData) {
          flush(at);
          isData = begins;
        }
        state.left -= step;
        at += step;
      } else {
        if (isData) {
          flush(at);
          isData = false;
        }
        if (state.header.length === 9) state.header = [];
        state.header.push(piece.bytes[at++]!);
        if (state.header.length === 9) {
          state.left = (state.header[0]! << 16) | (state.header[1]! << 8) | state.header[2]!;
        }
      }
    }
    flush(piece.bytes.length);
    return result;
  });
}

export function transactionsOf(lines: readonly string[]): string[] {
  return lines.filter((line) => !line.startsWith('incomplete'));
}

/** How often each `METHOD status` occurs. */
export function tally(lines: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const line of lines) {
    const name = line.split(' ').slice(0, 2).join(' ');
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return Object.fromEntries(Object.entries(counts).sort());
}
