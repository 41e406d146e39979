import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { COMMANDS } from '../../src/cli/commands.ts';
import { OPTION_NAMES, OPTIONS } from '../../src/config.ts';
import { PlainsightError } from '../../src/errors.ts';
import { main } from '../../src/main.ts';
import { fromRoot } from '../../src/root.ts';
import { type FakeContext, fakeContext, makeHost } from './fake-context.ts';

async function refuses(words: string[], message: string, context: FakeContext = fakeContext()): Promise<void> {
  assert.equal(await main(words, context), 64);
  assert.equal(context.stderr.text, `plainsight: ${message}\n`);
  assert.equal(context.stdout.text, '');
}

const TAIL_FLAGS =
  '--socket-source --ring-size --exclude-comm --proc-root --btf-path --log-level --log-format --json --tls --pid --config --help --version';

const NAMES = COMMANDS.map(({ name }) => name).join(', ');

describe('usage errors: one line, exit code 64', () => {
  const cases: [words: string[], message: string][] = [
    [['inspekt'], `unknown subcommand 'inspekt'; give one of ${NAMES}`],
    [['inspect'], 'inspect needs PID|PATH'],
    [['inspect', '1', '2'], "unexpected '2' after inspect"],
    [['offsets'], 'offsets needs list|verify'],
    [['offsets', 'verify', 'a', 'b'], "unexpected 'b' after offsets"],
    [['offsets', 'verify'], 'offsets verify needs PATH'],
    [['offsets', 'list', 'a'], 'offsets list takes no PATH'],
    [['offsets', 'show'], 'offsets needs list or verify PATH'],
    [['constructor'], `unknown subcommand 'constructor'; give one of ${NAMES}`],
    [['tail', '--jsn'], `unknown flag '--jsn'; the flags of tail are ${TAIL_FLAGS}`],
    [['tail', '--listen', 'x:1'], `unknown flag '--listen'; the flags of tail are ${TAIL_FLAGS}`],
    [['tail', '-x'], `unknown flag '-x'; the flags of tail are ${TAIL_FLAGS}`],
    [['tail', '--no-json'], `unknown flag '--no-json'; the flags of tail are ${TAIL_FLAGS}`],
    [['tail', '--json=yes'], '--json takes no value'],
    [['tail', '--pid'], '--pid needs a value: --pid N'],
    [['tail', '--pid', '--json'], '--pid needs a value: --pid N'],
    [['tail', '--pid', '0'], "--pid: '0' is not allowed; give the number of a process"],
    [['tail', '--pid', 'nginx'], "--pid: 'nginx' is not allowed; give the number of a process"],
    [['tail', '--pid', '4194304'], '--pid: there is no process 4194304'],
    [['tail', 'nginx'], "unexpected 'nginx' after tail"],
    [['record'], 'record needs --out FILE, or --out - for stdout'],
    [['replay'], 'replay needs FILE'],
    [['replay', 'a', 'b'], "unexpected 'b' after replay"],
    [['run', 'now'], "unexpected 'now' after run"],
    [['--tls', 'on'], "--tls: 'on' is not allowed; give auto, off"],
    [['run', '--tls='], "--tls: '' is not allowed; give auto, off"],
    [['--config', '/nonexistent'], "--config: '/nonexistent' cannot be read (ENOENT); give a readable YAML file"],
    [['--btf-path', '/nonexistent'], "--btf-path: '/nonexistent' cannot be read (ENOENT); give a readable file"],
    [['--btf-path', '/'], "--btf-path: '/' cannot be read (not a file); give a readable file"],
    [
      ['--proc-root', '/etc/passwd'],
      "--proc-root: '/etc/passwd' cannot be read (not a folder); give a readable folder",
    ],
    [['a\u001b[2J\nb'], `unknown subcommand 'a\\u{1b}[2J\\u{a}b'; give one of ${NAMES}`],
  ];
  for (const [words, message] of cases) {
    test(JSON.stringify(words), () => refuses(words, message));
  }

  test('flags of features that are not there are unknown', async () => {
    for (const flag of ['--external-peer', '--namespace']) {
      const context = fakeContext();
      assert.equal(await main(['run', flag, 'x'], context), 64);
      assert.ok(context.stderr.text.startsWith(`plainsight: unknown flag '${flag}'; the flags of run are --listen `));
      assert.equal(context.stderr.text.indexOf('\n'), context.stderr.text.length - 1);
    }
  });

  test('a refused variable', async () => {
    const context = fakeContext({ env: { PLAINSIGHT_RING_SIZE: 'big' } });
    await refuses(
      ['doctor'],
      "PLAINSIGHT_RING_SIZE: 'big' is not allowed; give a power of two from 256KiB to 1GiB, e.g. 16MiB or 16777216",
      context,
    );
  });
});

describe('help', () => {
  test('without a subcommand: the subcommands', async () => {
    for (const flag of ['--help', '-h']) {
      const context = fakeContext();
      assert.equal(await main([flag], context), 0);
      for (const { name, summary } of COMMANDS) {
        assert.match(context.stdout.text, new RegExp(`^ {2}${name} +${summary}`, 'm'));
      }
    }
  });

  for (const command of COMMANDS) {
    test(`${command.name}: its flags and options with their defaults`, async () => {
      const context = fakeContext();
      assert.equal(await main([command.name, '--help'], context), 0);
      const { text } = context.stdout;
      assert.ok(text.startsWith(`usage: plainsight ${command.name}`));
      for (const { flag, help } of command.flags) assert.ok(text.includes(`  --${flag}`) && text.includes(help), flag);
      for (const name of command.options) {
        const { flag, placeholder, help, fallback } = OPTIONS[name];
        assert.ok(text.includes(`  --${flag} ${placeholder}\n`), flag);
        assert.ok(text.includes(fallback ? `      ${help}\n      default ${fallback}\n` : help), flag);
      }
      for (const line of text.split('\n')) assert.ok(line.length <= 120, line);
    });
  }

  test('--help wins over what else is wrong', async () => {
    const context = fakeContext();
    assert.equal(await main(['tail', '--nonsense', '--help'], context), 0);
    assert.equal(context.stderr.text, '');
  });

  test('run takes every option', () => {
    assert.deepEqual(COMMANDS[0]!.options, OPTION_NAMES);
  });

  test('--version, with and without a subcommand', async () => {
    const { version } = JSON.parse(readFileSync(fromRoot('package.json'), 'utf8'));
    for (const words of [['--version'], ['replay', '--version']]) {
      const context = fakeContext();
      assert.equal(await main(words, context), 0);
      assert.equal(context.stdout.text, `plainsight ${version}\n`);
    }
  });

  test('the documentation has a section for each option', () => {
    const page = readFileSync(fromRoot('docs/configuration.md'), 'utf8');
    for (const name of OPTION_NAMES) assert.ok(page.includes(`\n### \`--${OPTIONS[name].flag}\`\n`), name);
    assert.ok(page.includes(OPTIONS.captureBytes.help.slice(1)) && page.includes('PLAINSIGHT_CAPTURE_BYTES'));
  });
});

describe('what goes wrong inside', () => {
  test('an expected error: its message and its exit code', async (t) => {
    const context = fakeContext({
      hostRoot: makeHost(t),
      startAgent: () => Promise.reject(new PlainsightError('LISTEN', 'port 9090 is in use;\ngive another --listen')),
    });
    assert.equal(await main(['run'], context), 69);
    assert.equal(context.stderr.text, 'plainsight: port 9090 is in use;\\u{a}give another --listen\n');
  });

  test('an unexpected one: a defect, exit code 70, no stack', async (t) => {
    for (const error of [
      new TypeError('x is not a function'),
      new PlainsightError('INTERNAL', 'x is not a function'),
    ]) {
      const context = fakeContext({ hostRoot: makeHost(t), startAgent: () => Promise.reject(error) });
      assert.equal(await main([], context), 70);
      assert.equal(context.stderr.text, 'plainsight: x is not a function; this is a defect of Plainsight\n');
    }
  });

  test('the stack only when debugging', async (t) => {
    const failing = { startAgent: () => Promise.reject(new TypeError('boom')) };
    const hostRoot = makeHost(t);
    for (const words of [['--log-level', 'debug'], ['--log-level=debug']]) {
      const context = fakeContext({ ...failing, hostRoot });
      assert.equal(await main(words, context), 70);
      assert.match(context.stderr.text, /^plainsight: boom; this is a defect of Plainsight\nTypeError: boom\n {4}at /);
    }
    const context = fakeContext({ ...failing, hostRoot, env: { PLAINSIGHT_LOG_LEVEL: 'debug' } });
    assert.equal(await main([], context), 70);
    assert.match(context.stderr.text, /\nTypeError: boom\n {4}at /);
  });
});
