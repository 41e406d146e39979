import assert from 'node:assert/strict';
import { test } from 'node:test';
import { instructionText } from '../../src/probes/mnemonic.ts';

const text = (machine: 'x64' | 'arm64', hex: string) => instructionText(machine, Buffer.from(hex, 'hex'), 0);

test('the instructions that probe sites are', () => {
  assert.equal(text('x64', '55'), 'push %rbp (55)');
  assert.equal(text('x64', '4154'), 'push %r12 (4154)');
  assert.equal(text('x64', '752d'), 'jne (752d)');
  assert.equal(text('x64', '0f8497030000'), 'je (0f8497030000)');
  assert.equal(text('x64', 'eb10'), 'jmp (eb10)');
  assert.equal(text('x64', 'c3'), 'ret (c3)');
  assert.equal(text('x64', '4883ec18'), 'sub (4883ec18)');
  assert.equal(text('x64', 'f30f1efa'), 'endbr64 (f30f1efa)');
  assert.equal(text('arm64', 'c0035fd6'), 'ret (c0035fd6)');
  assert.equal(text('arm64', 'c00000b4'), 'cbz (c00000b4)');
  assert.equal(text('arm64', '3f2303d5'), 'paciasp (3f2303d5)');
  assert.equal(text('arm64', 'fd7bbea9'), 'stp (fd7bbea9)');
});

test('others are their bytes, and what is none is nothing', () => {
  assert.equal(text('x64', 'c5f877'), '(c5f877)');
  assert.equal(text('x64', '0f05'), '');
  assert.equal(text('x64', ''), '');
  assert.equal(instructionText('other', Buffer.from('c3', 'hex'), 0), '');
});
