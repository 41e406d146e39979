import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '../../src/kubernetes/api-error.ts';
import { LineSplitter, ListSplitter, MAX_OBJECT_BYTES } from '../../src/kubernetes/list-splitter.ts';

function split(chunks: readonly Buffer[]): { items: unknown[]; head: unknown } {
  const items: unknown[] = [];
  const splitter = new ListSplitter((text) => items.push(JSON.parse(text)));
  for (const chunk of chunks) splitter.push(chunk);
  return { items, head: splitter.end() };
}

const fails = (problem: string) => (error: unknown) => error instanceof ApiError && error.problem === problem;

const LISTS: readonly object[] = [
  { kind: 'PodList', metadata: { resourceVersion: '7' }, items: [{ a: 1 }, { b: { items: [{}] } }] },
  {
    items: [{ text: 'quoted " [ ] { } \\ and "items": [' }, { 'ä"ö': ['é', '\u2028', '\\'] }],
    metadata: { continue: 'x' },
  },
  { kind: 'List', metadata: { items: [{ not: 'an item' }] }, items: [] },
  { metadata: {}, 'items ': [{ not: 'an item' }], items: [{}] },
  { metadata: { resourceVersion: '1' } },
];

test('items come one by one, wherever the text is cut', () => {
  for (const list of LISTS) {
    const bytes = Buffer.from(JSON.stringify(list, null, list === LISTS[0] ? 2 : 0));
    const { items = [], ...rest } = list as { items?: unknown[] };
    for (let at = 0; at <= bytes.length; at++) {
      const found = split([bytes.subarray(0, at), bytes.subarray(at)]);
      assert.deepEqual(found.items, items);
      assert.deepEqual(found.head, 'items' in list ? { ...rest, items: [] } : rest);
    }
    assert.deepEqual(split([...bytes].map((byte) => Buffer.of(byte))).items, items);
  }
});

test('lists that end early, or are none', () => {
  const text = JSON.stringify(LISTS[0]);
  for (let length = 1; length < text.length; length++) {
    assert.throws(() => split([Buffer.from(text.slice(0, length))]), fails('malformed'));
  }
  for (const wrong of ['', '<html>', '}{', '{"items":[}]', ']]]']) {
    assert.throws(() => split([Buffer.from(wrong)]), fails('malformed'), wrong);
  }
});

test('an item without an end costs no more than its limit', () => {
  const splitter = new ListSplitter(() => assert.fail('no item'));
  splitter.push(Buffer.from('{"items":[{"a":"'));
  const piece = Buffer.alloc(1024 * 1024, 'x');
  assert.throws(() => {
    for (let i = 0; i <= MAX_OBJECT_BYTES / piece.length; i++) splitter.push(piece);
  }, fails('too_large'));
  const lines = new LineSplitter(() => assert.fail('no line'));
  assert.throws(() => {
    for (let i = 0; i <= MAX_OBJECT_BYTES / piece.length; i++) lines.push(piece);
  }, fails('too_large'));
});

test('lines, wherever they are cut', () => {
  const bytes = Buffer.from('{"a":1}\n\n{"ü":2}\n{"c":3}\nrest');
  for (let at = 0; at <= bytes.length; at++) {
    const lines: string[] = [];
    const splitter = new LineSplitter((line) => lines.push(line));
    splitter.push(bytes.subarray(0, at));
    splitter.push(bytes.subarray(at));
    assert.deepEqual(lines, ['{"a":1}', '{"ü":2}', '{"c":3}']);
  }
});
