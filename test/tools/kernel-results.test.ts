import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kernelsDocument, type RowReport, readmeWith, statsTable, summaryTable } from '../vm/report.ts';
import { parseFeatures, parseStats, parseTap } from '../vm/results.ts';

const TAP = `TAP version 13
# Subtest: nginx, https: 500 requests
ok 1 - nginx, https: 500 requests
  ---
  duration_ms: 215.4
  ...
# Subtest: a suite
    # Subtest: inner \\# 1
    not ok 1 - inner \\# 1
      ---
      duration_ms: 3
      error: 'no'
      ...
    1..1
not ok 2 - a suite
  ---
  duration_ms: 4
  type: 'suite'
  ...
# Subtest: left out
ok 3 - left out # SKIP not here
  ---
  duration_ms: 1
  ...
`;

test('tests of a TAP report: suites are not counted, escapes are undone', () => {
  assert.deepEqual(parseTap(TAP), [
    { name: 'nginx, https: 500 requests', outcome: 'passed' },
    { name: 'inner # 1', outcome: 'failed' },
    { name: 'left out', outcome: 'skipped' },
  ]);
});

test('a report that was cut gives what came before', () => {
  assert.deepEqual(parseTap(TAP.slice(0, TAP.indexOf('# Subtest: a suite'))), [
    { name: 'nginx, https: 500 requests', outcome: 'passed' },
  ]);
  assert.deepEqual(parseTap(''), []);
  assert.deepEqual(parseStats('{"object":"a.bpf.o"}\n{"obj'), [{ object: 'a.bpf.o' }]);
});

test('features of an exposition', () => {
  const text = `# TYPE plainsight_feature_enabled gauge
plainsight_feature_enabled{feature="tls",reason="ok"} 1
plainsight_feature_enabled{feature="socket",reason="unsupported"} 0
`;
  assert.deepEqual(parseFeatures(text), [
    { name: 'tls', reason: 'ok', enabled: true },
    { name: 'socket', reason: 'unsupported', enabled: false },
  ]);
});

const PROGRAM = { object: 'tls.bpf.o', section: 'uprobe', compiled: 9, error: null };
const ROWS: readonly RowReport[] = [
  {
    name: '5.10',
    architecture: 'amd64',
    release: '5.10.0-1-amd64',
    notRun: undefined,
    problems: [],
    findings: {
      programs: [
        { ...PROGRAM, program: 'a', state: 'loaded', instructions: 12, stackBytes: 8 },
        { ...PROGRAM, program: 'b', state: 'unavailable', instructions: null, stackBytes: null },
        { ...PROGRAM, program: 'c', state: 'refused', instructions: null, stackBytes: null },
      ],
      doctor: 1,
      features: [
        { name: 'tls', reason: 'ok', enabled: true },
        { name: 'uprobe_multi', reason: 'unsupported', enabled: false },
        { name: 'socket', reason: 'unsupported', enabled: false },
        { name: 'syscall', reason: 'ok', enabled: true },
      ],
      tests: [{ name: 'one', outcome: 'passed' }],
    },
  },
  {
    name: 'sid',
    architecture: 'amd64',
    release: undefined,
    notRun: 'the archive is away',
    problems: [],
    findings: { programs: [], doctor: undefined, features: [], tests: [] },
  },
];

test('the document says what ran, by which front end, and what did not', () => {
  const text = kernelsDocument(ROWS);
  assert.ok(
    text.includes(
      '| 5.10 | 5.10.0-1-amd64 | amd64 | 1 of 2 | perf-event uprobes | system calls | degraded | 1 passed, 0 failed |\n' +
        '| sid |  | amd64 | not run |  |  |  |  |\n',
    ),
    text,
  );
  assert.ok(text.endsWith('| test | 5.10 | sid |\n| --- | --- | --- |\n| one | passed | not run |\n'), text);
});

test('figures of the verifier, a line per program', () => {
  assert.equal(
    statsTable(ROWS),
    `| program | 5.10 | sid |
| --- | --- | --- |
| tls.bpf.o a | 12 (8 B) | not run |
| tls.bpf.o b | unavailable | not run |
| tls.bpf.o c | refused | not run |`,
  );
});

test('the README gets the table between its marks, and nothing else changes', () => {
  const readme = 'before\n<!-- kernels -->\nold\n<!-- /kernels -->\nafter\n';
  const link = '[Each test](test/kernels.md).';
  const block = `<!-- kernels -->\n${summaryTable(ROWS)}\n\n${link}\n<!-- /kernels -->`;
  assert.equal(readmeWith(readme, ROWS), `before\n${block}\nafter\n`);
  assert.equal(readmeWith(readmeWith(readme, ROWS), ROWS), readmeWith(readme, ROWS));
  assert.throws(() => readmeWith('no marks', ROWS), /<!-- kernels -->/);
});
