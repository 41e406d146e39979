import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { main } from '../../src/main.ts';
import type { FinishedStream, Transaction } from '../../src/stream/contract.ts';
import { CONNECTION, fakeAgent, fakeContext, makeHost, NGINX, TRANSACTION } from './fake-context.ts';

/** The output of `tail` while the agent sees these transactions. */
async function tail(words: string[], hostRoot: string, transactions: readonly Transaction[]) {
  const agent = fakeAgent(({ options }) => {
    for (const transaction of transactions) options!.sinks![0]!.transaction(transaction);
    options!.sinks![0]!.incomplete(NGINX, 'server', 'closed');
    context.signals.emit('SIGTERM');
  });
  const context = fakeContext({ hostRoot, startAgent: agent.start });
  assert.equal(await main(['tail', ...words], context), 0);
  assert.equal(context.stderr.text, '');
  assert.equal(agent.stops, 1);
  return { agent, text: context.stdout.text };
}

const IN_POD = { ...NGINX, pid: 8, namespace: 'shop', pod: 'web-0', container: 'web', service: 'web' };
const PLAIN: Transaction = {
  ...TRANSACTION,
  connection: { ...CONNECTION, id: 'c2', scheme: 'http', remote: undefined },
  owner: IN_POD,
  role: 'client',
  method: 'POST',
  status: 503,
  timeNs: 2_000_000_000.4,
  durationNs: 3_000_400_000.6,
};

describe('lines', () => {
  test('text', async (t) => {
    const { agent, text } = await tail([], makeHost(t), [TRANSACTION, PLAIN]);
    assert.equal(
      text,
      '2023-11-14T22:13:20.001Z nginx[7] server GET 200 2.250ms https 10.0.0.2:50000\n' +
        '2023-11-14T22:13:22.000Z shop/web-0 client POST 503 3.000s http unknown\n',
    );
    assert.equal(agent.options?.web, false);
    assert.equal(agent.options?.onlyPid, undefined);
  });

  test('JSON, with the fields in this order and the time exact to 1 ns', async (t) => {
    const { text } = await tail(['--json'], makeHost(t), [TRANSACTION, PLAIN]);
    assert.equal(
      text,
      '{"time":1700000000001500000,"conn":42,"pid":7,"comm":"nginx","namespace":"","pod":"","container":"",' +
        '"service":"nginx","role":"server","scheme":"https","method":"GET","status":200,"durationNs":2250000,' +
        '"version":"1.1","peer":"10.0.0.2:50000"}\n' +
        '{"time":1700000002000000000,"conn":"c2","pid":8,"comm":"nginx","namespace":"shop","pod":"web-0",' +
        '"container":"web","service":"web","role":"client","scheme":"http","method":"POST","status":503,' +
        '"durationNs":3000400001,"version":"1.1","peer":"unknown"}\n',
    );
  });

  test('a stream, when it ends', async (t) => {
    const { connection, owner, role } = TRANSACTION;
    const stream: FinishedStream = { connection, owner, role, kind: 'websocket', timeNs: 1_000_000, durationNs: 5e9 };
    const lines = async (...words: string[]) => {
      const agent = fakeAgent(({ options }) => {
        options!.sinks![0]!.stream!(stream);
        context.signals.emit('SIGTERM');
      });
      const context = fakeContext({ hostRoot: makeHost(t), startAgent: agent.start });
      assert.equal(await main(['tail', ...words], context), 0);
      return context.stdout.text;
    };
    assert.equal(
      await lines(),
      '2023-11-14T22:13:20.001Z nginx[7] server stream websocket 5.000s https 10.0.0.2:50000\n',
    );
    const {
      method: _,
      status: __,
      version: ___,
      ...rest
    } = JSON.parse((await tail(['--json'], makeHost(t), [TRANSACTION])).text);
    const { time, ...found } = JSON.parse(await lines('--json'));
    assert.ok(time > 1.7e18);
    delete rest.time;
    assert.deepEqual(found, { ...rest, stream: 'websocket', durationNs: 5e9 });
  });

  test('--tls: only what came through TLS', async (t) => {
    const { agent, text } = await tail(['--tls'], makeHost(t), [PLAIN, TRANSACTION, PLAIN]);
    assert.equal(text.split('\n').length, 2);
    assert.match(text, / https /);
    assert.equal(agent.config?.tls, 'auto');
  });

  test('--pid is given to the agent', async (t) => {
    const { agent } = await tail(['--pid', String(process.pid), '--socket-source', 'off'], makeHost(t), []);
    assert.equal(agent.options?.onlyPid, process.pid);
    assert.equal(agent.config?.socketSource, 'off');
  });

  test('the name of a process does not drive the terminal', async (t) => {
    const owner = { ...NGINX, comm: '\u001b[2Jx\n' };
    const { text } = await tail([], makeHost(t), [{ ...TRANSACTION, owner }]);
    assert.match(text, /^\S+ \\u\{1b\}\[2Jx\\u\{a\}\[7\] server GET .*\n$/);
  });

  test('what ends while the agent starts is printed too', async (t) => {
    const agent = fakeAgent(() => context.signals.emit('SIGTERM'));
    const context = fakeContext({
      hostRoot: makeHost(t),
      startAgent: (config, options) => {
        options.sinks![0]!.transaction(TRANSACTION);
        return agent.start(config, options);
      },
    });
    assert.equal(await main(['tail'], context), 0);
    assert.match(context.stdout.text, /^2023-11-14T22:13:20\.001Z nginx\[7\] /);
  });
});

describe('the reader', () => {
  test('goes away: a quiet end', async (t) => {
    const gone = () => Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
    const agent = fakeAgent(({ options }) => {
      context.stdout.destroy(gone());
      options!.sinks![0]!.transaction(TRANSACTION);
    });
    const context = fakeContext({ hostRoot: makeHost(t), startAgent: agent.start });
    assert.equal(await main(['tail'], context), 0);
    assert.equal(context.stderr.text, '');
    assert.equal(agent.stops, 1);
  });

  test('fails otherwise: exit code 74', async (t) => {
    const agent = fakeAgent(() => context.stdout.destroy(Object.assign(new Error('full'), { code: 'ENOSPC' })));
    const context = fakeContext({ hostRoot: makeHost(t), startAgent: agent.start });
    assert.equal(await main(['tail'], context), 74);
    assert.equal(context.stderr.text, 'plainsight: the output cannot be written (ENOSPC); what came after is lost\n');
  });

  test('is slow: lines are dropped, counted, and told once', async (t) => {
    const count = 100_000;
    const agent = fakeAgent(({ options }) => {
      context.stdout.stall = true;
      for (let i = 0; i < count; i++) options!.sinks![0]!.transaction(TRANSACTION);
      assert.ok(context.stdout.writableLength < 1.1 * 1024 * 1024);
      context.stdout.release();
      context.signals.emit('SIGTERM');
    });
    const context = fakeContext({ hostRoot: makeHost(t), startAgent: agent.start });
    assert.equal(await main(['tail'], context), 0);
    const printed = context.stdout.text.split('\n').length - 1;
    const message = `plainsight: ${count - printed} lines were dropped: the reader was too slow\n`;
    assert.equal(context.stderr.text, message);
    assert.ok(printed > 10_000 && printed < 20_000, `${printed}`);
  });
});
