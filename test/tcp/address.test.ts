import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressBytes, addressText, isLoopback, splitEndpoint } from '../../src/tcp/address.ts';

test('addresses to bytes and back', () => {
  for (const text of [
    '0.0.0.0',
    '127.0.0.1',
    '255.1.2.3',
    '::',
    '::1',
    'fe80::1',
    '2001:db8::8:800:200c:417a',
    '1::',
  ]) {
    assert.equal(addressText(addressBytes(text)!), text);
  }
  assert.equal(addressText(addressBytes('::ffff:10.0.0.1')!), '10.0.0.1');
  assert.equal(addressText(addressBytes('2001:db8:1:2:3:4:5:6')!), '2001:db8:1:2:3:4:5:6');
  assert.equal(addressText(addressBytes('fe80::1%eth0')!), 'fe80::1');
  for (const text of ['', 'localhost', '1.2.3', '1.2.3.256', '::g', '1.2.3.4:80']) {
    assert.equal(addressBytes(text), undefined);
  }
});

test('loopback addresses are those of RFC 1122 and RFC 4291', () => {
  const loopback = ['127.0.0.1', '127.255.0.9', '::1', '::ffff:127.0.0.1'];
  for (const text of loopback) assert.ok(isLoopback(addressBytes(text)!), text);
  for (const text of ['128.0.0.1', '::', '::2', 'fe80::1']) assert.ok(!isLoopback(addressBytes(text)!), text);
});

test('endpoints', () => {
  assert.deepEqual(splitEndpoint('1.2.3.4:80'), { address: '1.2.3.4', port: 80 });
  assert.deepEqual(splitEndpoint('[2001:db8::1]:8080'), { address: '2001:db8::1', port: 8080 });
});
