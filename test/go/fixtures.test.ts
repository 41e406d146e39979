/** The server and the client of fixtures/go count the same, with all that they can be asked to do at once. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { must } from '../vm/host.ts';
import { buildGo } from './programs.ts';
import { GoServer } from './server.ts';
import { goToolchain } from './toolchains.ts';

const PLAIN = { variant: 'plain', stripped: false } as const;

const WRAPPED = ['own', 'embedded', 'relay'].map((kind) => [`-wrap=${kind}`]);

for (const flags of [[], ['-plain'], ['-http2'], ...WRAPPED, ['-wrap=tls'], ['-collect', '-deepen=2000']]) {
  test(`server ${flags.join(' ') || 'without flags'}`, async () => {
    const toolchain = await goToolchain('1.27');
    const client = await buildGo(toolchain, 'client', PLAIN);
    const server = await GoServer.start(await buildGo(toolchain, 'server', PLAIN), flags);
    const scheme = flags.includes('-plain') ? 'http' : 'https';
    const asked = [
      '-requests=400',
      '-connections=10',
      ...flags.filter((flag) => flag !== '-plain' && !flag.startsWith('-wrap')),
      ...(flags.includes('-wrap=tls') ? ['-tunnel'] : []),
    ];
    const output = await must(client, [`-url=${scheme}://${server.address}`, ...asked]);
    const counted = JSON.parse(output) as Record<string, number>;
    assert.deepEqual(await server.stop(), counted);
    assert.equal(
      Object.values(counted).reduce((sum, count) => sum + count, 0),
      400,
    );
    assert.equal(Object.keys(counted).length, 35);
    assert.equal(server.log, '');
  });
}

test('a stopped server is gone', async () => {
  const server = await GoServer.start(await buildGo(await goToolchain('1.27'), 'server', PLAIN), []);
  const closed = once(server.process, 'close');
  assert.deepEqual(await server.stop(), {});
  await closed;
});
