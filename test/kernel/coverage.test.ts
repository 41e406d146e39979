/** Bytes through TLS calls against bytes through sockets of TLS: what is not seen shows as ciphertext without plaintext. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeCertificate, PYTHON, run, startAgent, startPythonServer, temporaryFolder, until } from './harness.ts';

const PLAINTEXT = 'plainsight_tls_plaintext_bytes_total';
const CIPHERTEXT = 'plainsight_tls_ciphertext_bytes_total';
const BODY_BYTES = 1_000_000;

/** What the metrics say once they have stood still. Other processes of the machine may move some megabytes meanwhile. */
async function countTransfer(
  t: Parameters<typeof startAgent>[0],
  ...flags: string[]
): Promise<{ plaintext: number; ciphertext: number }> {
  const server = await startPythonServer(t, await makeCertificate(temporaryFolder(t)));
  const agent = await startAgent(t, ...flags);
  const before = await agent.scrape();
  const body = 'x'.repeat(BODY_BYTES);
  const script = `
import http.client, ssl, sys
c = http.client.HTTPSConnection("127.0.0.1", ${server.port}, context=ssl._create_unverified_context())
for i in range(10):
    c.request("POST", "/status/200", body=b"x" * ${body.length}); c.getresponse().read()
`;
  await run(PYTHON, ['-c', script]);
  await server.stop();
  let last = -1;
  const after = await until('the counts stand still', async () => {
    const now = await agent.scrape();
    const sum = now.sum(PLAINTEXT) + now.sum(CIPHERTEXT);
    if (sum === last) return now;
    last = sum;
    return undefined;
  });
  // The page is told the same; it may be a moment later.
  const summary = (await (await fetch(`${agent.url}/api/summary`)).json()) as {
    readonly tls: { readonly bytes: readonly { readonly plaintext: number; readonly ciphertext: number }[] };
  };
  const shown = (key: 'plaintext' | 'ciphertext') => summary.tls.bytes.reduce((sum, line) => sum + line[key], 0);
  assert.ok(shown('plaintext') >= after.sum(PLAINTEXT) && shown('ciphertext') >= after.sum(CIPHERTEXT));
  return {
    plaintext: after.sum(PLAINTEXT) - before.sum(PLAINTEXT),
    ciphertext: after.sum(CIPHERTEXT) - before.sum(CIPHERTEXT),
  };
}

/** Ten bodies, each sent and received. */
const MOVED = 2 * 10 * BODY_BYTES;

test('where all is seen, ciphertext is a little more than plaintext', async (t) => {
  const { plaintext, ciphertext } = await countTransfer(t);
  t.diagnostic(`${plaintext} of ${ciphertext} bytes`);
  assert.ok(plaintext >= MOVED && plaintext < 1.5 * MOVED, `${plaintext} bytes of plaintext`);
  assert.ok(ciphertext > plaintext && ciphertext < 1.5 * MOVED, `${ciphertext} bytes of ciphertext`);
});

test('without probes there is ciphertext and no plaintext', async (t) => {
  const { plaintext, ciphertext } = await countTransfer(t, '--tls', 'off');
  assert.equal(plaintext, 0);
  assert.ok(ciphertext >= MOVED && ciphertext < 1.5 * MOVED, `${ciphertext} bytes of ciphertext`);
});
