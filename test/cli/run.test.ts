import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { PlainsightError } from '../../src/errors.ts';
import { main } from '../../src/main.ts';
import { packageVersion } from '../../src/root.ts';
import { fakeAgent, fakeContext, fakeNative, makeHost, temporaryFolder, turn } from './fake-context.ts';

describe('start', () => {
  test('says where to look, and what is on and off', async (t) => {
    const agent = fakeAgent(() => context.signals.emit('SIGTERM'), {
      webAddress: { host: '0.0.0.0', port: 9090 },
      summary: () => [
        { label: 'socket', value: 'on' },
        { label: 'tls', value: 'off (no_uprobes)' },
      ],
    });
    const context = fakeContext({ hostRoot: makeHost(t), startAgent: agent.start });
    assert.equal(await main(['run', '--tls', 'off'], context), 0);
    assert.equal(
      context.stdout.text,
      [
        `plainsight ${packageVersion()} is running`,
        '  page     http://127.0.0.1:9090/',
        '  metrics  http://127.0.0.1:9090/metrics',
        '  status   http://127.0.0.1:9090/api/status',
        '  socket   on',
        '  tls      off (no_uprobes)',
        '',
      ].join('\n'),
    );
    assert.equal(context.stderr.text, '');
    assert.equal(agent.options?.web, true);
    assert.equal(agent.config?.tls, 'off');
  });

  test('an IPv6 address is in brackets', async (t) => {
    for (const [host, shown] of [
      ['::', '[::1]'],
      ['fd00::1', '[fd00::1]'],
    ] as const) {
      const agent = fakeAgent(() => context.signals.emit('SIGINT'), { webAddress: { host, port: 80 } });
      const context = fakeContext({ hostRoot: makeHost(t), startAgent: agent.start });
      assert.equal(await main([], context), 0);
      assert.ok(context.stdout.text.includes(`http://${shown}:80/metrics\n`), context.stdout.text);
    }
  });
});

describe('a host that cannot run it: the table and exit code 2', () => {
  const unfit: [what: string, path: string, content: string | undefined, names: string][] = [
    ['no BTF', '/sys/kernel/btf/vmlinux', undefined, 'BTF'],
    ['an old kernel', '/proc/sys/kernel/osrelease', '5.4.0-216-generic\n', 'kernel'],
    ['not root', '/proc/self/status', 'CapEff:\t0000000000000000\n', 'privileges'],
    ['a container', '/proc/self/ns/pid', '->pid:[4026532999]', 'pid namespace'],
  ];
  for (const [what, path, content, names] of unfit) {
    for (const words of [['run'], ['tail'], ['record', '--out', '-']]) {
      test(`${words[0]}: ${what}`, async (t) => {
        const agent = fakeAgent(() => assert.fail('it was started'));
        const context = fakeContext({ hostRoot: makeHost(t, { [path]: content }), startAgent: agent.start });
        assert.equal(await main(words, context), 2);
        assert.match(context.stderr.text, new RegExp(`^missing {3}${names} `, 'm'));
        assert.ok(context.stderr.text.endsWith(`\nplainsight: cannot run on this host: ${names}\n`));
        assert.equal(agent.options, undefined);
      });
    }
  }

  test('one whose kernel refuses: what was tried is in the table', async (t) => {
    const context = fakeContext({
      hostRoot: makeHost(t),
      startAgent: () => Promise.reject(new PlainsightError('UNSUPPORTED', 'the kernel has no ring buffer')),
      native: async () => fakeNative(['ring_buffer']),
    });
    assert.equal(await main(['run'], context), 2);
    assert.match(context.stderr.text, /^missing {3}ring buffer {16}nothing works without it/m);
    assert.ok(context.stderr.text.endsWith('\nplainsight: the kernel has no ring buffer\n'));
  });
});

describe('stop', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`${signal}: once, exit code 0, the signals given back`, async (t) => {
      const agent = fakeAgent(() => context.signals.emit(signal));
      const context = fakeContext({ hostRoot: makeHost(t), startAgent: agent.start });
      assert.equal(await main(['run'], context), 0);
      assert.equal(agent.stops, 1);
      assert.deepEqual(context.exits, []);
      assert.deepEqual(context.signals.eventNames(), []);
    });
  }

  test('a second signal exits at once', async (t) => {
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      let stopped = () => {};
      const stop = () => new Promise<void>((resolve) => (stopped = resolve));
      const agent = fakeAgent(() => context.signals.emit('SIGTERM'), { stop });
      const context = fakeContext({ hostRoot: makeHost(t), startAgent: agent.start });
      const ended = main(['run'], context);
      while (context.stdout.text === '') await turn();
      await turn();
      assert.deepEqual(context.exits, []);
      context.signals.emit(signal);
      assert.deepEqual(context.exits, [code]);
      stopped();
      assert.equal(await ended, 0);
    }
  });

  test('a stop that hangs is cut short', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let stopped = () => {};
    const stop = () => new Promise<void>((resolve) => (stopped = resolve));
    const agent = fakeAgent(() => context.signals.emit('SIGTERM'), { stop });
    const context = fakeContext({ hostRoot: makeHost(t), startAgent: agent.start });
    const ended = main(['run'], context);
    while (context.stdout.text === '') await turn();
    await turn();
    t.mock.timers.tick(1799);
    assert.deepEqual(context.exits, []);
    t.mock.timers.tick(1);
    assert.deepEqual(context.exits, [0]);
    assert.match(context.stderr.text, /stopping took too long/);
    stopped();
    await ended;
  });

  test('a signal during the start: the agent is stopped when it has started', async (t) => {
    const agent = fakeAgent(() => {});
    const context = fakeContext({
      hostRoot: makeHost(t),
      startAgent: async (config, options) => {
        context.signals.emit('SIGTERM');
        await turn();
        return await agent.start(config, options);
      },
    });
    assert.equal(await main(['run'], context), 0);
    assert.equal(agent.stops, 1);
    assert.equal(context.stdout.text, '');
  });

  test('a signal during a start that fails: the failure no longer matters', async (t) => {
    const context = fakeContext({
      hostRoot: makeHost(t),
      startAgent: async () => {
        context.signals.emit('SIGTERM');
        await turn();
        throw new Error('too late');
      },
    });
    assert.equal(await main(['run'], context), 0);
    assert.equal(context.stderr.text, '');
  });
});

describe('SIGHUP', () => {
  test('what is reloadable is applied, the rest wants a restart, nonsense changes nothing', async (t) => {
    const file = join(temporaryFolder(t), 'config.yaml');
    writeFileSync(file, 'log-level: info\n');
    let running = () => {};
    const started = new Promise<void>((resolve) => (running = resolve));
    const agent = fakeAgent(() => running());
    const context = fakeContext({ hostRoot: makeHost(t), startAgent: agent.start });
    const ended = main(['run', '--config', file], context);
    await started;

    const hangup = async (content: string, expected: RegExp) => {
      writeFileSync(file, content);
      context.stderr.text = '';
      context.signals.emit('SIGHUP');
      while (!expected.test(context.stderr.text)) await turn();
    };
    await hangup('exclude-comm: sshd\nmax-series: 100\n', /restart to apply options=max-series/);
    assert.match(context.stderr.text, /configuration read again applied=exclude-comm\n/);
    assert.deepEqual(
      agent.reloads.map(({ excludeComm, maxSeries }) => ({ excludeComm, maxSeries })),
      [{ excludeComm: ['sshd'], maxSeries: 10_000 }],
    );
    await hangup('exclude-comm: this-is-far-too-long\n', /error the configuration stays as it was reason=/);
    await hangup('exclude-comm: sshd\n', /configuration read again applied=nothing\n/);
    await hangup('log-level: warn\nlisten: "127.0.0.1:1"', /restart to apply options=listen/);
    assert.doesNotMatch(context.stderr.text, /read again/);
    assert.equal(agent.reloads.length, 3);

    context.signals.emit('SIGTERM');
    assert.equal(await ended, 0);
    assert.deepEqual(context.signals.eventNames(), []);
  });
});
