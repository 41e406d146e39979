/** The first-bytes filter (bpf/filter.h) against a reference that is written from its description, not from its table. */

import assert from 'node:assert/strict';
import { METHODS } from 'node:http';
import { test } from 'node:test';
import { pick, random, runHost, seed } from './host.ts';

type Verdict = 'A' | 'H' | 'R' | 'P';

const FILTER_BYTES = 24;
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const EXTENSION_METHODS = [
  'ABC',
  'X-TENSION',
  'AAAAAAAAAAAAAAA',
  'CONNECTION',
  'HTTPS',
  'HTT',
  'PRIVATE',
  'PR-',
  'C--',
];

/** Of all that has been seen since the last decision. */
function judge(text: string): Verdict {
  const line = text.replace(/^[\r\n]+/, '');
  if (line === '') return 'R';
  if (/^HTTP\/1\./.test(line)) return 'A';
  if (line.startsWith(PREFACE)) return 'H';
  if (PREFACE.startsWith(line)) return 'P';
  const request = /^([A-Z][A-Z-]{2,14}) (.*)$/s.exec(line);
  if (request) {
    const [, method, target] = request as unknown as [string, string, string];
    if (method === 'PRI') return 'R';
    if (method === 'CONNECT') return target === '' ? 'P' : 'A';
    if (/^(\/|\*|http)/.test(target)) return 'A';
    return 'http'.startsWith(target) ? 'P' : 'R';
  }
  return /^[A-Z][A-Z-]{0,14}$/.test(line) || 'HTTP/1.'.startsWith(line) ? 'P' : 'R';
}

function reference(pieces: readonly Buffer[]): Verdict[] {
  let pending = '';
  return pieces.map((piece) => {
    const text = pending + piece.toString('latin1', 0, FILTER_BYTES);
    const verdict = judge(text);
    pending = verdict === 'P' ? text : '';
    return verdict;
  });
}

function check(cases: readonly (readonly Buffer[])[]): Verdict[][] {
  const results = runHost(cases.map((pieces) => `filter ${pieces.map((piece) => piece.toString('hex')).join(' ')}`));
  const verdicts = results.map(({ values }) => values as Verdict[]);
  for (const [index, pieces] of cases.entries()) {
    const expected = reference(pieces);
    if (expected.join() !== verdicts[index]!.join())
      assert.deepEqual(verdicts[index], expected, JSON.stringify(pieces.map((piece) => piece.toString('latin1'))));
  }
  return verdicts;
}

const bytes = (text: string) => Buffer.from(text, 'latin1');

/** Whole, and cut in two at every byte. */
function everyCut(text: string): Buffer[][] {
  const whole = bytes(text);
  return [
    [whole],
    ...Array.from({ length: whole.length - 1 }, (_, at) => [whole.subarray(0, at + 1), whole.subarray(at + 1)]),
  ];
}

const byteByByte = (text: string) => Array.from(text, bytes);

test('every method with every form of target is accepted, cut at every byte', () => {
  assert.ok(METHODS.length > 30);
  const cases: Buffer[][] = [];
  for (const method of [...METHODS, ...EXTENSION_METHODS]) {
    for (const target of ['/', '/index.html HTTP/1.1', '*', 'http://host/', 'https://host/']) {
      cases.push(...everyCut(`${method} ${target}`), byteByByte(`${method} ${target}`));
    }
  }
  for (const [index, verdicts] of check(cases).entries()) assert.ok(verdicts.includes('A'), cases[index]!.join('|'));
  for (const pieces of check([...everyCut('CONNECT host:443 HTTP/1.1'), byteByByte('CONNECT h')])) {
    assert.ok(pieces.includes('A'));
  }
});

test('responses of HTTP/1 are accepted, cut at every byte; others are not', () => {
  for (const line of ['HTTP/1.1 200 OK', 'HTTP/1.0 404 Not Found', 'HTTP/1.1 100 Continue', 'HTTP/1.x']) {
    assert.ok(
      check([...everyCut(line), byteByByte(line)]).every((pieces) => pieces.includes('A')),
      line,
    );
  }
  for (const line of ['HTTP/2 200', 'HTTP/3', 'HTTP/11', 'HTTP1.1', 'http/1.1 200', 'HTTP /1', 'HTTP/0.9']) {
    const accepted = check([...everyCut(line), byteByByte(line)])
      .flat()
      .includes('A');
    assert.equal(accepted, line === 'HTTP /1', line);
  }
});

test('line ends before a start line are passed over', () => {
  for (const line of ['\r\nGET / HTTP/1.1', '\nHTTP/1.1 200 OK', '\r\n\r\nPOST * HTTP/1.1', '\r\rPUT http://h/']) {
    assert.ok(
      check([...everyCut(line), byteByByte(line)]).every((pieces) => pieces.includes('A')),
      line,
    );
  }
  assert.deepEqual(check([[bytes('\r\n'), bytes('\n'), bytes('GET /')]]), [['R', 'R', 'A']]);
});

test('the preface of HTTP/2 is found, cut at every byte, and nothing less of it', () => {
  for (const pieces of check([...everyCut(PREFACE), byteByByte(PREFACE), [bytes(`${PREFACE}\0\0\0\x04`)]])) {
    assert.equal(pieces.at(-1), 'H');
    assert.ok(pieces.slice(0, -1).every((verdict) => verdict === 'P'));
  }
  for (let at = 0; at < PREFACE.length; at++) {
    const other = `${PREFACE.slice(0, at)}x${PREFACE.slice(at + 1)}`;
    assert.ok(
      !check([[bytes(other)]])
        .flat()
        .includes('H'),
      JSON.stringify(other),
    );
  }
});

test('other protocols are refused', () => {
  const binary = (hex: string) => Buffer.from(hex, 'hex').toString('latin1');
  const others = [
    'PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n',
    'PRI /',
    binary('1603010200010001fc0303'), // TLS: ClientHello
    binary('1703030020aabbcc'), // TLS: application data
    '220 mail.example ESMTP\r\n',
    'EHLO mail.example\r\n',
    'MAIL FROM:<a@example>\r\n',
    '*3\r\n$3\r\nSET\r\n$1\r\na\r\n', // Redis
    '+OK\r\n',
    '$-1\r\n',
    binary('0000004700030000757365720061000000'), // PostgreSQL: start-up
    `${binary('51000000')}SELECT 1\0`,
    binary('4a0000000a382e302e33360008000000'), // MySQL: greeting
    `${binary('0300000003')}SELECT 1`,
    'get key\r\n', // memcached
    'VALUE key 0 5\r\n',
    binary('80000001000000000000'),
    'SSH-2.0-OpenSSH_9.2\r\n',
    'GET key\r\n',
    'SELECT 1;',
    'AB /',
    'AAAAAAAAAAAAAAAA /',
    '-AB /',
    'GET  /',
    'Get /',
    'GET hxtp://',
    'GET\t/',
    'CONNECT\r\n',
    '',
  ];
  for (const [index, verdicts] of check(others.map((other) => [bytes(other)])).entries()) {
    assert.deepEqual(verdicts, ['R'], JSON.stringify(others[index]));
  }
  check(others.filter((other) => other !== '').flatMap((other) => [...everyCut(other), byteByByte(other)]));
});

test('only the first bytes of a chunk count', () => {
  check([
    [bytes(`${'\r\n'.repeat(10)}GET /`)],
    [bytes(`${'\n'.repeat(23)}G`), bytes('ET /')],
    [bytes(`${'\n'.repeat(24)}GET /`)],
    [bytes(`${'\n'.repeat(9)}AAAAAAAAAAAAAAA http://`)],
    [bytes('xGET / HTTP/1.1')],
  ]);
});

test('100,000 random inputs are judged as the reference judges them', () => {
  seed(20240817);
  const words = [
    'GET',
    'PRI',
    'HTTP',
    'CONNECT',
    'CONN',
    '/1.',
    '/',
    '*',
    ' ',
    '-',
    '\r\n',
    'http',
    'ht',
    '1',
    '.',
    'H',
    'T',
    'P',
  ];
  const lines = [
    'GET / HTTP/1.1',
    'HTTP/1.1 200 OK',
    'CONNECT h:1',
    PREFACE,
    '\r\nM-SEARCH * HTTP/1.1',
    'PUT http://h/',
  ];
  const start = () => {
    const line = pick(lines);
    const at = random(line.length);
    return random(2) ? line : line.slice(0, at) + pick(words) + line.slice(at + random(2));
  };
  const noise = () =>
    Array.from({ length: random(5) + 1 }, () => (random(3) ? pick(words) : String.fromCharCode(random(256)))).join('');
  const cases = Array.from({ length: 100_000 }, () => {
    const whole = bytes(random(3) ? start() : noise());
    const cuts = [random(whole.length + 1), random(whole.length + 1)].sort((a, b) => a - b).slice(random(3));
    return [0, ...cuts].map((from, index) => whole.subarray(from, cuts[index] ?? whole.length));
  });
  const verdicts = check(cases).flat();
  for (const verdict of ['A', 'H', 'R', 'P'] as const) {
    assert.ok(verdicts.filter((each) => each === verdict).length > 2_000, `the inputs reach ${verdict}`);
  }
});

test('a TLS record is of one of four types and of version 3.1 to 3.4', () => {
  const cases: [string, boolean][] = [];
  for (const type of [0x00, 0x14, 0x15, 0x16, 0x17, 0x18, 0x47, 0xff]) {
    for (const major of [0, 2, 3, 4, 0xff]) {
      for (const minor of [0, 1, 2, 3, 4, 5, 0xff]) {
        const record = type >= 0x14 && type <= 0x17 && major === 3 && minor >= 1 && minor <= 4;
        cases.push([Buffer.from([type, major, minor, 0, 5]).toString('hex'), record]);
      }
    }
  }
  cases.push(['160301', true], ['1603', false], ['16', false], ['', false]);
  const results = runHost(cases.map(([hex]) => `tls_record ${hex}`));
  assert.deepEqual(
    results.map(({ values }) => values[0]),
    cases.map(([, record]) => (record ? '1' : '0')),
  );
});

test('a chunked body ends, or is cut in its terminator, behind a line end or a zero', () => {
  const all = Array.from({ length: 256 }, (_, byte) => byte);
  const results = runHost(all.map((byte) => `may_end ${byte}`));
  assert.deepEqual(
    all.filter((byte) => results[byte]!.values[0] === '1'),
    [...'\n\r0'].map((letter) => letter.charCodeAt(0)).sort((a, b) => a - b),
  );
});
