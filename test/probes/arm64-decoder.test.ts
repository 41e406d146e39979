import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeArm64 } from '../../src/probes/arm64-decoder.ts';
import type { Step } from '../../src/probes/step.ts';

function decode(word: number): Step | undefined {
  const code = new Uint8Array(4);
  new DataView(code.buffer).setUint32(0, word, true);
  return decodeArm64(code, 0);
}

/** Flow, cost, and where it goes. */
function control(word: number): string {
  const step = decode(word);
  if (!step) return 'unknown';
  return [step.flow, step.cost, ...(Number.isNaN(step.target) ? [] : [step.target])].join(' ');
}

test('control flow, and what the kernel simulates', () => {
  assert.equal(control(0x14000010), 'jump emulated 64', 'b');
  assert.equal(control(0x17ffffff), 'jump emulated -4', 'b back');
  assert.equal(control(0x94000010), 'call emulated 64', 'bl');
  assert.equal(control(0x54000081), 'branch emulated 16', 'b.ne');
  assert.equal(control(0xb4000108), 'branch emulated 32', 'cbz x8');
  assert.equal(control(0x35ffffe0), 'branch emulated -4', 'cbnz w0');
  assert.equal(control(0x37f801c2), 'branch emulated 56', 'tbnz w2, 31');
  assert.equal(control(0x36000222), 'branch emulated 68', 'tbz w2, 0');
  assert.equal(control(0xd61f0220), 'indirect-jump emulated', 'br x17');
  assert.equal(control(0xd63f0220), 'indirect-call emulated', 'blr x17');
  assert.equal(control(0xd65f03c0), 'return emulated', 'ret');
  assert.equal(control(0xd65f0bff), 'return refused', 'retaa');
  assert.equal(control(0xd61f0a3f), 'indirect-jump refused', 'braaz x17');
  assert.equal(control(0xb0000303), 'next emulated', 'adrp x3');
  assert.equal(control(0x10000003), 'next emulated', 'adr x3');
  assert.equal(control(0xd503201f), 'next single-step', 'nop: simulated only by some kernels');
  assert.equal(control(0xd503233f), 'next single-step', 'paciasp');
  assert.equal(control(0xd503245f), 'next single-step', 'bti c');
  assert.equal(control(0xd503207f), 'next refused', 'wfi');
  assert.equal(control(0xd53bd048), 'next refused', 'mrs x8, tpidr_el0');
  assert.equal(control(0x58000040), 'next refused', 'ldr x0 of a literal');
  assert.equal(control(0xc85f7c01), 'next refused', 'ldxr');
  assert.equal(control(0xd4200000), 'unknown', 'brk');
  assert.equal(control(0xd4000001), 'unknown', 'svc');
  assert.equal(control(0x00000000), 'unknown', 'udf');
});

test('registers that are written', () => {
  const written = (word: number) => decode(word)?.writes;
  assert.equal(written(0xaa0103f4), 1 << 20, 'mov x20, x1');
  assert.equal(written(0xf9400003), 1 << 3, 'ldr x3, [x0]');
  assert.equal(written(0xf9000fe4), 0, 'str x4, [sp, 24]');
  assert.equal(written(0xa9417bfd), (1 << 29) | (1 << 30), 'ldp x29, x30, [sp, 16]');
  assert.equal(written(0xa9017bfd), 0, 'stp x29, x30, [sp, 16]');
  assert.equal(written(0xf8408401), (1 << 1) | 1, 'ldr x1, [x0], 8');
  assert.equal(written(0x3dc00000), 0, 'ldr q0, [x0]');
  assert.equal(written(0x7100001f), 0, 'cmp w0, 0');
  assert.equal(written(0xd503233f), 1 << 30, 'paciasp');
  assert.equal(decode(0xf9000fe4)?.stores, true);
  assert.equal(decode(0xf9400003)?.stores, false);
  assert.deepEqual(decode(0xaa0103f4)?.copy, { from: 1, to: 20, wide: true });
  assert.deepEqual(decode(0x2a0203f3)?.copy, { from: 2, to: 19, wide: false });
});

test('the stack pointer', () => {
  assert.equal(decode(0xd10083ff)?.stackBytes, -32, 'sub sp, sp, 32');
  assert.equal(decode(0x910083ff)?.stackBytes, 32, 'add sp, sp, 32');
  assert.equal(decode(0xd14007ff)?.stackBytes, -4096, 'sub sp, sp, 1, lsl 12');
  assert.equal(decode(0xa9be7bfd)?.stackBytes, -32, 'stp x29, x30, [sp, -32]!');
  assert.equal(decode(0xa8c27bfd)?.stackBytes, 32, 'ldp x29, x30, [sp], 32');
  assert.equal(decode(0xf81e0ff3)?.stackBytes, -32, 'str x19, [sp, -32]!');
  assert.equal(decode(0x6dbf23e9)?.stackBytes, -16, 'stp d9, d8, [sp, -16]!');
  assert.ok(Number.isNaN(decode(0x9100001f)!.stackBytes), 'mov sp, x0');
  assert.ok(Number.isNaN(decode(0xcb2063ff)!.stackBytes), 'sub sp, sp, x0');
  assert.ok(Number.isNaN(decode(0x927cec1f)!.stackBytes), 'and sp, x0, -16');
  assert.equal(decode(0x910003fd)?.frameFromStack, 0, 'mov x29, sp');
  assert.equal(decode(0x910043fd)?.frameFromStack, 16, 'add x29, sp, 16');
  assert.equal(decode(0x910003bf)?.stackFromFrame, 0, 'mov sp, x29');
  assert.equal(decode(0xd10043bf)?.stackFromFrame, -16, 'sub sp, x29, 16');
});

test('half an instruction, and one that is not aligned', () => {
  assert.equal(decodeArm64(Uint8Array.of(0xc0, 0x03, 0x5f), 0), undefined);
  assert.equal(decodeArm64(Uint8Array.of(0, 0, 0xc0, 0x03, 0x5f, 0xd6), 2), undefined);
});
