import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { environmentName, loadConfig, mergeReloaded, OPTION_NAMES, OPTIONS } from '../src/config.ts';
import { PlainsightError } from '../src/errors.ts';
import { DEFAULT_BUCKETS, DEFAULT_MAX_SERIES } from '../src/metrics/metrics.ts';
import { temporaryFolder } from './cli/fake-context.ts';

function load(flags: Record<string, string> = {}, env: Record<string, string> = {}) {
  return loadConfig({ flags: new Map(Object.entries(flags)), env });
}

function refused(message: string) {
  return (error: unknown) => {
    assert.ok(error instanceof PlainsightError);
    assert.equal(error.exitCode, 64);
    assert.equal(error.message, message);
    return true;
  };
}

describe('defaults', () => {
  test('are these', async () => {
    assert.deepEqual(await load(), {
      listen: { host: '127.0.0.1', port: 9090 },
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      socketSource: 'auto',
      tls: 'auto',
      returnProbe: 'auto',
      ringSizeBytes: 16 * 1024 * 1024,
      captureBytes: 8192,
      maxSeries: 10_000,
      excludeComm: [],
      includeNamespaces: [],
      excludeNamespaces: [],
      kubernetes: 'auto',
      nodeName: '',
      externalPeers: [],
      tcp: 'auto',
      procRoot: '/proc',
      btfPath: undefined,
      logLevel: 'info',
      logFormat: 'text',
    });
  });

  test('agree with those of the metrics', async () => {
    const { buckets, maxSeries } = await load();
    assert.deepEqual(buckets, DEFAULT_BUCKETS);
    assert.equal(maxSeries, DEFAULT_MAX_SERIES);
  });
});

describe('values', () => {
  const accepted: [flag: string, text: string, name: keyof typeof OPTIONS, value: unknown][] = [
    ['listen', '0.0.0.0:80', 'listen', { host: '0.0.0.0', port: 80 }],
    ['listen', '[::1]:0', 'listen', { host: '::1', port: 0 }],
    ['listen', 'node-1.example:65535', 'listen', { host: 'node-1.example', port: 65535 }],
    ['buckets', '0.1, 1,10', 'buckets', [0.1, 1, 10]],
    ['buckets', '5e-4,1', 'buckets', [0.0005, 1]],
    ['socket-source', 'syscall', 'socketSource', 'syscall'],
    ['tls', 'off', 'tls', 'off'],
    ['ring-size', '256KiB', 'ringSizeBytes', 262144],
    ['ring-size', '1GiB', 'ringSizeBytes', 1073741824],
    ['ring-size', '1048576', 'ringSizeBytes', 1048576],
    ['capture-bytes', '64', 'captureBytes', 64],
    ['capture-bytes', '16384', 'captureBytes', 16384],
    ['max-series', '1', 'maxSeries', 1],
    ['exclude-comm', 'sshd,tmux: server,sshd', 'excludeComm', ['sshd', 'tmux: server']],
    ['exclude-comm', 'fifteen-bytes-x', 'excludeComm', ['fifteen-bytes-x']],
    ['exclude-comm', '', 'excludeComm', []],
    [
      'external-peers',
      '192.0.2.0/24,2001:db8::1,api.example.com',
      'externalPeers',
      [
        { name: '192.0.2.0/24', address: '192.0.2.0', prefixBits: 24 },
        { name: '2001:db8::1', address: '2001:db8::1', prefixBits: 128 },
        { name: 'api.example.com', address: undefined, prefixBits: 0 },
      ],
    ],
    ['proc-root', '/host/proc/', 'procRoot', '/host/proc'],
    ['btf-path', 'vmlinux.btf', 'btfPath', 'vmlinux.btf'],
    ['log-level', 'debug', 'logLevel', 'debug'],
    ['log-format', 'json', 'logFormat', 'json'],
  ];
  for (const [flag, text, name, value] of accepted) {
    test(`--${flag} ${text}`, async () => {
      assert.deepEqual((await load({ [flag]: text }))[name], value);
    });
  }

  const refusedValues: [flag: string, texts: string[]][] = [
    [
      'listen',
      [
        '9090',
        ':9090',
        'a:b',
        '127.0.0.1:65536',
        '::1:9090',
        '[::1',
        '[1.2.3.4]:80',
        '[x]:80',
        'a b:1',
        'http://a:1',
        '',
      ],
    ],
    ['buckets', ['', '0', '-1,1', '1,1', '2,1', '1,,2', '1,x', 'Infinity', '1e999', '0x10', `${'1,'.repeat(64)}2`]],
    ['socket-source', ['', 'AUTO', 'on', 'toString']],
    ['tls', ['on', 'true']],
    ['ring-size', ['', '3MiB', '128KiB', '2GiB', '16MB', '16 MiB', '-1', '1e6', '16777217', '99999999999']],
    ['capture-bytes', ['63', '16385', '1.5', '', '0x80', '99999999999999999999']],
    ['max-series', ['0', '1000001']],
    ['exclude-comm', ['sixteen-bytes-xy', 'a,,b', 'äöüäöüäö', 'a\nb', Array.from({ length: 65 }, (_, i) => i).join()]],
    ['proc-root', ['proc', '', './proc', '/a\0b']],
    ['log-level', ['trace']],
    ['log-format', ['xml']],
  ];
  for (const [flag, texts] of refusedValues) {
    for (const text of texts) {
      test(`--${flag} ${JSON.stringify(text.slice(0, 30))} is refused`, async () => {
        await assert.rejects(load({ [flag]: text }), (error: PlainsightError) => {
          assert.equal(error.code, 'USAGE');
          assert.ok(error.message.startsWith(`--${flag}: '`), error.message);
          assert.ok(error.message.includes(' is not allowed; give '), error.message);
          assert.ok(!error.message.includes('\n'));
          return true;
        });
      });
    }
  }

  test('a refusal names the flag and what is allowed', async () => {
    const message =
      "--ring-size: '3MiB' is not allowed; give a power of two from 256KiB to 1GiB, e.g. 16MiB or 16777216";
    await assert.rejects(load({ 'ring-size': '3MiB' }), refused(message));
  });

  test('a refused value is escaped and cut', async () => {
    const message = `--tls: 'a\\u{1b}[2J\\u{a}${'x'.repeat(54)}…' is not allowed; give auto, off`;
    await assert.rejects(load({ tls: `a\u001b[2J\n${'x'.repeat(200)}` }), refused(message));
  });
});

describe('sources', () => {
  test('flag before environment before file before default', async (t) => {
    const file = join(temporaryFolder(t), 'config.yaml');
    writeFileSync(file, 'capture-bytes: 100\nmax-series: 200\ntls: off\n');
    const env = { PLAINSIGHT_CAPTURE_BYTES: '300', PLAINSIGHT_MAX_SERIES: '400' };
    const config = await load({ config: file, 'capture-bytes': '500' }, env);
    assert.equal(config.captureBytes, 500);
    assert.equal(config.maxSeries, 400);
    assert.equal(config.tls, 'off');
    assert.equal(config.socketSource, 'auto');
  });

  test('the file can be named in the environment', async (t) => {
    const file = join(temporaryFolder(t), 'config.yaml');
    writeFileSync(file, '# nothing but\nlog-level: warn');
    assert.equal((await load({}, { PLAINSIGHT_CONFIG: file })).logLevel, 'warn');
  });

  test('lists may be written as lists', async (t) => {
    const file = join(temporaryFolder(t), 'config.yaml');
    writeFileSync(file, 'buckets: [0.5, 1]\nexclude-comm:\n  - sshd\n  - cron\n');
    const config = await load({ config: file });
    assert.deepEqual(config.buckets, [0.5, 1]);
    assert.deepEqual(config.excludeComm, ['sshd', 'cron']);
  });

  test('an empty file and an empty variable say nothing', async (t) => {
    const file = join(temporaryFolder(t), 'config.yaml');
    writeFileSync(file, '');
    assert.deepEqual(await load({ config: file }, { PLAINSIGHT_TLS: '' }), await load());
  });

  test('variables that Kubernetes makes of a service are not ours', async () => {
    const env = { PLAINSIGHT_PORT: 'tcp://10.0.0.1:9090', PLAINSIGHT_SERVICE_HOST: '10.0.0.1' };
    assert.deepEqual(await load({}, env), await load());
  });

  test('a refused variable is named', async () => {
    const message = "PLAINSIGHT_TLS: 'on' is not allowed; give auto, off";
    await assert.rejects(load({}, { PLAINSIGHT_TLS: 'on' }), refused(message));
  });

  test('each flag has its variable', () => {
    assert.equal(environmentName('btf-path'), 'PLAINSIGHT_BTF_PATH');
    const names = OPTION_NAMES.map((name) => environmentName(OPTIONS[name].flag));
    assert.equal(new Set(names).size, OPTION_NAMES.length);
  });
});

describe('the file', () => {
  const keys = OPTION_NAMES.map((name) => OPTIONS[name].flag).join(', ');
  const cases: [what: string, content: string, message: (path: string) => string][] = [
    ['an unknown key', 'lissten: x', (path) => `${path}: unknown key 'lissten'; the keys are ${keys}`],
    ['the key of the file itself', 'config: x', (path) => `${path}: unknown key 'config'; the keys are ${keys}`],
    ['a bad value', 'tls: on', (path) => `${path}: tls: 'on' is not allowed; give auto, off`],
    ['a map as a value', 'tls: {a: b}', (path) => `${path}: tls: neither a value nor a list of values`],
    ['a list of lists', 'buckets: [[1]]', (path) => `${path}: buckets: neither a value nor a list of values`],
    ['a list', '- tls', (path) => `--config: '${path}' is not a map of keys to values`],
    [
      'malformed YAML',
      'tls: off\ntls: auto',
      (path) => `--config: '${path}' is not YAML: duplicated mapping key, line 2`,
    ],
    ['more than a page', `#${'x'.repeat(65536)}`, (path) => `--config: '${path}' is larger than 65536 bytes`],
  ];
  for (const [what, content, message] of cases) {
    test(`${what} is refused`, async (t) => {
      // Short enough to be named in full.
      const file = join(temporaryFolder(t), 'c');
      writeFileSync(file, content);
      await assert.rejects(load({ config: file }), refused(message(file)));
    });
  }

  test('one that is not there, or is a folder, is refused', async () => {
    const absent = "--config: '/nonexistent' cannot be read (ENOENT); give a readable YAML file";
    await assert.rejects(load({ config: '/nonexistent' }), refused(absent));
    const folder = "PLAINSIGHT_CONFIG: '/' cannot be read (EISDIR); give a readable YAML file";
    await assert.rejects(load({}, { PLAINSIGHT_CONFIG: '/' }), refused(folder));
  });
});

test('a running agent takes over what is reloadable only', async () => {
  const current = await load();
  const next = await load({ 'exclude-comm': 'sshd', 'log-level': 'debug', tls: 'off', listen: '127.0.0.1:1' });
  const { config, applied, restart } = mergeReloaded(current, next);
  assert.deepEqual(config, { ...current, excludeComm: ['sshd'], logLevel: 'debug' });
  assert.deepEqual(applied, ['exclude-comm', 'log-level']);
  assert.deepEqual(restart, ['listen', 'tls']);
});
