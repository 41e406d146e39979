/**
 * Where a chunk of a socket stands in its direction, and which operations are chunks at all (bpf/socket-io.bpf.h, and the
 * two front ends). TCP's own count is the judge.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SOURCE } from '../../src/abi/events.ts';
import { ARCHITECTURES, counter } from './host.ts';
import {
  ascii,
  CLOSE_WAIT,
  dataOf,
  EGRESS,
  ESTABLISHED,
  FRONT_ENDS,
  type FrontEnd,
  INGRESS,
  kinds,
  type Move,
  payload,
  Script,
  type Via,
} from './script.ts';

const REQUEST = payload(100, 'GET / HTTP/1.1\r\n');
const MSG_OOB = 1;
const MSG_PEEK = 2;
const MSG_TRUNC = 0x20;
const MSG_ERRQUEUE = 0x2000;

function onBoth(name: string, run: (script: Script, frontEnd: FrontEnd) => void): void {
  for (const frontEnd of FRONT_ENDS) test(`${frontEnd}: ${name}`, () => run(new Script(frontEnd), frontEnd));
}

function positions(script: Script, at: readonly number[]): (number | undefined)[] {
  const results = script.run();
  return at.map((index) => dataOf(results[index]!)?.position);
}

onBoth('each direction counts its own bytes from the first chunk on', (script) => {
  const at = [
    script.receive([REQUEST]),
    script.send([payload(300, 'HTTP/1.1 200 OK\r\n')]),
    script.receive([REQUEST]),
    script.send([payload(10_000)]),
    script.send([payload(1)]),
  ];
  assert.deepEqual(positions(script, at), [0, 0, 100, 300, 10_300]);
});

onBoth('bytes that no program saw are a gap, whatever the direction', (script) => {
  const at = [
    script.receive([REQUEST], { hidden: 500 }),
    script.receive([REQUEST], { hidden: 7 }),
    script.send([REQUEST]),
    script.send([REQUEST], { hidden: 1 }),
    script.send([REQUEST], { hidden: 2 ** 31 - 1 }),
  ];
  assert.deepEqual(positions(script, at), [0, 107, 0, 101, 201 + 2 ** 31 - 1]);
});

onBoth('sequence numbers wrap at 2^32, positions do not', (script) => {
  const at: number[] = [];
  for (const direction of [INGRESS, EGRESS]) {
    script.startAt(direction, 2 ** 32 - 150);
    const move = (more: Move) =>
      direction === INGRESS ? script.receive([REQUEST], more) : script.send([REQUEST], more);
    at.push(move({}), move({}), move({ hidden: 2 ** 31 - 1 }), move({ hidden: 2 ** 31 - 1 }), move({}));
  }
  const far = 200 + 2 ** 31 - 1;
  assert.deepEqual(positions(script, at), [
    ...[0, 100, far, far + 100 + 2 ** 31 - 1, far + 200 + 2 ** 31 - 1],
    ...[0, 100, far, far + 100 + 2 ** 31 - 1, far + 200 + 2 ** 31 - 1],
  ]);
});

onBoth("the peer's FIN is no byte", (script) => {
  const at = [script.receive([REQUEST])];
  script.add(`socket 1 2 6 ${CLOSE_WAIT} 8080 40000`);
  at.push(script.receive([REQUEST], { sequence: 1000 + 200 + 1 }));
  // On a connection that is established one byte is one byte.
  script.add(`socket 2 2 6 ${ESTABLISHED} 8080 40000`);
  at.push(script.receive([REQUEST], { socket: 2 }), script.receive([REQUEST], { socket: 2, hidden: 1 }));
  assert.deepEqual(positions(script, at), [0, 100, 0, 101]);
});

onBoth('two threads that write at once never make a position go backwards', (script) => {
  const at = [
    script.send([REQUEST], { sequence: 1100 }),
    // Both have written before either is seen: the first sees the bytes of both, the second nothing new.
    script.send([REQUEST], { sequence: 1300 }),
    script.send([REQUEST], { sequence: 1300 }),
    script.send([REQUEST], { sequence: 1400 }),
    // Seen in the wrong order.
    script.send([REQUEST], { sequence: 1600 }),
    script.send([REQUEST], { sequence: 1500 }),
  ];
  // What the first of two saw too many stays a gap; nothing is corrected.
  assert.deepEqual(positions(script, at), [0, 200, 300, 400, 600, 700]);
});

onBoth('what is not copied moves the position too', (script, frontEnd) => {
  const at = [
    script.receive([REQUEST]),
    script.receive([payload(5000)], { via: 'recvfrom', address: 0 }),
    script.receive([payload(50)], { via: 'io_uring_enter' }),
    script.receive([REQUEST]),
    script.send([Buffer.alloc(77, 1)], { socket: 2 }),
    script.send([REQUEST], { socket: 2 }),
  ];
  const counters = script.counters();
  const results = script.run();
  assert.deepEqual(
    at.map((index) => dataOf(results[index]!)?.position),
    // The exits of system calls do not show io_uring's operations.
    [0, 100, frontEnd === 'socket' ? 5100 : undefined, 5150, undefined, 77],
  );
  assert.deepEqual([dataOf(results[at[1]!]!)!.length, dataOf(results[at[1]!]!)!.captured.length], [5000, 0]);
  assert.equal(counter(results[counters]!, 'CHUNKS_OPAQUE'), frontEnd === 'socket' ? 2 : 1);
});

onBoth('bytes are found by every system call that names them', (script, frontEnd) => {
  const chunk = payload(60, 'HTTP/1.1 204 No Content\r\n');
  const halves = [chunk.subarray(0, 10), chunk.subarray(10)];
  const cases: { via: Via; at: number }[] = [];
  const inward: [Via, Buffer[]][] = [
    ['read', [chunk]],
    ['recvfrom', [chunk]],
    ['readv', [chunk]],
    ['readv', halves],
    ['recvmsg', [chunk]],
    ['recvmsg', halves],
  ];
  const outward: [Via, Buffer[]][] = [
    ['write', [chunk]],
    ['sendto', [chunk]],
    ['writev', [chunk]],
    ['writev', halves],
    ['sendmsg', [chunk]],
    ['sendmsg', halves],
  ];
  for (const [via, segments] of inward) {
    script.begin();
    cases.push({ via, at: script.receive(segments, { via }) });
  }
  for (const [via, segments] of outward) {
    script.begin();
    cases.push({ via, at: script.send(segments, { via }) });
  }
  for (const architecture of ARCHITECTURES) {
    const results = script.run(architecture);
    for (const [index, { via, at }] of cases.entries()) {
      const record = dataOf(results[at]!)!;
      assert.ok(record.captured.equals(chunk), `${architecture} ${via}`);
      assert.equal(record.direction, index < inward.length ? INGRESS : EGRESS);
      assert.equal(record.source, frontEnd === 'socket' ? SOURCE.SOCKET : SOURCE.SYSCALL);
    }
  }
});

onBoth('a failed operation is none', (script) => {
  const at = script.receive([REQUEST], { moved: -11 });
  const sent = script.send([REQUEST], { moved: -32 });
  const results = script.run();
  assert.deepEqual([kinds(results[at]!), kinds(results[sent]!)], [[], []]);
});

onBoth('peeked, urgent and error-queue bytes are no bytes of the stream', (script) => {
  const first = script.receive([REQUEST]);
  const aside = [MSG_PEEK, MSG_OOB, MSG_ERRQUEUE].flatMap((flags) =>
    (['recvfrom', 'recvmsg'] as const).flatMap((via) => [
      script.receive([REQUEST], { via, flags, sequence: 1100 }),
      script.receive([Buffer.alloc(1)], { via, flags, moved: 0, sequence: 1100 }),
    ]),
  );
  const next = script.receive([REQUEST]);
  const results = script.run();
  assert.equal(dataOf(results[first]!)!.position, 0);
  for (const at of aside) assert.deepEqual(kinds(results[at]!), []);
  assert.equal(dataOf(results[next]!)!.position, 100);
});

onBoth('bytes that are discarded on receipt are not looked for in the buffer', (script) => {
  for (const via of ['recvfrom', 'recvmsg'] satisfies Via[]) {
    script.begin();
    script.receive([REQUEST]);
    const discarded = script.receive([payload(80, 'SECRET')], { via, flags: MSG_TRUNC });
    const results = script.run();
    const record = dataOf(results[discarded]!)!;
    assert.deepEqual([record.length, record.captured.length, record.tail.length], [80, 0, 0], via);
  }
});

onBoth('the end of a direction is told once, and only where it is one', (script) => {
  script.receive([REQUEST]);
  // recv(fd, buffer, 0) returns 0 while the peer still sends.
  const noRoom = script.receive([Buffer.alloc(0)], { via: 'recvfrom', moved: 0 });
  const sent = script.send([Buffer.alloc(0)], { moved: 0 });
  script.add(`socket 1 2 6 ${CLOSE_WAIT} 8080 40000`);
  const end = script.receive([Buffer.alloc(1)], { moved: 0 });
  const again = script.receive([Buffer.alloc(1)], { moved: 0 });
  const finished = script.state(CLOSE_WAIT, 9);
  const closed = script.state(9, 7);
  const unknown = script.receive([Buffer.alloc(1)], { socket: 2, moved: 0 });
  const results = script.run();
  assert.deepEqual(kinds(results[noRoom]!), []);
  assert.deepEqual(kinds(results[sent]!), []);
  assert.deepEqual(
    results[end]!.records.map(({ kind, direction }) => [kind, direction]),
    [['end', INGRESS]],
  );
  assert.deepEqual(kinds(results[again]!), []);
  assert.deepEqual(
    results[finished]!.records.map(({ kind, direction }) => [kind, direction]),
    [['end', EGRESS]],
  );
  assert.deepEqual(
    results[closed]!.records.map((record) => [record.kind, 'reset' in record && record.reset]),
    [['close', false]],
  );
  assert.deepEqual(kinds(results[unknown]!), []);
});

onBoth('a connection that closes without a word was reset', (script) => {
  const cases = [ESTABLISHED, CLOSE_WAIT].map((from) => {
    script.begin();
    script.receive([REQUEST]);
    return [script.state(from, 7), script.state(7, 7)] as const;
  });
  const results = script.run();
  for (const [closed, again] of cases) {
    assert.deepEqual(
      results[closed]!.records.map((record) => [record.kind, 'reset' in record && record.reset]),
      [['close', true]],
    );
    assert.deepEqual(kinds(results[again]!), []);
  }
});

onBoth('a connection is announced once, with both ends and its process', (script) => {
  const v4 = script.receive([REQUEST]);
  script.add(`socket 2 10 6 ${ESTABLISHED} 443 51234`);
  const v6 = script.send([REQUEST], { socket: 2 });
  const udp = script.add(`socket 3 2 17 ${ESTABLISHED} 53 53`) && script.send([REQUEST], { socket: 3 });
  const local = script.add(`socket 4 1 6 ${ESTABLISHED} 0 0`) && script.send([REQUEST], { socket: 4 });
  const results = script.run();
  const zeros = '0'.repeat(24);
  const [opened, data] = results[v4]!.records;
  assert.ok(opened?.kind === 'open' && data?.kind === 'data');
  assert.equal(opened.ends, `2 0a000001${zeros} 8080 0a000002${zeros} 40000`);
  assert.deepEqual([opened.comm, opened.executable, opened.tls], ['nginx', 'nginx-exe', 0]);
  assert.equal(opened.connection, data.connection);
  const second = results[v6]!.records[0]!;
  assert.ok(second.kind === 'open');
  assert.equal(second.ends, `10 fd${'0'.repeat(29)}1 443 fd${'0'.repeat(29)}2 51234`);
  assert.notEqual(second.connection, opened.connection);
  assert.deepEqual([kinds(results[udp]!), kinds(results[local]!)], [[], []]);
});

onBoth('a full map of connections is counted, and nothing is made up', (script) => {
  script.add('full 1');
  const lost = script.receive([REQUEST]);
  const counters = script.counters();
  script.add('full 0');
  const found = script.receive([REQUEST]);
  const results = script.run();
  assert.deepEqual(kinds(results[lost]!), []);
  assert.equal(counter(results[counters]!, 'LOST_MAP_FULL'), 1);
  assert.equal(dataOf(results[found]!)!.position, 0);
});

onBoth('a process that speaks TLS unseen is reported once, until it executes another program', (script) => {
  const hello = ascii('\x16\x03\x01\x02\x00\x01');
  const first = script.send([hello]);
  const second = script.send([hello]);
  const executed = script.add('process_exec');
  const third = script.send([hello]);
  const alive = script.add('process_exit 1');
  const exited = script.add('process_exit 0');
  const results = script.run();
  assert.deepEqual(
    [first, second, executed, third, alive, exited].map((at) => kinds(results[at]!)),
    [['tls_seen'], [], ['exec'], ['tls_seen'], [], ['exit']],
  );
});
