import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Result, readResults } from '../../src/probes/getter.ts';

const code = (hex: string) => Buffer.from(hex.replaceAll(/\s/g, ''), 'hex');

/** `[8 0]:4 after 0`: the path of a field, its size, and what else was loaded of the argument; a number; `?`. */
function describeResult({ value, others }: Result): string {
  const after = others.length > 0 ? ` after ${others.join(',')}` : '';
  if (!value) return `?${after}`;
  return `${value.kind === 'number' ? value.number : `[${value.path.join(' ')}]:${value.sizeBytes}`}${after}`;
}

const read = (machine: 'x64' | 'arm64', hex: string) => readResults(machine, code(hex)).map(describeResult).sort();

describe('x86-64', () => {
  const cases: readonly [name: string, hex: string, results: readonly string[]][] = [
    ['SSL_get_rbio of OpenSSL 1.1.1', '488b4710 c3', ['[16]:8']],
    ['BIO_method_type of OpenSSL 3.0', '488b4708 8b00 31ff c3', ['[8 0]:4']],
    ['BIO_get_retry_reason of OpenSSL 3.6', 'f30f1efa 8b4734 31ff c3', ['[52]:4']],
    ['OpenSSL_version_num of OpenSSL 3.0.20', 'b840010030 c3', ['805306688']],
    // test, je, mov, test, je, test al, jne, xor, ret; mov, ret; sub, mov to the stack, call
    [
      'SSL_get_rbio of OpenSSL 3.5',
      'f30f1efa 4885ff 740a 8b07 85c0 740f a880 751b 31c0 31ff c3 0f1f840000000000 488b4750 31ff c3 660f1f840000000000 4883ec18 48897c2408 e8aad20300',
      ['0', '0 after 0', '? after 0', '[80]:8 after 0'],
    ],
    ['through another register', '4889f8 488b4818 4889c8 c3', ['[24]:8']],
    ['32 bits of a pointer lead nowhere', '8b4708 488b00 c3', ['? after 8']],
    ['an overwritten argument', '31ff 488b4710 c3', ['?']],
    ['a field of what fs points to', '64488b4710 c3', ['?']],
    ['a call before the end', 'e800000000 488b4710 c3', ['?']],
    ['a jump out of the function', '488b4710 e900100000', ['? after 16']],
    ['an index', '488b44f710 c3', ['?']],
    ['cut off', '488b47', ['?']],
    ['without an end', 'ebfe', ['?']],
  ];
  for (const [name, hex, results] of cases) test(name, () => assert.deepEqual(read('x64', hex), results));
});

describe('arm64', () => {
  const cases: readonly [name: string, hex: string, results: readonly string[]][] = [
    ['a pointer', '000440f9 c0035fd6', ['[8]:8']],
    ['an int', '001040b9 c0035fd6', ['[16]:4']],
    ['an int behind a pointer', '000440f9 000040b9 c0035fd6', ['[8 0]:4']],
    ['a number in two halves', '000a8052 000ca672 c0035fd6', ['811597904']],
    [
      'a pointer, if an int is 0',
      'e10300aa c00000b4 220040b9 000080d2 42000035 202840f9 c0035fd6 000080d2 c0035fd6',
      ['0', '0 after 0', '[80]:8 after 0'],
    ],
    ['a call before the end', '00000094 000440f9 c0035fd6', ['?']],
  ];
  for (const [name, hex, results] of cases) test(name, () => assert.deepEqual(read('arm64', hex), results));
});

test('other machines are not read', () => {
  assert.deepEqual(readResults('other', code('488b4710c3')), []);
});

test('no bytes make it throw, nor go on for long', () => {
  let state = 1;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  };
  for (let round = 0; round < 4000; round++) {
    const bytes = Uint8Array.from({ length: 48 }, next);
    for (const machine of ['x64', 'arm64'] as const) assert.ok(readResults(machine, bytes).length <= 64);
  }
  // Branches only: each doubles the number of ways.
  assert.deepEqual(readResults('x64', Buffer.from('7400'.repeat(64), 'hex')), []);
});
