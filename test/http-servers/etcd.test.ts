/** gRPC of etcd, a Go program, under etcdctl: put, get, a refused call, and watches, over TCP and over TLS. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { freePort, makeCertificate, run, sleep, start, startAgent, temporaryFolder, until } from '../kernel/harness.ts';
import { makeUnit } from '../kernel/unit.ts';
import { serve } from './rows.ts';

const CALLS = 50;
const WATCHES = 3;

for (const isTls of [false, true]) {
  const each = { server: 'etcd', protocol: 'gRPC', isTls, client: 'etcdctl', packages: ['etcd-server', 'etcd-client'] };
  serve({ ...each, what: 'put, get, a refused call, watches' }, async (t, row) => {
    const folder = temporaryFolder(t);
    const tls = isTls ? await makeCertificate(folder) : undefined;
    const agent = await startAgent(t);
    const unit = makeUnit(t, 'etcd');
    const url = `${isTls ? 'https' : 'http'}://127.0.0.1:${await freePort()}`;
    const peer = `http://127.0.0.1:${await freePort()}`;
    const secure = tls ? ['--cert-file', tls.certificate, '--key-file', tls.key] : [];
    const [command, ...args] = unit.command(
      ...(['etcd', '--data-dir', join(folder, 'data'), '--listen-client-urls', url] as const),
      ...['--advertise-client-urls', url, '--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--initial-cluster', `default=${peer}`, '--logger', 'zap', '--log-level', 'error', ...secure],
    );
    start(t, command, args);
    const skip = tls ? ['--insecure-skip-tls-verify', '--insecure-transport=false'] : [];
    const common = ['--endpoints', url, '--command-timeout', '20s', ...skip];
    const env = { ...process.env, ETCDCTL_API: '3' };
    const etcdctl = (...words: string[]) => run('etcdctl', [...common, ...words], { env });
    await until('etcd answers', () =>
      etcdctl('get', 'warm').then(
        () => true,
        () => undefined,
      ),
    );
    await sleep(1500);
    const before = await agent.scrape();
    const calls = (exposition: typeof before, labels: Record<string, string>) =>
      exposition.sum('grpc_server_handling_seconds_count', { service: unit.name, ...labels });

    for (let i = 0; i < CALLS; i++) {
      await etcdctl('put', `key${i}`, 'x'.repeat(i * 100));
      await etcdctl('get', `key${i}`);
    }
    await assert.rejects(etcdctl('compact', '999999'));
    const watches = Array.from({ length: WATCHES }, () =>
      start(t, 'etcdctl', [...common, 'watch', 'watched'], { ETCDCTL_API: '3' }),
    );
    await sleep(1500);
    await etcdctl('put', 'watched', '1');
    await until('the watches see it', () => watches.every((watch) => watch.stdout().includes('PUT')) || undefined);
    for (const watch of watches) await watch.stop('SIGINT');
    await sleep(1000);

    const after = await agent.scrape();
    const kv = { grpc_service: 'etcdserverpb.KV' };
    const added = (labels: Record<string, string>) => calls(after, labels) - calls(before, labels);
    t.diagnostic(
      after.samples
        .filter(({ name, labels }) => /^(grpc_server|http_stream).*_count$/.test(name) && labels.service === unit.name)
        .map(({ labels, value }) => `${labels.grpc_method ?? labels.kind} ${labels.grpc_code ?? labels.role}: ${value}`)
        .join(', '),
    );
    row.sent = 2 * CALLS + 2 + WATCHES;
    const streams = { service: unit.name, kind: 'grpc', role: 'server' };
    const watched = (exposition: typeof before) => exposition.sum('http_stream_duration_seconds_count', streams);
    row.served = added(kv) + watched(after) - watched(before);
    assert.equal(added({ ...kv, grpc_method: 'Put', grpc_code: 'OK' }), CALLS + 1);
    assert.equal(added({ ...kv, grpc_method: 'Range', grpc_code: 'OK' }), CALLS);
    assert.equal(added({ ...kv, grpc_method: 'Compact', grpc_code: 'OutOfRange' }), 1);
    assert.equal(added({ grpc_code: 'unknown' }), 0);
    assert.equal(watched(after) - watched(before), WATCHES);
    assert.equal(after.lost(), 0);
  });
}
