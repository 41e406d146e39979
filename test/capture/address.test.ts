import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatEndpoint } from '../../src/capture/address.ts';

const v6 = (...words: number[]) => Uint8Array.from(words.flatMap((word) => [word >> 8, word & 0xff]));

test('IPv4', () => {
  assert.equal(formatEndpoint(2, Uint8Array.of(127, 0, 0, 1, 9, 9), 8080), '127.0.0.1:8080');
});

test('IPv6 is shortened at the first of its longest runs of zeros', () => {
  assert.equal(formatEndpoint(10, v6(0x2001, 0xdb8, 0, 0, 1, 0, 0, 1), 443), '[2001:db8::1:0:0:1]:443');
  assert.equal(formatEndpoint(10, v6(0x2001, 0xdb8, 0, 1, 1, 1, 1, 1), 1), '[2001:db8:0:1:1:1:1:1]:1');
  assert.equal(formatEndpoint(10, v6(0, 0, 0, 0, 0, 0, 0, 1), 1), '[::1]:1');
  assert.equal(formatEndpoint(10, v6(0, 0, 0, 0, 0, 0, 0, 0), 1), '[::]:1');
  assert.equal(formatEndpoint(10, v6(0xfe80, 1, 2, 3, 4, 5, 0, 0), 1), '[fe80:1:2:3:4:5::]:1');
});

test('IPv4 mapped into IPv6 is shown as IPv4', () => {
  assert.equal(formatEndpoint(10, v6(0, 0, 0, 0, 0, 0xffff, 0x0a00, 0x0102), 80), '10.0.1.2:80');
});

test('any other family has no address', () => {
  assert.equal(formatEndpoint(1, new Uint8Array(16), 0), undefined);
});

test('a Unix socket is the process that has it', () => {
  assert.equal(formatEndpoint(1, Uint8Array.of(0x39, 0x30, 0, 0, 0, 0), 0), 'unix:12345');
  assert.equal(formatEndpoint(1, Uint8Array.of(0, 0, 0, 0x80), 0), 'unix:2147483648');
  assert.equal(formatEndpoint(1, new Uint8Array(16), 0), undefined);
});
