import assert from 'node:assert/strict';
import { test } from 'node:test';
import { METHODS, methodIndex } from '../../../src/http/http1/methods.ts';
import { KIND_ANY, KIND_REQUEST, KIND_RESPONSE, matches, StartLine } from '../../../src/http/http1/start-line.ts';

function read(text: string, expected = KIND_ANY): string {
  const bytes = Buffer.from(text, 'latin1');
  const whole = new StartLine();
  whole.begin(expected);
  const at = whole.feed(bytes, 0, bytes.length);
  const pieces = new StartLine();
  pieces.begin(expected);
  let pieceAt = 0;
  while (pieceAt >= 0 && pieceAt < bytes.length && !pieces.done) pieceAt = pieces.feed(bytes, pieceAt, pieceAt + 1);
  assert.equal(pieceAt, at, `in single bytes: ${JSON.stringify(text)}`);
  if (at < 0) return 'refused';
  if (!whole.done) return 'more';
  assert.deepEqual(
    [pieces.kind, pieces.method, pieces.minor, pieces.status],
    [whole.kind, whole.method, whole.minor, whole.status],
  );
  const what = whole.kind === KIND_REQUEST ? METHODS[whole.method] : whole.status;
  return `${what} 1.${whole.minor} ${at}`;
}

test('start lines', () => {
  assert.equal(read('GET / HTTP/1.1\r\nHost'), 'GET 1.1 16');
  assert.equal(read('GET / HTTP/1.0\n'), 'GET 1.0 15');
  assert.equal(read('GET / HTTP/1.9  \r\n'), 'GET 1.1 18');
  assert.equal(read('M-SEARCH * HTTP/1.1\r\n'), 'OTHER 1.1 21');
  assert.equal(read('a HTTP/1.1 b HTTP/1.0\r\n'), 'OTHER 1.0 23');
  assert.equal(read('GET /HTTP/1.1 HTTP/1.HTTP/1.1 HTTP/1.1\r\n'), 'GET 1.1 40');
  assert.equal(read('GET / HTTP/1.1 HTTP/1.0\r\n'), 'GET 1.0 25');
  assert.equal(read('GET / HHTTP/1.1 HTTTP HTTP/1.1\r\n'), 'GET 1.1 32');
  assert.equal(read('HTTP/1.1 200 OK\r\n'), '200 1.1 17');
  assert.equal(read('HTTP/1.0 999\n'), '999 1.0 13');
  assert.equal(read('HTTP/1.1 404 \r\n'), '404 1.1 15');
  assert.equal(read('HTTP /x HTTP/1.1\r\n'), 'OTHER 1.1 18');
});

test('lines that are not complete', () => {
  for (const line of ['GET / HTTP/1.1 \r\n', 'HTTP/1.1 200 OK\r\n']) {
    for (let length = 0; length < line.length; length++) assert.equal(read(line.slice(0, length)), 'more');
  }
});

test('what is no start line', () => {
  for (const text of [
    ' GET / HTTP/1.1\r\n',
    'GET\t/ HTTP/1.1\r\n',
    'GET / HTTP/2.0\r\n',
    'GET /\r\n',
    'GET / HTTP/1.1\rX',
    'GET / HTTP/1.\r\n',
    'GET /\0 HTTP/1.1\r\n',
    'GET HTTP/1.1\r\n',
    'HTTP/2 200 OK\r\n',
    'HTTP/1.1\r\n',
    'HTTP/1.1 20 OK\r\n',
    'HTTP/1.1 2000 OK\r\n',
    'HTTP/1.1 099 OK\r\n',
    'HTTP/1.1  200 OK\r\n',
    'http/1.1 200 OK\r\n',
    'ABCDEFGHIJKLMNOPQRSTUVWX / HTTP/1.1\r\n',
    '\r\n',
  ]) {
    assert.equal(read(text), 'refused', JSON.stringify(text));
  }
  assert.equal(read('GET / HTTP/1.1\r\n', KIND_RESPONSE), 'refused');
  assert.equal(read('HTTP/1.1 200 OK\r\n', KIND_REQUEST), 'refused');
});

test('detection by the first bytes', () => {
  const match = (text: string) => matches(Buffer.from(`..${text}`, 'latin1'), 2, text.length + 2);
  for (const text of [
    'GET /',
    'POST *',
    'OPTIONS h',
    'CONNECT e',
    'CONNECT [',
    'CONNECT 1',
    'FOO /',
    'UPDATEREDIRECTREF /',
    'HTTP/1.',
    '\r\n\r\nGET /',
  ]) {
    assert.equal(match(text), 'yes', text);
    assert.equal(match(`${text}more of it`), 'yes', text);
    for (let length = 0; length < text.length; length++) assert.equal(match(text.slice(0, length)), 'more', text);
  }
  for (const text of [
    'get /',
    'GET a',
    'GET  /',
    'FOO *',
    'FOO http',
    'X /',
    'MAIL FROM:',
    'HTTP/2',
    'CONNECT /',
    'PRI * HTTP/2.0\r\n\r\n',
    '\x16\x03\x01',
    '\r\n\r\n\r\nGET /',
    'A'.repeat(18),
  ]) {
    assert.equal(match(text), 'no', text);
  }
});

test('24 bytes always tell', () => {
  const letters = '\r\n -_/*ATGEHP1.';
  let seed = 1;
  for (let round = 0; round < 20000; round++) {
    const bytes = new Uint8Array(24);
    for (let i = 0; i < bytes.length; i++) {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      bytes[i] = letters.charCodeAt((seed >>> 16) % letters.length);
    }
    assert.notEqual(matches(bytes, 0, 24), 'more', Buffer.from(bytes).toString('latin1'));
  }
});

test('every registered method is found, and nothing else', () => {
  METHODS.forEach((method, index) => {
    const bytes = Buffer.from(`(${method})`, 'latin1');
    assert.equal(methodIndex(bytes, 1, bytes.length - 1), index);
  });
  for (const token of ['', 'get', 'GETS', 'GE', 'OTHERS', 'X'.repeat(100)]) {
    assert.equal(methodIndex(Buffer.from(token), 0, token.length), 0);
  }
});
