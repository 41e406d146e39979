import assert from 'node:assert/strict';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  IS_SLOW,
  makeCertificate,
  run,
  scaled,
  startAgent,
  startNginx,
  startPythonServer,
  temporaryFolder,
  until,
} from './harness.ts';

/** Without the connection and the handshake, which are before the request. */
const FORMAT = '%{http_code} %{time_pretransfer} %{time_total}';

function parseCurl(stdout: string): { status: string; seconds: number } {
  const [status = '', pretransfer, total] = stdout.split(' ');
  return { status, seconds: Number(total) - Number(pretransfer) };
}
const DOWNLOAD_BYTES = scaled(2 ** 30, 64 * 2 ** 20);
const UPLOAD_BYTES = scaled(100_000_000, 10_000_000);
const MEBIBYTES = Math.round(DOWNLOAD_BYTES / 2 ** 20);
const MEGABYTES = Math.round(UPLOAD_BYTES / 1e6);
/** curl counts until its own loop has seen the end. */
const CLOCKS_SECONDS = IS_SLOW ? 0.2 : 0.02;

function assertTook(seconds: number, curl: number): void {
  assert.ok(Math.abs(seconds - curl) < 0.05 * curl + CLOCKS_SECONDS, `${seconds} s, curl says ${curl} s`);
}

for (const scheme of ['https', 'http'] as const) {
  test(`${scheme}: a download of ${MEBIBYTES} MiB is one transaction, as long as the client says, and hardly copied`, async (t) => {
    const tls = scheme === 'https' ? await makeCertificate(temporaryFolder(t)) : undefined;
    const nginx = await startNginx(t, { tls, locations: 'location /big { sendfile on; }' });
    writeFileSync(join(nginx.folder, 'big'), '');
    truncateSync(join(nginx.folder, 'big'), DOWNLOAD_BYTES);
    const agent = await startAgent(t);
    const url = `${scheme}://127.0.0.1:${nginx.port}/big`;
    const { stdout } = await run('curl', ['-sk', '-o', '/dev/null', '-w', FORMAT, url]);
    const { status, seconds } = parseCurl(stdout);
    assert.equal(status, '200');
    const expected = new Map([['GET 200', 1]]);
    const labels = { service: 'nginx', scheme };
    const server = await agent.expect('server', labels, expected);
    const client = await agent.expect('client', { service: 'curl', scheme }, expected);
    t.diagnostic(`curl ${seconds} s, server ${server.sum('http_request_duration_seconds_sum', labels)} s`);
    t.diagnostic(`client ${client.sum('http_client_request_duration_seconds_sum', { service: 'curl' })} s`);
    const took = client.sum('http_client_request_duration_seconds_sum', { service: 'curl', scheme });
    assertTook(took, seconds);
    const captured = client.sum('plainsight_captured_bytes_total');
    t.diagnostic(`captured ${captured} bytes on both sides`);
    assert.ok(captured <= 2 * 65536, `${captured} bytes were copied`);
    assert.equal(client.lost(), 0);
  });

  test(`${scheme}: an upload of ${MEGABYTES} MB is one transaction, and hardly copied`, async (t) => {
    const folder = temporaryFolder(t);
    const tls = scheme === 'https' ? await makeCertificate(folder) : undefined;
    const server = await startPythonServer(t, tls);
    writeFileSync(join(folder, 'upload'), Buffer.alloc(UPLOAD_BYTES, 0xa7));
    const agent = await startAgent(t);
    const url = `${scheme}://127.0.0.1:${server.port}/status/201`;
    const { stdout } = await run('curl', ['-sk', '-T', join(folder, 'upload'), '-o', '/dev/null', '-w', FORMAT, url]);
    const { status, seconds } = parseCurl(stdout);
    assert.equal(status, '201');
    const exposition = await agent.expect('client', { service: 'curl', scheme }, new Map([['PUT 201', 1]]));
    await until('the server side is counted', async () => {
      const name = 'http_request_duration_seconds_count';
      return (await agent.scrape()).sum(name, { method: 'PUT', status: '201', scheme }) === 1 || undefined;
    });
    const took = exposition.sum('http_client_request_duration_seconds_sum', { service: 'curl', scheme });
    t.diagnostic(`curl ${seconds} s, client ${took} s`);
    assertTook(took, seconds);
    const captured = exposition.sum('plainsight_captured_bytes_total');
    t.diagnostic(`captured ${captured} bytes on both sides`);
    assert.ok(captured <= 2 * 65536, `${captured} bytes were copied`);
  });
}
