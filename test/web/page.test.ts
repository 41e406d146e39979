/** The parts of the page that need no browser, and the files that it is served as. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { LOSS_STAGES } from '../../src/metrics/self.ts';
import { fromRoot } from '../../src/root.ts';
import { TLS_REASONS } from '../../src/tls/library.ts';
import * as explanations from '../../src/web/page/explanations.ts';
import {
  formatBound,
  formatBytes,
  formatDuration,
  formatNumber,
  formatShare,
  formatUptime,
} from '../../src/web/page/format.ts';
import { layOut, linkKey } from '../../src/web/page/map-layout.ts';
import { readPage } from '../../src/web/page-files.ts';

describe('numbers', () => {
  test('rates', () => {
    const texts = [0, 0.004, 0.25, 3.456, 42.31, 420.4, 12_345].map(formatNumber);
    assert.deepEqual(texts, ['0', '< 0.01', '0.25', '3.46', '42.3', '420', '12,345']);
  });

  test('shares: some is never none, nearly all is never all', () => {
    const texts = [0, 0.00001, 0.0042, 0.023, 0.23, 0.995, 0.99999, 1].map(formatShare);
    assert.deepEqual(texts, ['0 %', '< 0.01 %', '0.42 %', '2.3 %', '23 %', '99.5 %', '99.9 %', '100 %']);
  });

  test('durations', () => {
    const texts = [null, 0.00042, 0.0042, 0.042, 0.42, 1.234, 12.34].map((value) => formatDuration(value));
    assert.deepEqual(texts, ['–', '0.42 ms', '4.20 ms', '42.0 ms', '420 ms', '1.23 s', '12.3 s']);
    assert.equal(formatDuration(10, 10), '> 10 s');
    assert.deepEqual([0.0025, 0.25, 2.5].map(formatBound), ['2.5 ms', '250 ms', '2.5 s']);
  });

  test('sizes and times', () => {
    assert.deepEqual([0, 1023, 2048, 68_000_000].map(formatBytes), ['0 B', '1,023 B', '2.00 KiB', '64.8 MiB']);
    assert.deepEqual([5, 65, 3_700, 200_000].map(formatUptime), ['5 s', '1 min 5 s', '1 h 1 min', '2 d 7 h']);
  });
});

describe('the layout of the service map', () => {
  const link = (client: string, server: string) => ({ client, server });
  const columnsOf = (nodes: string[], links: { client: string; server: string }[]) => {
    const { places } = layOut(nodes, links);
    return Object.fromEntries(nodes.map((node) => [node, places.get(node)?.column]));
  };

  test('callers are left of what they call, by the longest way', () => {
    const links = [link('web', 'api'), link('api', 'pay'), link('web', 'pay')];
    assert.deepEqual(columnsOf(['api', 'pay', 'web'], links), { web: 0, api: 1, pay: 2 });
  });

  test('a line that passes a column has a place there that no box has', () => {
    const links = [link('web', 'api'), link('api', 'pay'), link('web', 'pay')];
    const { places, passes, columns } = layOut(['api', 'pay', 'web'], links);
    const [pass] = passes.get(linkKey(link('web', 'pay')))!;
    assert.equal(pass?.column, 1);
    assert.notEqual(pass?.row, places.get('api')?.row);
    assert.deepEqual(columns, [1, 2, 1]);
  });

  test('cycles and calls to oneself end', () => {
    const links = [link('a', 'b'), link('b', 'c'), link('c', 'a'), link('a', 'a')];
    assert.deepEqual(columnsOf(['a', 'b', 'c'], links), { a: 0, b: 1, c: 2 });
  });

  test('is the same whatever the order', () => {
    const links = [link('a', 'c'), link('b', 'c'), link('a', 'd')];
    const there = layOut(['a', 'b', 'c', 'd'], links);
    const back = layOut(['d', 'c', 'b', 'a'], links);
    assert.deepEqual([...there.places].sort(), [...back.places].sort());
  });

  test('no two boxes are in one place', () => {
    const nodes = Array.from({ length: 30 }, (_, index) => `n${index}`);
    const links = nodes.flatMap((client, index) => [1, 2, 5].map((by) => link(client, `n${(index * by + by) % 30}`)));
    const { places } = layOut(nodes, links);
    const taken = [...places.values()].map(({ column, row }) => `${column} ${row}`);
    assert.equal(new Set(taken).size, nodes.length);
  });
});

describe('explanations', () => {
  test('there is one for each reason and stage, and for nothing else', () => {
    assert.deepEqual(Object.keys(explanations.TLS_REASONS).sort(), [...TLS_REASONS].sort());
    assert.deepEqual(Object.keys(explanations.LOSS_STAGES).sort(), [...LOSS_STAGES].sort());
    const source = readFileSync(fromRoot('src/metrics/http-requests.ts'), 'utf8');
    const reasons = /const REASON_IDS[^{]*\{([^}]*)\}/.exec(source)?.[1] ?? '';
    const names = [...reasons.matchAll(/(\w+):/g)].map(([, name]) => name);
    assert.deepEqual(Object.keys(explanations.INCOMPLETE_REASONS).sort(), names.sort());
  });
});

describe('the files', () => {
  test('the page has a strict policy, what has a hash in its name may be kept', (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'plainsight-page-'));
    t.after(() => rmSync(folder, { recursive: true }));
    mkdirSync(join(folder, 'assets'));
    writeFileSync(join(folder, 'index.html'), '<!doctype html>');
    writeFileSync(join(folder, 'assets/x-1.js'), 'let a;');
    writeFileSync(join(folder, 'assets/x-1.js.map'), '{}');
    const files = readPage(folder);
    assert.deepEqual([...files.keys()].sort(), ['/', '/assets/x-1.js']);
    const policy = files.get('/')!.headers['Content-Security-Policy']!;
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe|data:|https?:|\*/);
    const script = files.get('/assets/x-1.js')!;
    assert.equal(script.contentType, 'text/javascript; charset=utf-8');
    assert.match(script.headers['Cache-Control']!, /immutable/);
    assert.equal(gunzipSync(script.gzip).toString(), 'let a;');
  });

  test('without a build the page says so', () => {
    const files = readPage(fromRoot('build/no-such-folder'));
    assert.match(files.get('/')!.plain.toString(), /npm run build/);
  });

  test('what was built has no inline code and nothing from elsewhere', () => {
    const page = readPage(fromRoot('build/web')).get('/')!.plain.toString();
    assert.match(page, /<script type="module"/);
    assert.doesNotMatch(page, /<script(?![^>]*\ssrc="\.\/)|<style| style=| on\w+=|https?:|data:/i);
  });
});
