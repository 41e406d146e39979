import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeGoCookie } from '../../src/probes/go-cookie.ts';

const path = { conn: 0, readMethod: 0, fd: 0, sysfd: 0, tcpReadDistance: 0 };

test('the bits that bpf/go-call.h reads', () => {
  const site = { operation: 'read', repeats: false, path: undefined } as const;
  assert.equal(encodeGoCookie(site), 0n);
  assert.equal(encodeGoCookie({ ...site, operation: 'write' }), 1n);
  assert.equal(encodeGoCookie({ ...site, operation: 'free' }), 2n);
  assert.equal(encodeGoCookie({ ...site, repeats: true }), 4n);
  assert.equal(encodeGoCookie({ ...site, path }), 8n);
  assert.equal(encodeGoCookie({ ...site, path: { ...path, conn: 8 } }), 0x18n);
  assert.equal(encodeGoCookie({ ...site, path: { ...path, conn: 1016 } }), 0x7f8n);
  assert.equal(encodeGoCookie({ ...site, path: { ...path, readMethod: 8 } }), 0x808n);
  assert.equal(encodeGoCookie({ ...site, path: { ...path, fd: 8 } }), 0x40008n);
  assert.equal(encodeGoCookie({ ...site, path: { ...path, sysfd: 8 } }), 0x2000008n);
  assert.equal(encodeGoCookie({ ...site, path: { ...path, sysfd: 1016 } }), 0xfe000008n);
  assert.equal(encodeGoCookie({ ...site, path: { ...path, tcpReadDistance: 1 } }), 0x100000008n);
  assert.equal(encodeGoCookie({ ...site, path: { ...path, tcpReadDistance: -1 } }), 0xffffffff00000008n);
});

test('a path that does not fit is left out, not cut', () => {
  const site = { operation: 'write', repeats: true } as const;
  for (const wrong of [{ conn: 1024 }, { readMethod: -8 }, { fd: 4 }, { sysfd: 8.5 }, { tcpReadDistance: 2 ** 31 }]) {
    assert.equal(encodeGoCookie({ ...site, path: { ...path, ...wrong } }), 5n, JSON.stringify(wrong));
  }
});
