/** Sites in Go's functions: those of real ones, and code that is refused. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { FunctionSymbol } from '../../src/elf/symbols.ts';
import { type GoPlan, planGoFunction } from '../../src/probes/go-plan.ts';
import { fromRoot } from '../../src/root.ts';

interface RealFunction {
  /** `go1.27.3 x64 Read` */
  readonly title: string;
  readonly machine: 'x64' | 'arm64';
  readonly symbol: FunctionSymbol;
  readonly code: Uint8Array;
}

function realFunctions(): RealFunction[] {
  const [, ...releases] = readFileSync(fromRoot('fixtures/probes/go.txt'), 'utf8').split(/^# /m);
  return releases.flatMap((text) => {
    const [heading, ...blocks] = text.split(/^(?=crypto)/m);
    const [release, machine] = heading!.trim().split(' ');
    return blocks.map((block) => {
      const [first, ...lines] = block.trim().split('\n');
      const [name, address] = first!.split(' ');
      const code = Buffer.from(lines.join(''), 'hex');
      return {
        title: `${release} ${machine} ${name!.split('.').at(-1)}`,
        machine: machine as 'x64' | 'arm64',
        symbol: { name: name!, address: Number.parseInt(address!, 16), sizeBytes: code.length, fileOffset: 0 },
        code,
      };
    });
  });
}

/** `entry 4 emulated again; returns 100 12d single-step`, or the reason. */
function describe(plan: GoPlan): string {
  if (plan.reason !== '') return plan.reason;
  const [entry] = plan.entries;
  const { length } = plan.entries;
  assert.equal(length, 1);
  const again = entry!.repeats ? ' again' : '';
  const text = `entry ${entry!.offset.toString(16)} ${entry!.costClass}${again}`;
  if (plan.returns.length === 0) return text;
  const costs = new Set(plan.returns.map(({ costClass }) => costClass));
  return `${text}; returns ${plan.returns.map(({ offset }) => offset.toString(16)).join(' ')} ${[...costs].join(' ')}`;
}

const REAL: Readonly<Record<string, string>> = {
  'go1.19.8 x64 Read': 'entry 4 emulated again; returns 104 131 1b2 2fd 330 3ad 3cb single-step',
  'go1.19.8 x64 Write': 'entry 9 emulated again; returns 3d2 57a 5ea 65a 6bc 70c 748 772 single-step',
  'go1.19.8 x64 Close': 'entry 4 emulated again',
  'go1.23.5 x64 Read': 'entry a emulated; returns ed 114 18f 2d9 308 376 390 single-step',
  'go1.23.5 x64 Write': 'entry f emulated; returns 246 2a3 2f9 336 365 4bb 6d5 7a1 single-step',
  'go1.23.5 x64 Close': 'entry a emulated',
  'go1.27.3 x64 Read': 'entry a emulated; returns e1 108 1aa 2cb 2fa 340 35a single-step',
  'go1.27.3 x64 Write': 'entry f emulated; returns 246 2a3 2f9 336 365 4cd 6fa 7c1 single-step',
  'go1.27.3 x64 Close': 'entry a emulated',
  'go1.19.8 arm64 Read': 'entry 8 emulated again; returns 120 148 1ac 2c8 2f8 358 374 emulated',
  'go1.19.8 arm64 Write': 'entry c emulated again; returns 338 490 4f0 548 590 5c4 5f8 614 emulated',
  'go1.19.8 arm64 Close': 'entry 8 emulated again',
  'go1.27.3 arm64 Read': 'entry 8 emulated again; returns f8 11c 1a0 290 2bc 2f0 30c emulated',
  'go1.27.3 arm64 Write': 'entry c emulated again; returns 208 258 298 2c4 2e8 408 5d4 68c emulated',
  'go1.27.3 arm64 Close': 'entry 8 emulated again',
};

test('Read, Write and Close of crypto/tls', () => {
  const found = realFunctions().map(({ title, machine, symbol, code }) => {
    const returns = !title.endsWith('Close');
    return [title, describe(planGoFunction({ machine, code }, symbol, returns))];
  });
  assert.deepEqual(Object.fromEntries(found), REAL);
});

test('real functions cut or changed anywhere give a plan or a reason', () => {
  for (const { machine, symbol, code } of realFunctions().slice(0, 2)) {
    for (let at = 0; at < code.length; at += 3) {
      const short = planGoFunction({ machine, code: code.subarray(0, at) }, symbol, true);
      assert.equal(short.reason, 'function cannot be probed');
      const changed = Buffer.from(code);
      changed[at] = changed[at]! ^ 0xff;
      const plan = planGoFunction({ machine, code: changed }, symbol, true);
      for (const { offset } of [...plan.entries, ...plan.returns]) assert.ok(offset >= 0 && offset < code.length);
      assert.equal(plan.reason === '', plan.entries.length === 1);
    }
  }
});

function x64(hex: string, returns = true): string {
  const code = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  const symbol = { name: 'f', address: 0x401000, sizeBytes: code.length, fileOffset: 0x1000 };
  return describe(planGoFunction({ machine: 'x64', code }, symbol, returns));
}

/** cmp 0x10(%r14),%rsp */
const CHECK = '493b6610';

test('the entry: a push, else the branch of the stack check, else the first instruction', () => {
  // jbe 9; push %rbp; pop; ret; call; jmp 0
  assert.equal(x64(`${CHECK} 7603 55 5d c3 e800000000 ebf0`), 'entry 1006 emulated; returns 1008 single-step');
  // jbe 17; sub $8,%rsp before the push: the stack pointer has moved
  assert.equal(
    x64(`${CHECK} 760b 4883ec08 55 5d 4883c408 c3 ebed`),
    'entry 1004 emulated again; returns 1010 single-step',
  );
  // no check: sub $8,%rsp first
  assert.equal(x64('4883ec08 4883c408 c3'), 'entry 1000 single-step; returns 1008 single-step');
});

test('an entry where an argument is gone is not taken', () => {
  for (const lost of ['31c0', '31db', '31c9', '4531f6']) {
    // xor of rax, rbx, rcx or r14, then the check
    assert.match(x64(`${lost} ${CHECK} 7601 c3 c3`), /^entry 1000 single-step; /, lost);
  }
  // rdi holds the capacity, which nobody needs
  assert.match(x64(`31ff ${CHECK} 7601 c3 c3`), /^entry 1006 emulated; /);
});

test('an entry that something in the function jumps to is not taken', () => {
  // push at 0 with a jump back to it, and a push at 1 with a jump back to that
  assert.match(x64('55 5d c3 ebfb'), /^entry 1000 emulated again; /);
  assert.match(x64('90 55 5d c3 ebfb'), /^entry 1000 /);
});

test('returns that no jump leads to are found', () => {
  // ret; call; pop; ret
  assert.equal(x64('55 5d c3 e800000000 5d c3'), 'entry 1000 emulated; returns 1002 1009 single-step');
});

test('what is refused', () => {
  assert.equal(x64('55 5d eb10'), 'tail call');
  assert.equal(x64('55 5d eb10', false), 'entry 1000 emulated');
  assert.equal(x64('55 5d 0f0b'), 'no return');
  assert.equal(x64('55 5d c3 06 c3'), 'code not understood');
  assert.equal(x64('c3'.repeat(65)), 'too many returns');
  // padding behind the last instruction, and only there
  assert.equal(x64('55 5d c3 cccccccc'), 'entry 1000 emulated; returns 1002 single-step');
  const symbol = { name: 'f', address: 0, sizeBytes: 1, fileOffset: 0 };
  const code = Buffer.from('c3', 'hex');
  assert.equal(planGoFunction({ machine: 'other', code }, symbol, true).reason, 'other machine');
  assert.equal(planGoFunction({ machine: 'x64' }, symbol, true).reason, 'function cannot be probed');
  for (const sizeBytes of [0, -1, 2, 65537, Number.NaN]) {
    const plan = planGoFunction({ machine: 'x64', code }, { ...symbol, sizeBytes }, true);
    assert.equal(plan.reason, 'function cannot be probed', `${sizeBytes}`);
  }
});
