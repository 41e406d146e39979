import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type CallConvention,
  canEncode,
  decodeCookie,
  encodeCookie,
  encodeSocketFields,
  MAX_DEPTH_BYTES,
  PROBE_OPERATIONS,
} from '../../src/probes/cookie.ts';

test('the bits that bpf/tls-call.h reads', () => {
  const at = { uretprobe: false, register: 0, depthBytes: 0 };
  assert.equal(encodeCookie({ operation: 'read', convention: 'n', ...at }), 0n);
  assert.equal(encodeCookie({ operation: 'write', convention: 'n', ...at }), 1n);
  assert.equal(encodeCookie({ operation: 'free', convention: 'n', ...at }), 2n);
  assert.equal(encodeCookie({ operation: 'shutdown', convention: 'n', ...at }), 3n);
  assert.equal(encodeCookie({ operation: 'read', convention: 'ex', ...at }), 4n);
  assert.equal(encodeCookie({ operation: 'write', convention: 'ex', ...at, uretprobe: true }), 0xdn);
  assert.equal(encodeCookie({ operation: 'read', convention: 'n', ...at, register: 12 }), 0xc0n);
  assert.equal(encodeCookie({ operation: 'read', convention: 'n', ...at, depthBytes: 24 }), 0x300n);
  assert.equal(encodeCookie({ operation: 'read', convention: 'n', ...at, depthBytes: 32760 }), 0xfff00n);
});

test('each cookie decodes to what it was made of, and no other value decodes', () => {
  for (const operation of PROBE_OPERATIONS) {
    for (const convention of ['n', 'ex'] satisfies CallConvention[]) {
      for (const uretprobe of [false, true]) {
        for (const register of [0, 1, 8, 15]) {
          for (const depthBytes of [0, 8, 72, MAX_DEPTH_BYTES]) {
            const cookie = { operation, convention, uretprobe, register, depthBytes };
            assert.deepEqual(decodeCookie(encodeCookie(cookie)), cookie);
          }
        }
      }
    }
  }
  assert.equal(decodeCookie(1n << 20n), undefined);
  assert.equal(decodeCookie(1n << 63n), undefined);
  assert.equal(decodeCookie(-1n), undefined);
});

test('what does not fit is refused, not cut', () => {
  assert.equal(canEncode(15, MAX_DEPTH_BYTES), true);
  for (const [register, depthBytes] of [
    [16, 0],
    [-1, 0],
    [0, 4],
    [0, -8],
    [0, MAX_DEPTH_BYTES + 8],
    [0, Number.NaN],
  ]) {
    assert.equal(canEncode(register!, depthBytes!), false);
    const cookie = {
      operation: 'read',
      convention: 'n',
      uretprobe: false,
      register: register!,
      depthBytes: depthBytes!,
    };
    assert.throws(() => encodeCookie(cookie as Parameters<typeof encodeCookie>[0]), RangeError);
  }
});

test('the bits that bpf/tls-offsets.h reads', () => {
  const openssl30 = { sslReadBio: 16, sslWriteBio: 24, sslKind: undefined, bioMethod: 8, methodType: 0, bioNumber: 56 };
  assert.equal(encodeSocketFields(openssl30), (2n << 20n) | (1n << 29n) | (14n << 31n));
  assert.equal(
    encodeSocketFields({ ...openssl30, sslReadBio: 80, sslWriteBio: 88, sslKind: 0 }),
    (10n << 20n) | (1n << 28n) | (1n << 29n) | (14n << 31n),
  );
  for (const change of [
    { sslReadBio: 0, sslWriteBio: 8 },
    { sslReadBio: 2048, sslWriteBio: 2056 },
    { sslReadBio: 20, sslWriteBio: 28 },
    { sslWriteBio: 32 },
    { sslKind: 8 },
    { bioMethod: 32 },
    { bioMethod: 4 },
    { methodType: 8 },
    { bioNumber: 1024 },
    { bioNumber: 2 },
  ]) {
    assert.equal(encodeSocketFields({ ...openssl30, ...change }), 0n, JSON.stringify(change));
  }
});
