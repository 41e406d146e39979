/**
 * The Huffman code of HPACK (RFC 7541 section 5.2) as an automaton over half bytes, so that a string may be cut anywhere.
 *
 * The code is canonical: the codes of one length follow each other in the order of their symbols, so the lengths are the
 * whole table. No code is shorter than 5 bits: half a byte ends at most one symbol.
 */

/** The bits of the code of each symbol, 0 to 255 and then EOS, a digit of base 36 each (RFC 7541 appendix B). */
const CODE_LENGTHS =
  'dnsssssssoussuss' +
  'ssssssusssssssss' +
  '6aacd68baa8b8666' +
  '555666666678f6ca' +
  'd677777777777777' +
  '77777777878djde6' +
  'f565656665776665' +
  '67655677777fbeds' +
  'kmkkmmmnmnnnnnon' +
  'oomnonnnnlmnmnno' +
  'mlkmmnnlnmmolmnn' +
  'llmlnmnnkmmmnmmn' +
  'qqkjmnmpqqqrrqop' +
  'jlqrrqrollqqsrrr' +
  'koklmllnmmppooqn' +
  'qrqqrrrrrsrrrrrq' +
  'u';

export const EOS = 256;
const MAX_CODE_BITS = 30;

/** Code and length of each symbol. */
export const HUFFMAN_CODES: readonly { readonly code: number; readonly bits: number }[] = canonicalCodes();

function canonicalCodes(): { code: number; bits: number }[] {
  const codes = Array.from(CODE_LENGTHS, (digit) => ({ code: 0, bits: Number.parseInt(digit, 36) }));
  let next = 0;
  for (let bits = 1; bits <= MAX_CODE_BITS; bits++) {
    next *= 2;
    for (const entry of codes) {
      if (entry.bits === bits) entry.code = next++;
    }
  }
  return codes;
}

/** The state at the beginning of a string. */
export const HUFFMAN_START = 0;
/** Of a step: a symbol has ended; it is in bits 8..15. The next state is in bits 0..7. */
export const STEP_SYMBOL = 0x1_0000;
/** Of a step: EOS, which no string holds (RFC 7541 section 5.2). */
export const STEP_INVALID = 0x2_0000;

/** A leaf is below 0. There are 256 inner nodes, as there are 257 leaves. */
function buildTree(): [number, number][] {
  const nodes: [number, number][] = [[0, 0]];
  HUFFMAN_CODES.forEach(({ code, bits }, symbol) => {
    let node = 0;
    for (let bit = bits - 1; bit > 0; bit--) {
      const side = (code >>> bit) & 1;
      if (nodes[node]![side] === 0) nodes[node]![side] = nodes.push([0, 0]) - 1;
      node = nodes[node]![side]!;
    }
    nodes[node]![code & 1] = ~symbol;
  });
  return nodes;
}

const tree = buildTree();

/** By state * 16 + half a byte. */
export const HUFFMAN_STEPS = new Uint32Array(tree.length * 16);
/** By state: may the string end here? Up to 7 bits of ones may follow the last symbol. */
export const HUFFMAN_ACCEPTS = new Uint8Array(tree.length);

for (let state = 0; state < tree.length; state++) {
  for (let half = 0; half < 16; half++) {
    let node = state;
    let step = 0;
    for (let bit = 3; bit >= 0; bit--) {
      const next = tree[node]![(half >> bit) & 1]!;
      if (next >= 0) {
        node = next;
      } else {
        node = 0;
        step = ~next === EOS ? STEP_INVALID : STEP_SYMBOL | (~next << 8);
        if (step === STEP_INVALID) break;
      }
    }
    HUFFMAN_STEPS[state * 16 + half] = step | node;
  }
}
for (let state = 0, ones = 0; ones <= 7; ones++) {
  HUFFMAN_ACCEPTS[state] = 1;
  state = tree[state]![1];
}
