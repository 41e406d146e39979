/** Who asks the API server, by kubeconfig files of all kinds: what goes over the wire, and what is refused with which words. */

import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { kubeconfigAccess } from '../../src/kubernetes/access.ts';
import { connectKubernetes, type Kubernetes } from '../../src/kubernetes/kubernetes.ts';
import { temporaryFolder, until } from '../kernel/harness.ts';
import { ApiServer } from './api-server.ts';
import { podObject } from './samples.ts';

const TIMING = { minDelayMs: 10, maxDelayMs: 80, healthyMs: 150, random: () => 0.5 };
const SERVER = 'https://192.0.2.1:6443';

type Json = Readonly<Record<string, unknown>>;

function write(folder: string, { cluster = {}, user = {} }: { cluster?: Json; user?: Json }, name = 'config'): string {
  const path = join(folder, name);
  const config = {
    'current-context': 'here',
    contexts: [{ name: 'here', context: { cluster: 'one', user: 'agent' } }],
    clusters: [{ name: 'one', cluster: { server: SERVER, ...cluster } }],
    users: [{ name: 'agent', user }],
  };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

const present = (path: string) => kubeconfigAccess({ KUBECONFIG: path }).present();
const authorization = async (path: string) =>
  ((await present(path)).options.headers as Record<string, string>).Authorization;

async function connect(t: TestContext, server: ApiServer, path: string) {
  const log: string[] = [];
  const kubernetes = (await connectKubernetes({
    ...{ mode: 'on', nodeName: 'node-1', env: { KUBECONFIG: path }, timing: TIMING },
    log: { info: (line) => log.push(line), warn: (line) => log.push(line) },
  })) as Kubernetes;
  server.put('pods', podObject({ uid: 'u1', name: 'web-0', namespace: 'shop' }));
  kubernetes.start();
  t.after(() => kubernetes.stop());
  return { kubernetes, log };
}

/** A plugin as they are: it says what it was told, counts its runs, and gives the token that lies beside it. */
function writePlugin(folder: string, body: string): string {
  const path = join(folder, 'plugin');
  writeFileSync(path, `#!/bin/sh\ncd "$(dirname "$0")"\necho "$1 $KUBERNETES_EXEC_INFO $GREETING" >>runs\n${body}\n`);
  chmodSync(path, 0o700);
  return path;
}

const ANSWER = (status: string) =>
  `printf '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{${status}}}' "$(cat secret)"`;

describe('an exec plugin', () => {
  test('is run beside the file, is told of the protocol, and is asked again when its token is refused', async (t) => {
    const server = await ApiServer.start(t);
    const folder = temporaryFolder(t);
    writePlugin(folder, ANSWER('"token":"%s","expirationTimestamp":"2999-01-01T00:00:00Z"'));
    writeFileSync(join(folder, 'secret'), server.token);
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      ...{ command: './plugin', args: ['get-token'], env: [{ name: 'GREETING', value: 'hello' }] },
    };
    const cluster = { server: server.url, 'certificate-authority': server.authority };
    const { kubernetes, log } = await connect(t, server, write(folder, { cluster, user: { exec } }));
    await until('the watches', () => server.watchers === 5 || undefined);
    assert.equal(kubernetes.cluster.pod('u1')?.name, 'web-0');
    const runs = () => readFileSync(join(folder, 'runs'), 'utf8').trim().split('\n');
    // Once for ten requests.
    assert.deepEqual(runs(), [
      'get-token {"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}} hello',
    ]);
    server.token = 'second-token';
    writeFileSync(join(folder, 'secret'), server.token);
    server.dropConnections();
    await until('the watches', () => server.watchers === 5 || undefined);
    assert.ok(runs().length >= 2 && runs().length <= 7, `${runs().length} runs`);
    assert.ok(log.every((line) => !line.includes('-token')));
  });

  test('may give a client certificate', async (t) => {
    const folder = temporaryFolder(t);
    const command = writePlugin(folder, ANSWER('"clientCertificateData":"PEM","clientKeyData":"%s"'));
    writeFileSync(join(folder, 'secret'), 'KEY');
    const { options } = await present(write(folder, { user: { exec: { command } } }));
    assert.deepEqual([options.cert, options.key, options.headers], ['PEM', 'KEY', {}]);
  });

  const failures = [
    ['that fails', 'echo top-secret >&2; exit 3'],
    ['that says nothing', 'exit 0'],
    ['that says something else', 'echo "{}"'],
  ] as const;
  for (const [what, body] of failures) {
    test(`${what}: one line without its words, back-off`, async (t) => {
      const server = await ApiServer.start(t);
      const folder = temporaryFolder(t);
      const command = writePlugin(folder, body);
      const { kubernetes, log } = await connect(t, server, write(folder, { user: { exec: { command } } }));
      const pods = () => kubernetes.states().find(({ resource }) => resource === 'pods');
      await until('several tries', () => (pods()?.failures.get('credentials') ?? 0) >= 3 || undefined);
      assert.equal(log.length, 5);
      assert.ok(
        log.every((line) => / the token or certificate to present cannot be had/.test(line)),
        log.join('\n'),
      );
      assert.deepEqual(server.requests, []);
    });
  }
});

describe('credentials', () => {
  test('in a file are read anew for each request, and count more than those beside it', async (t) => {
    const folder = temporaryFolder(t);
    const access = kubeconfigAccess({ KUBECONFIG: write(folder, { user: { token: 'old', tokenFile: 'token' } }) });
    for (const token of ['first', 'second']) {
      writeFileSync(join(folder, 'token'), `${token}\n`);
      assert.deepEqual((await access.present()).options.headers, { Authorization: `Bearer ${token}` });
    }
  });

  test('as they stand in the file: a token, a name and a password, a certificate', async (t) => {
    const folder = temporaryFolder(t);
    assert.equal(await authorization(write(folder, { user: { token: 'abc' } })), 'Bearer abc');
    const basic = await present(write(folder, { user: { username: 'me', password: 'you' } }));
    assert.equal(basic.options.auth, 'me:you');
    writeFileSync(join(folder, 'tls.crt'), 'CERT');
    const user = { 'client-certificate': 'tls.crt', 'client-key-data': Buffer.from('KEY').toString('base64') };
    const { server, options } = await present(write(folder, { cluster: { 'tls-server-name': 'api' }, user }));
    assert.deepEqual([server, String(options.cert), String(options.key)], [SERVER, 'CERT', 'KEY']);
    assert.deepEqual([options.servername, options.rejectUnauthorized], ['api', true]);
    const insecure = await present(write(folder, { cluster: { 'insecure-skip-tls-verify': true } }));
    assert.equal(insecure.options.rejectUnauthorized, false);
  });

  test('of several files: the first entry of a name counts', async (t) => {
    const folder = temporaryFolder(t);
    const first = write(folder, { user: { token: 'first' } }, 'first');
    const second = write(folder, { user: { token: 'second' } }, 'second');
    assert.equal(await authorization(`${first}:${second}`), 'Bearer first');
  });
});

describe('refused', () => {
  const bad = (name: string, text: string | Json, message: RegExp) =>
    test(name, (t) => {
      const folder = temporaryFolder(t);
      const path = typeof text === 'string' ? join(folder, 'config') : write(folder, text);
      if (typeof text === 'string') writeFileSync(path, text);
      assert.throws(() => kubeconfigAccess({ KUBECONFIG: path }), { code: 'USAGE', message });
    });
  bad('no YAML, without a word of it', 'secret: [', /it is not YAML$/);
  bad('another document', '[1, 2]', /neither contexts nor/);
  bad('no current context', 'contexts: [{name: a, context: {cluster: b, user: c}}]', /no current-context/);
  bad('a context that is not there', 'current-context: a', /the context of its current-context is not in it/);
  bad('an entry without a name', 'current-context: a\nusers: [{user: {}}]', /users\[0\].name is missing/);
  bad('entries that are none', 'current-context: a\nusers: [null]', /an entry is not what it should be/);
  bad('a server without TLS', { cluster: { server: 'http://192.0.2.1' } }, /no https:\/\/ address/);
  bad('a plugin that is no more', { user: { 'auth-provider': { name: 'gcp' } } }, /Kubernetes no longer has/);

  test('a file that is not there', (t) => {
    const path = join(temporaryFolder(t), 'config');
    assert.throws(() => kubeconfigAccess({ KUBECONFIG: path }), { code: 'USAGE', message: /it cannot be read/ });
  });
});
