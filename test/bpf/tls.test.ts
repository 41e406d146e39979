/**
 * Which return belongs to which call of a TLS library (bpf/tls.bpf.c), and what becomes of its bytes: nested calls, calls
 * that never return, both kinds of return sites, both conventions, objects that are used again. On both architectures.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SOURCE } from '../../src/abi/events.ts';
import { ARCHITECTURES, counter } from './host.ts';
import { dataOf, EGRESS, INGRESS, kinds, payload, UNMAPPED, u64s } from './script.ts';
import { type Site, STACK, TlsScript } from './tls-script.ts';

const SSL = 0x5000;
const OTHER_SSL = 0x6000;
const REQUEST = payload(120, 'GET / HTTP/1.1\r\n');
const RESPONSE = payload(90, 'HTTP/1.1 200 OK\r\n');

function onEach(name: string, run: (script: TlsScript) => void): void {
  for (const architecture of ARCHITECTURES) test(`${architecture}: ${name}`, () => run(new TlsScript(architecture)));
}

onEach('the bytes of a call are read at its return, with the length it returned', (script) => {
  const read = script.call('read', SSL, Buffer.concat([REQUEST, payload(1000)]), {}, REQUEST.length);
  const write = script.call('write', SSL, RESPONSE);
  const failed = script.call('write', SSL, RESPONSE, {}, -1);
  const retried = script.call('write', SSL, RESPONSE);
  const counters = script.counters();
  const results = script.run();
  assert.deepEqual(kinds(results[read]!), ['open', 'data']);
  const opened = results[read]!.records[0]!;
  assert.ok(opened.kind === 'open' && opened.tls === SSL && opened.source === SOURCE.TLS);
  assert.ok(dataOf(results[read]!)!.captured.equals(REQUEST));
  assert.deepEqual([dataOf(results[write]!)!.direction, dataOf(results[write]!)!.position], [EGRESS, 0]);
  assert.deepEqual(kinds(results[failed]!), []);
  assert.equal(dataOf(results[retried]!)!.position, RESPONSE.length);
  assert.equal(counter(results[counters]!, 'UNPAIRED_RETURN'), 0);
});

onEach('a request of a client counts from the entry of its write, a response to the end of its own', (script) => {
  const took = 5_000_000;
  const slowly = (ssl: number, bytes: Buffer) => {
    script.enter('write', ssl, script.place(bytes));
    script.add(`later ${took}`);
    return script.leave('write', bytes.length);
  };
  const asked = slowly(SSL, REQUEST);
  const answered = script.call('read', SSL, RESPONSE);
  script.call('read', SSL + 64, REQUEST);
  const sent = slowly(SSL + 64, RESPONSE);
  const next = script.call('read', SSL + 64, REQUEST);
  const results = script.run();
  const timeNs = (at: number) => dataOf(results[at]!)!.timeNs;
  // The clock of the host program goes on by a microsecond with each look at it.
  assert.ok(timeNs(answered) - timeNs(asked) >= took, `${timeNs(answered) - timeNs(asked)} ns`);
  assert.ok(timeNs(next) - timeNs(sent) < took / 10, `${timeNs(next) - timeNs(sent)} ns`);
});

onEach('a site anywhere in the function names the same call', (script) => {
  const entries: Site[] = [
    {},
    { depthBytes: 8 },
    { depthBytes: 4096, register: 9 },
    { depthBytes: 32760, register: 15 },
  ];
  const returns: Site[] = [
    {},
    { uretprobe: true },
    { register: 3, depthBytes: 24 },
    { register: 12 },
    { register: 15, depthBytes: 32760 },
  ];
  const at: number[] = [];
  for (const entry of entries) {
    for (const site of returns) {
      script.enter('read', SSL, script.place(REQUEST), entry);
      at.push(script.leave('read', REQUEST.length, site));
    }
  }
  const results = script.run();
  for (const [index, each] of at.entries()) {
    assert.ok(dataOf(results[each]!)!.captured.equals(REQUEST));
    assert.equal(dataOf(results[each]!)!.position, index * REQUEST.length);
  }
});

onEach('programs without a cookie do what those with one do', (script) => {
  const plain = { fixed: true } as const;
  const back = { ...plain, uretprobe: true } as const;
  script.enter('read', SSL, script.place(REQUEST), plain);
  const read = script.leave('read', REQUEST.length, back);
  script.enter('write', SSL, script.place(RESPONSE), plain);
  const write = script.leave('write', RESPONSE.length, back);
  const count = script.place(u64s(RESPONSE.length));
  script.enter('write', SSL, script.place(RESPONSE), { ...plain, convention: 'ex' }, count);
  const writeEx = script.leave('write', 1, { ...back, convention: 'ex' });
  script.enter('read', SSL, script.place(REQUEST), { ...plain, convention: 'ex' }, count);
  const readEx = script.leave('read', 0, { ...back, convention: 'ex' });
  const shutdown = script.enter('shutdown', SSL, 0, plain);
  const free = script.enter('free', SSL, 0, plain);
  const results = script.run();
  assert.deepEqual(
    [read, write, writeEx, readEx, shutdown, free].map((at) => kinds(results[at]!)),
    [['open', 'data'], ['data'], ['data'], [], ['end'], ['close']],
  );
});

onEach('the count of the _ex forms is behind their fourth argument', (script) => {
  const good = script.place(u64s(REQUEST.length));
  const site = { convention: 'ex' } as const;
  const call = (count: number, result: number, register = 0) => {
    script.enter('read', SSL, script.place(REQUEST), { ...site, register }, count);
    return script.leave('read', result, site);
  };
  const whole = call(good, 1);
  const moved = call(good, 1, 12);
  const failed = call(good, 0);
  const negative = call(good, -1);
  const huge = call(script.place(u64s(1n << 40n)), 1);
  const before = script.counters();
  const unreadable = call(UNMAPPED, 1);
  const after = script.counters();
  const next = call(good, 1);
  const results = script.run();
  for (const at of [whole, moved]) assert.ok(dataOf(results[at]!)!.captured.equals(REQUEST));
  for (const at of [failed, negative, huge, unreadable]) assert.deepEqual(kinds(results[at]!), []);
  assert.equal(dataOf(results[next]!)!.position, 2 * REQUEST.length);
  const lost = (at: number) => counter(results[at]!, 'LOST_READ');
  assert.equal(lost(after) - lost(before), 1, 'a chunk of which not even the length is known is lost');
});

onEach('calls inside of calls return to their own', (script) => {
  const levels = [0, 1, 2, 3].map((level) => ({ ssl: SSL + level * 16, stack: STACK - level * 256 }));
  for (const { ssl, stack } of levels) script.enter('read', ssl, script.place(payload(50, `GET /${ssl}`)), { stack });
  const at = levels.toReversed().map(({ ssl, stack }) => ({ ssl, at: script.leave('read', 50, { stack }) }));
  const counters = script.counters();
  const results = script.run();
  for (const { ssl, at: index } of at) {
    assert.ok(dataOf(results[index]!)!.captured.equals(payload(50, `GET /${ssl}`)));
    const opened = results[index]!.records[0]!;
    assert.ok(opened.kind === 'open' && opened.tls === ssl);
  }
  assert.equal(counter(results[counters]!, 'UNPAIRED_RETURN'), 0);
});

onEach('the fifth level is counted as unpaired and disturbs no other', (script) => {
  const stack = (level: number) => STACK - level * 256;
  for (let level = 0; level < 5; level++) {
    script.enter('read', SSL + level * 16, script.place(payload(50, `GET /${level}`)), { stack: stack(level) });
  }
  const at = [4, 3, 2, 1, 0].map((level) => script.leave('read', 50, { stack: stack(level) }));
  const counters = script.counters();
  const results = script.run();
  assert.deepEqual(
    at.map((index) => dataOf(results[index]!)?.captured.toString('latin1', 0, 6)),
    [undefined, 'GET /3', 'GET /2', 'GET /1', 'GET /0'],
  );
  // Once at its entry, once at its return.
  assert.equal(counter(results[counters]!, 'UNPAIRED_RETURN'), 2);
});

onEach('a call that never returns is forgotten by the next one at its level', (script) => {
  const abandoned = script.place(payload(50, 'GET /abandoned'));
  script.enter('read', OTHER_SSL, abandoned, { stack: STACK });
  script.enter('read', OTHER_SSL, abandoned, { stack: STACK - 512 });
  // longjmp to a frame above the first.
  const same = script.call('read', SSL, REQUEST, { stack: STACK });
  script.enter('read', OTHER_SSL, abandoned, { stack: STACK - 512 });
  const above = script.call('read', SSL, REQUEST, { stack: STACK + 64 });
  script.enter('read', OTHER_SSL, abandoned, { stack: STACK });
  script.call('read', SSL, REQUEST, { stack: STACK });
  // No call is left that could make a socket operation look as if it were a library's.
  const plain = script.receive([REQUEST], { stackPointer: STACK - 4096 });
  // longjmp within: the outer call still returns.
  script.enter('read', SSL, script.place(REQUEST), { stack: STACK });
  script.enter('read', OTHER_SSL, abandoned, { stack: STACK - 512 });
  script.enter('read', OTHER_SSL, abandoned, { stack: STACK - 1024 });
  const outer = script.leave('read', REQUEST.length, { stack: STACK });
  const counters = script.counters();
  const results = script.run();
  assert.deepEqual(kinds(results[plain]!), ['open', 'data']);
  for (const at of [same, above, outer]) assert.ok(dataOf(results[at]!)!.captured.equals(REQUEST));
  assert.equal(counter(results[counters]!, 'UNPAIRED_RETURN'), 0);
});

onEach('a return without its entry is counted and takes no other call', (script) => {
  const never = script.leave('read', 100);
  script.enter('read', SSL, script.place(REQUEST), { stack: STACK });
  const deeper = script.leave('write', 100, { stack: STACK - 512 });
  const right = script.leave('read', REQUEST.length, { stack: STACK });
  const twice = script.leave('read', REQUEST.length, { stack: STACK });
  const counters = script.counters();
  const results = script.run();
  assert.deepEqual(
    [never, deeper, right, twice].map((at) => kinds(results[at]!)),
    [[], [], ['open', 'data'], []],
  );
  assert.equal(counter(results[counters]!, 'UNPAIRED_RETURN'), 3);
});

onEach('calls that a lower return has left behind no longer hide sockets', (script) => {
  script.enter('read', SSL, script.place(REQUEST), { stack: STACK - 512 });
  // The inner call was left by longjmp, the outer one began before the probes.
  script.leave('read', 100, { stack: STACK });
  const plain = script.receive([REQUEST], { stackPointer: STACK - 4096 });
  const results = script.run();
  assert.deepEqual(kinds(results[plain]!), ['open', 'data']);
});

onEach('threads do not see the calls of each other', (script) => {
  script.enter('read', SSL, script.place(REQUEST));
  script.thread(10, 12);
  const stranger = script.leave('read', 100);
  script.thread(20, 11);
  const otherProcess = script.leave('read', 100);
  script.thread(10, 11);
  const own = script.leave('read', REQUEST.length);
  const results = script.run();
  assert.deepEqual(
    [stranger, otherProcess, own].map((at) => kinds(results[at]!)),
    [[], [], ['open', 'data']],
  );
});

onEach('the same address in another process is another object', (script) => {
  const first = script.call('read', SSL, REQUEST);
  script.thread(20, 21);
  const second = script.call('read', SSL, REQUEST);
  const results = script.run();
  assert.equal(dataOf(results[second]!)!.position, 0);
  assert.notEqual(dataOf(results[first]!)!.connection, dataOf(results[second]!)!.connection);
});

onEach('an object that is freed, or used again, is another connection', (script) => {
  const first = script.call('read', SSL, REQUEST);
  const shutdown = script.enter('shutdown', SSL, 0);
  const again = script.enter('shutdown', SSL, 0);
  const reused = script.call('write', SSL, RESPONSE);
  const freed = script.enter('free', SSL, 0);
  const freedAgain = script.enter('free', SSL, 0);
  const next = script.call('read', SSL, REQUEST);
  const ended = script.call('read', SSL, REQUEST, {}, 0);
  const reusedAfterEnd = script.call('read', SSL, REQUEST);
  const results = script.run();
  assert.deepEqual(
    [first, shutdown, again, reused, freed, freedAgain, next, ended, reusedAfterEnd].map((at) => kinds(results[at]!)),
    [
      ['open', 'data'],
      ['end'],
      [],
      ['close', 'open', 'data'],
      ['close'],
      [],
      ['open', 'data'],
      ['end'],
      ['close', 'open', 'data'],
    ],
  );
  const direction = (at: number) => results[at]!.records.map((record) => 'direction' in record && record.direction);
  assert.deepEqual([direction(shutdown), direction(ended)], [[EGRESS], [INGRESS]]);
  const used = [first, reused, next, reusedAfterEnd].map((at) => dataOf(results[at]!)!);
  assert.equal(new Set(used.map(({ connection }) => connection)).size, 4);
  assert.deepEqual(
    used.map(({ position }) => position),
    [0, 0, 0, 0],
  );
});

onEach('the agent itself, others than the only one, and excluded processes are not looked at', (script) => {
  const silent: number[] = [];
  for (const settings of [{ selfPid: 10 }, { onlyPid: 99 }]) {
    script.begin(settings);
    script.add('ring 0');
    silent.push(script.call('read', SSL, REQUEST), script.counters());
  }
  script.begin();
  script.call('read', SSL, REQUEST);
  script.add('exclude nginx');
  script.settings({ filterEpoch: 2 });
  silent.push(script.call('read', SSL, REQUEST));
  script.add('include nginx');
  script.settings({ filterEpoch: 3 });
  const included = script.call('read', SSL, REQUEST);
  const results = script.run();
  for (const at of silent) {
    assert.deepEqual(results[at]!.records, []);
    if (results[at]!.values.length > 0) assert.ok(results[at]!.values.every((value) => value === '0'));
  }
  assert.equal(dataOf(results[included]!)!.position, 2 * REQUEST.length, 'what was excluded is a gap');
});

onEach('full maps and a full ring are counted', (script) => {
  script.add('full 1');
  const noCall = script.call('read', SSL, REQUEST);
  const counters = script.counters();
  script.add('full 0');
  script.enter('read', SSL, script.place(REQUEST));
  script.add('full 1');
  const noStream = script.leave('read', REQUEST.length);
  script.add('full 0');
  script.add('ring 0');
  const noRing = script.call('read', SSL, REQUEST);
  script.add('ring 100000');
  const found = script.call('read', SSL, REQUEST);
  const last = script.counters();
  const results = script.run();
  for (const at of [noCall, noStream, noRing]) assert.deepEqual(kinds(results[at]!), []);
  assert.equal(counter(results[counters]!, 'LOST_MAP_FULL'), 1);
  assert.equal(counter(results[counters]!, 'UNPAIRED_RETURN'), 1);
  assert.equal(counter(results[last]!, 'LOST_MAP_FULL'), 2);
  assert.equal(counter(results[last]!, 'LOST_RING'), 1);
  assert.equal(dataOf(results[found]!)!.position, REQUEST.length);
});

onEach('a socket operation of a TLS call is not counted as plaintext, and after the call it is', (script) => {
  script.enter('write', SSL, script.place(REQUEST));
  const inside = script.send([REQUEST], { stackPointer: STACK - 512 });
  script.leave('write', REQUEST.length);
  const outside = script.send([REQUEST], { stackPointer: STACK - 512 });
  const counters = script.counters();
  const results = script.run();
  assert.deepEqual(kinds(results[inside]!), []);
  assert.deepEqual(kinds(results[outside]!), ['open', 'data']);
  assert.equal(counter(results[counters]!, 'CHUNKS_INSIDE_TLS'), 1);
});

onEach('what is sent from a file moves the position, and is not looked for in memory', (script) => {
  const head = script.call('write', SSL, payload(90, 'HTTP/1.1 200 OK\r\n'));
  script.enter('write', SSL, 7);
  const file = script.leave('write', 100_000);
  const next = script.call('write', SSL, RESPONSE);
  const counters = script.counters();
  const results = script.run();
  assert.equal(dataOf(results[head]!)!.position, 0);
  const { length, captured, tail, position } = dataOf(results[file]!)!;
  assert.deepEqual([length, captured.length, tail.length, position], [100_000, 0, 0, 90]);
  assert.equal(dataOf(results[next]!)!.position, 100_090);
  assert.deepEqual([counter(results[counters]!, 'CHUNKS_OPAQUE'), counter(results[counters]!, 'LOST_READ')], [1, 0]);
});
