import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frame, type GraphEdge, readExposition, type View } from '../../src/cli/top-table.ts';

function exposition(service: string, role: '' | 'client_', status: number, counts: readonly number[]): string {
  const labels = `namespace="",pod="",container="",service="${service}",method="GET",status="${status}",scheme="http"`;
  const name = `http_${role}request_duration_seconds`;
  const bounds = ['0.01', '0.1', '+Inf'];
  const lines = counts.map((count, i) => `${name}_bucket{le="${bounds[i]}",${labels}} ${count}`);
  return [...lines, `${name}_sum{${labels}} 1`, `${name}_count{${labels}} ${counts.at(-1)}`].join('\n');
}

const VIEW: View = { sort: 'requests', edges: false, color: false, width: 80, height: 24 };
const EDGES: readonly GraphEdge[] = [
  { client: 'shop', server: 'stock', rate: 12, errorRate: 3, bytesPerSecond: 2_500_000, p50: 0.002, p99: 1.5 },
  { client: 'a'.repeat(90), server: 'b\u001b[2J', rate: 0, errorRate: 0, bytesPerSecond: 0, p50: null, p99: null },
];

const before = readExposition(exposition('nginx', '', 200, [10, 10, 10]), 0);
const now = readExposition(
  [
    exposition('nginx', '', 200, [10, 30, 30]),
    exposition('nginx', '', 502, [0, 20, 20]),
    exposition('curl', 'client_', 200, [100, 100, 100]),
  ].join('\n'),
  2000,
);

test('services: what happened between two readings', () => {
  assert.deepEqual(
    frame(VIEW, now, before, []).map((line) => line.trim().split(/ +/)),
    [
      ['SERVICE', 'ROLE', 'REQ/S', 'ERRORS', 'P50', 'P99'],
      ['curl', 'client', '50.0', '-', '5.0ms', '9.9ms'],
      ['nginx', 'server', '20.0', '50.0%', '55.0ms', '99.1ms'],
      'sorted by requests; e: edges, s: sort, q: quit'.split(' '),
    ],
  );
});

test('edges, in the order that was asked for', () => {
  const lines = frame({ ...VIEW, edges: true, sort: 'name' }, now, before, EDGES);
  assert.deepEqual(lines[2]?.trim().split(/ +/), ['shop', 'stock', '12.0', '25.0%', '2.0ms', '1.50s', '2.5MB']);
});

for (const width of [40, 80, 200]) {
  test(`no line is wider than ${width} characters, and nothing controls the terminal`, () => {
    for (const edges of [false, true]) {
      for (const line of frame({ ...VIEW, edges, width }, now, before, EDGES)) {
        assert.ok(line.length <= width, line);
        assert.doesNotMatch(line, /\p{Cc}/u);
      }
    }
  });
}

test('colour only where it is wanted; what does not fit below is said', () => {
  const colored = frame({ ...VIEW, color: true }, now, before, []);
  assert.ok(colored.some((line) => line.startsWith('\u001b[31mnginx') && line.endsWith('\u001b[0m')));
  assert.match(frame({ ...VIEW, height: 3 }, now, before, []).at(-1) ?? '', /1 more below/);
});
