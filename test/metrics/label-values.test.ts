import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { labelValue } from '../../src/metrics/family.ts';
import { Metrics } from '../../src/metrics/metrics.ts';
import { owner, transaction } from './traffic.ts';

const build = { version: '0.0.0', kernel: '6.1.0', arch: 'x86_64' };

/** The text between the quotes of `service` in the first _count line. */
async function exposedService(service: string, openMetrics: boolean): Promise<string | undefined> {
  const metrics = new Metrics({ build });
  metrics.transaction(transaction({ owner: owner({ service }) }));
  const { body } = await metrics.render(openMetrics);
  return /_count\{[^\n]*service="((?:\\.|[^"\\\n])*)",method="GET",status="200",scheme="http"\} 1\n/.exec(body)?.[1];
}

describe('hostile names', () => {
  const cases: readonly [what: string, name: string, exposed: string][] = [
    ['quotes', 'a"} 1', 'a\\"} 1'],
    ['backslash', 'a\\', 'a\\\\'],
    ['backslash and quote', 'a\\"b', 'a\\\\\\"b'],
    ['newline', 'a\n# EOF\nb', 'a\\n# EOF\\nb'],
    ['carriage return', 'a\rb', 'a\ufffdb'],
    ['NUL', 'a\0b', 'a\ufffdb'],
    ['escape sequence', '\x1b[31mred', '\ufffd[31mred'],
    ['C1 control', 'a\x85b', 'a\ufffdb'],
    ['unicode', 'größe-服务-🚀', 'größe-服务-🚀'],
    ['half of a pair', 'a\ud83db', 'a\ufffdb'],
    ['200 characters', 'x'.repeat(200), 'x'.repeat(128)],
    ['a pair at the cut', `${'x'.repeat(127)}🚀`, `${'x'.repeat(127)}\ufffd`],
    ['prototype', '__proto__', '__proto__'],
    ['empty', '', ''],
  ];
  for (const [what, name, exposed] of cases) {
    test(what, async () => {
      assert.equal(await exposedService(name, false), exposed);
      assert.equal(await exposedService(name, true), exposed);
    });
  }

  test('names that are equal after cleaning are one series', async () => {
    const metrics = new Metrics({ build });
    metrics.transaction(transaction({ owner: owner({ service: 'a\0' }) }));
    metrics.transaction(transaction({ owner: owner({ service: 'a\x01' }) }));
    const { body } = await metrics.renderTraffic();
    assert.deepEqual(
      body.split('\n').filter((line) => line.includes('_count{')),
      [
        'http_request_duration_seconds_count{namespace="",pod="",container="",service="a\ufffd",method="GET",status="200",scheme="http"} 2',
      ],
    );
  });

  test('the name of a pod is kept whole', () => {
    assert.equal(labelValue('pod', 'p'.repeat(253)), 'p'.repeat(253));
    assert.equal(labelValue('pod', 'p'.repeat(300)), 'p'.repeat(253));
  });
});
