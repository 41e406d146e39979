import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatListen, parseListen } from '../../src/web/address.ts';

test('addresses that can be listened on', () => {
  const cases: readonly [text: string, host: string | undefined, port: number][] = [
    ['127.0.0.1:9090', '127.0.0.1', 9090],
    ['0.0.0.0:1', '0.0.0.0', 1],
    ['localhost:0', 'localhost', 0],
    ['node-1.example_x.org:65535', 'node-1.example_x.org', 65535],
    ['[::1]:9090', '::1', 9090],
    ['[::]:9090', '::', 9090],
    ['[fe80::1%eth0]:9090', 'fe80::1%eth0', 9090],
    [':9090', undefined, 9090],
  ];
  for (const [text, host, port] of cases) {
    assert.deepEqual(parseListen(text), { host, port }, text);
    assert.equal(formatListen({ host, port }), text);
  }
});

test('everything else is refused with what to give instead', () => {
  const wrong = ['', '9090', ':', '127.0.0.1', '127.0.0.1:', 'a:65536', 'a:123456', 'a:-1', 'a:1.5', 'a: 1', 'a:0x50'];
  const wrongHosts = [
    '::1:9090',
    '[::1]',
    '[]:1',
    '[x]:1',
    '[127.0.0.1]:1',
    'a b:1',
    'http://a:1',
    'a:1/',
    'a:1\n',
    '[::1]:1]:1',
  ];
  for (const text of [...wrong, ...wrongHosts]) {
    assert.throws(
      () => parseListen(text),
      {
        name: 'PlainsightError',
        code: 'USAGE',
        message: `Cannot listen on ${JSON.stringify(text)}: give HOST:PORT, such as 127.0.0.1:9090, [::1]:9090 or :9090.`,
      },
      text,
    );
  }
});
