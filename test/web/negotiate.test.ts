import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acceptsGzip, wantsOpenMetrics } from '../../src/web/negotiate.ts';

test('OpenMetrics only when it is asked for', () => {
  const cases: readonly [accept: string | undefined, openMetrics: boolean][] = [
    // Prometheus 2.50 and 3.0 (scrape/scrape.go)
    [
      'application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,' +
        'text/plain;version=0.0.4;q=0.3,*/*;q=0.2',
      true,
    ],
    [
      'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,' +
        'application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,' +
        'text/plain;version=0.0.4;q=0.2,*/*;q=0.1',
      true,
    ],
    // Only a version that is not written here
    ['application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1', false],
    ['application/openmetrics-text', true],
    ['APPLICATION/OpenMetrics-Text; Version="1.0.0"', true],
    ['application/openmetrics-text;q=0', false],
    ['application/openmetrics-text;q=nonsense', false],
    ['application/openmetrics-text;q=0.2,text/plain;q=0.3', false],
    ['application/openmetrics-text;q=0.2,text/*;q=0.3', false],
    ['text/html,application/xhtml+xml,*/*;q=0.8', false],
    ['*/*', false],
    ['', false],
    [',;,=;q', false],
    [undefined, false],
  ];
  for (const [accept, openMetrics] of cases) assert.equal(wantsOpenMetrics(accept), openMetrics, accept);
});

test('gzip when it is not refused', () => {
  const cases: readonly [acceptEncoding: string | undefined, gzip: boolean][] = [
    ['gzip', true],
    ['GZIP', true],
    ['x-gzip', true],
    ['br, gzip;q=0.1', true],
    ['*', true],
    ['gzip;q=0', false],
    ['gzip;q=0, *', false],
    ['*;q=0', false],
    ['identity', false],
    ['gzipped', false],
    ['', false],
    [undefined, false],
  ];
  for (const [acceptEncoding, gzip] of cases) assert.equal(acceptsGzip(acceptEncoding), gzip, acceptEncoding);
});
