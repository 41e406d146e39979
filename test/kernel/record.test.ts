import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  Exposition,
  h2load,
  makeCertificate,
  PLAINSIGHT,
  run,
  scaled,
  start,
  startNginx,
  temporaryFolder,
  until,
} from './harness.ts';

const REQUESTS = scaled(1000, 200);
const PATHS = ['/ok', '/empty', '/missing', '/error'];

/** The lines about traffic, which a replay prints alone. */
function traffic(text: string): string {
  return text
    .split('\n')
    .filter((line) => /^(# (HELP|TYPE) )?http_/.test(line))
    .join('\n');
}

for (const payload of [[], ['--include-payload']]) {
  test(`a recorded file replays to the metrics of the live run ${payload.join('')}`, async (t) => {
    const folder = temporaryFolder(t);
    const nginx = await startNginx(t, { tls: await makeCertificate(folder) });
    const plain = await startNginx(t, { tls: undefined });
    const capture = join(folder, 'capture');
    const live = join(folder, 'live.txt');
    const record = start(t, PLAINSIGHT, ['record', '--out', capture, '--metrics', live, ...payload]);
    await until('record is attached', () => (record.stderr().includes('recording to') ? true : undefined));
    assert.equal(await h2load(`https://127.0.0.1:${nginx.port}`, PATHS, REQUESTS), REQUESTS);
    assert.equal(await h2load(`http://127.0.0.1:${plain.port}`, PATHS, REQUESTS), REQUESTS);
    assert.deepEqual(await record.stop('SIGINT'), { code: 0, signal: null }, record.stderr());
    const text = readFileSync(live, 'utf8');
    assert.ok(
      new Exposition(text).sum('http_request_duration_seconds_count', { service: 'nginx' }) >= 2 * REQUESTS,
      text,
    );
    const { stdout } = await run(PLAINSIGHT, ['replay', capture, '--metrics'], { maxBuffer: 64 * 1024 * 1024 });
    assert.equal(traffic(stdout), traffic(text));
  });
}
