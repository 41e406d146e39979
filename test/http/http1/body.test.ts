import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BODY_CHUNKED,
  BODY_LENGTH,
  BODY_LOST,
  BODY_UNTIL_CLOSE,
  Body,
  FRAMING_HIDDEN,
} from '../../../src/http/http1/body.ts';

function begun(kind: number, lengthBytes = 0): Body {
  const body = new Body();
  body.begin(kind, lengthBytes);
  return body;
}

function read(body: Body, text: string): number {
  const bytes = Buffer.from(text, 'latin1');
  return body.read(bytes, 0, bytes.length);
}

test('a body of known length ends by position', () => {
  const body = begun(BODY_LENGTH, 10);
  assert.equal(read(body, 'abc'), 3);
  assert.equal(body.skip(5), 0);
  assert.equal(body.done, false);
  assert.equal(read(body, 'abcdef'), 2);
  assert.equal(body.done, true);
  assert.equal(begun(BODY_LENGTH, 10).skip(14), 4);
  assert.equal(begun(BODY_LENGTH, 0).done, true);
});

test('a body that ends with the connection never ends by itself', () => {
  const body = begun(BODY_UNTIL_CLOSE);
  assert.equal(read(body, '0\r\n\r\n'), 5);
  assert.equal(body.skip(1e12), 0);
  assert.equal(body.done, false);
});

test('gaps inside a chunk and over its line end are harmless', () => {
  // 16 bytes of data, 2 of the line end
  for (let missing = 1; missing <= 18; missing++) {
    const body = begun(BODY_CHUNKED);
    read(body, '10\r\n');
    assert.equal(body.skip(missing), 0, `${missing}`);
    const rest = `${'x'.repeat(16)}\r\n`.slice(missing);
    assert.equal(read(body, `${rest}0\r\n\r\nnext`), rest.length + 5, `${missing}`);
    assert.equal(body.done, true);
  }
  const beyond = begun(BODY_CHUNKED);
  read(beyond, '10\r\n');
  assert.equal(beyond.skip(19), FRAMING_HIDDEN);
});

test('gaps over sizes, extensions and trailers hide the framing', () => {
  for (const before of ['', '1', '1;x', '1\r', '0\r\n', '0\r\nA: b', '1\r\nx\r\n']) {
    const body = begun(BODY_CHUNKED);
    read(body, before);
    assert.equal(body.skip(1), FRAMING_HIDDEN, before);
  }
});

test('chunk framing that is refused', () => {
  for (const text of [
    '\r\n',
    'g\r\n',
    '-1\r\n',
    '0x1\r\n',
    '1?\r\n',
    '1\r\nxx',
    '1\r\nx\rx',
    '3fffffffffffff\r\n',
    `1;${'x'.repeat(70_000)}`,
    `0\r\n${'X: y\r\n'.repeat(20_000)}`,
  ]) {
    assert.ok(read(begun(BODY_CHUNKED), text) < 0, text.slice(0, 20));
    const pieces = begun(BODY_CHUNKED);
    assert.ok(
      [...text].some((c) => read(pieces, c) < 0),
      text.slice(0, 20),
    );
  }
});

test('the largest sizes', () => {
  const body = begun(BODY_CHUNKED);
  assert.equal(read(body, '0000000000000000000000ffffffffffff\r\n'), 36);
  assert.equal(body.skip(0xffffffffffff), 0);
  assert.equal(read(body, '\r\n0\r\n\r\n'), 7);
});

function lostAfter(...pieces: readonly string[]): boolean {
  const body = begun(BODY_LOST);
  body.lose();
  for (const piece of pieces) read(body, piece);
  return body.done;
}

test('hidden framing ends with the terminator at the end of a piece', () => {
  assert.equal(lostAfter('0\r\n\r\n'), true);
  assert.equal(lostAfter('\r\n0\r\n\r\n'), true);
  assert.equal(lostAfter('data\r\n0\r\n\r\n'), true);
  assert.equal(lostAfter('\r\n0\r\n0\r\n\r\n'), true);
  assert.equal(lostAfter('data\r', '\n0', '\r\n', '\r\n'), true);
  assert.equal(lostAfter('data', '\r\n0\r\n\r\n'), true);
});

test('hidden framing does not end with what only looks like it', () => {
  assert.equal(lostAfter('10\r\n\r\n'), false);
  assert.equal(lostAfter('1', '0\r\n\r\n'), false);
  assert.equal(lostAfter('\r\n0\r\n\r\n.'), false);
  assert.equal(lostAfter('\r\n0\r\nA: b\r\n\r\n'), false);
  assert.equal(lostAfter('\n0\r\n\r\n'), false);
  assert.equal(lostAfter('0\r\n\r'), false);
});
