import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  h2load,
  IS_SLOW,
  makeCertificate,
  PLAINSIGHT,
  scaled,
  start,
  startNginx,
  startPythonServer,
  temporaryFolder,
  until,
} from './harness.ts';

/** nginx rounds to 1 ms, and looks at its clock once for all events of a turn. */
const CLOCKS_MS = IS_SLOW ? 100 : 5;
const REQUESTS = scaled(100, 30);
/** At once: the more of them, the longer is a turn. */
const CONNECTIONS = IS_SLOW ? 2 : 10;

test('a request that takes 300 ms is measured as nginx measures it', async (t) => {
  const upstream = await startPythonServer(t, undefined);
  const tls = await makeCertificate(temporaryFolder(t));
  const nginx = await startNginx(t, {
    tls,
    locations: `location /slow { proxy_pass http://127.0.0.1:${upstream.port}/sleep/300; }`,
  });
  const tail = start(t, PLAINSIGHT, ['tail', '--json', '--tls', '--socket-source', 'off']);
  await until('tail is attached', async () => {
    await h2load(`https://127.0.0.1:${nginx.port}`, ['/empty'], 8);
    return tail.stdout().includes('"service":"nginx"') || undefined;
  });
  await h2load(`https://127.0.0.1:${nginx.port}`, ['/slow'], REQUESTS, '-c', String(CONNECTIONS));
  const measured = await until('the transactions', () => {
    const lines = tail
      .stdout()
      .trim()
      .split('\n')
      .filter((line) => line.endsWith('}'));
    const slow = lines
      .map((line) => JSON.parse(line))
      .filter(({ service, status }) => service === 'nginx' && status === 200);
    return slow.length >= REQUESTS ? slow : undefined;
  });
  const logged = (await nginx.accessLog())
    .filter((line) => line.startsWith('GET 200'))
    .map((line) => Number(line.split(' ')[2]));
  assert.equal(measured.length, REQUESTS);
  assert.equal(logged.length, REQUESTS);
  // In the order of their lengths the two lists pair each request with itself, or with one that took as long.
  const ours = measured.map(({ durationNs }) => durationNs / 1e6).sort((a, b) => a - b);
  const theirs = logged.map((seconds) => seconds * 1000).sort((a, b) => a - b);
  const differences = ours.map((ms, i) => Math.abs(ms - theirs[i]!));
  t.diagnostic(`largest difference ${Math.max(...differences).toFixed(3)} ms`);
  assert.ok(
    differences.every((ms) => ms <= CLOCKS_MS),
    `differences in ms: ${differences.map((ms) => ms.toFixed(2)).join(' ')}`,
  );
});
