import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Step } from '../../src/probes/step.ts';
import { decodeX64 } from '../../src/probes/x64-decoder.ts';

function decode(hex: string): Step | undefined {
  return decodeX64(Buffer.from(hex, 'hex'), 0);
}

/** Length, flow and cost. */
function control(hex: string): string {
  const step = decode(hex);
  return step ? `${step.lengthBytes} ${step.flow} ${step.cost}` : 'unknown';
}

test('control flow, and what every kernel emulates', () => {
  assert.equal(control('55'), '1 next emulated', 'push rbp');
  assert.equal(control('4154'), '2 next emulated', 'push r12');
  assert.equal(control('4855'), '2 next single-step', 'push rbp with a prefix that does nothing');
  assert.equal(control('6655'), '2 next single-step', 'push bp');
  assert.equal(control('90'), '1 next emulated', 'nop');
  assert.equal(control('7810'), '2 branch emulated', 'js');
  assert.equal(control('0f8500000000'), '6 branch emulated', 'jne');
  assert.equal(control('eb00'), '2 jump emulated', 'jmp');
  assert.equal(control('e900000000'), '5 jump emulated', 'jmp');
  assert.equal(control('e800000000'), '5 call emulated', 'call');
  assert.equal(control('f2e900000000'), '6 jump refused', 'bnd jmp');
  assert.equal(control('6690'), '2 next refused', 'xchg ax, ax');
  assert.equal(control('0f85000000'), 'unknown', 'cut');
  assert.equal(control('666648e800000000'), '8 call refused', 'the call of __tls_get_addr');
  assert.equal(control('e300'), '2 branch refused', 'jrcxz');
  assert.equal(control('0f1f4000'), '4 next single-step', 'nop of four bytes');
  assert.equal(control('f390'), '2 next refused', 'pause');
  assert.equal(control('f30f1efa'), '4 next single-step', 'endbr64');
  assert.equal(control('4883ec18'), '4 next single-step', 'sub rsp, 24');
  assert.equal(control('64488b042528000000'), '9 next single-step', 'the stack guard');
  assert.equal(control('f00fc18788000000'), '8 next refused', 'lock xadd');
  assert.equal(control('c3'), '1 return single-step', 'ret');
  assert.equal(control('f3c3'), '2 return single-step', 'rep ret');
  assert.equal(control('c20800'), '3 return single-step', 'ret 8');
  assert.equal(control('ffe0'), '2 indirect-jump single-step', 'jmp rax');
  assert.equal(control('3effe0'), '3 indirect-jump refused', 'notrack jmp rax');
  assert.equal(control('ff5038'), '3 indirect-call single-step', 'call [rax + 56]');
  assert.equal(control('0f0b'), '2 stop single-step', 'ud2');
  for (const refused of ['cc', 'cd80', '0f05', 'cb', 'cf', 'c7f800000000', '06', '8fe878c0c008', 'ff28', '']) {
    assert.equal(control(refused), 'unknown', refused);
  }
});

test('where branches go', () => {
  assert.equal(decode('7810')?.target, 18);
  assert.equal(decode('78fe')?.target, 0);
  assert.equal(decode('e9fbffffff')?.target, 0);
  assert.equal(decodeX64(Buffer.from('9090e800010000', 'hex'), 2)?.target, 263);
});

test('the stack pointer', () => {
  assert.equal(decode('4883ec18')?.stackBytes, -24, 'sub rsp, 24');
  assert.equal(decode('4881c400010000')?.stackBytes, 256, 'add rsp, 256');
  assert.equal(decode('4883c480')?.stackBytes, -128, 'add rsp, -128');
  assert.equal(decode('488d642408')?.stackBytes, 8, 'lea rsp, [rsp + 8]');
  assert.equal(decode('6a01')?.stackBytes, -8, 'push 1');
  assert.equal(decode('415c')?.stackBytes, 8, 'pop r12');
  assert.equal(decode('e800000000')?.stackBytes, 0, 'a call comes back');
  for (const lost of ['83ec18', '4883e4f0', '4829c4', '5c', '665d', 'c8100000', '4889c4', '4887e0', '488d2404']) {
    assert.ok(Number.isNaN(decode(lost)!.stackBytes), lost);
  }
  assert.equal(decode('4889e5')?.frameFromStack, 0, 'mov rbp, rsp');
  assert.equal(decode('488d6c2410')?.frameFromStack, 16, 'lea rbp, [rsp + 16]');
  assert.equal(decode('c9')?.stackFromFrame, 8, 'leave');
  assert.equal(decode('488d65d8')?.stackFromFrame, -40, 'lea rsp, [rbp - 40]');
  assert.equal(decode('4889ec')?.stackFromFrame, 0, 'mov rsp, rbp');
});

test('no instruction is longer than 15 bytes', () => {
  assert.equal(decode(`${'66'.repeat(14)}90`)?.lengthBytes, 15);
  assert.equal(decode(`${'66'.repeat(15)}90`), undefined);
  assert.equal(decode('66'.repeat(40)), undefined);
});
