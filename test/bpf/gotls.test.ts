/**
 * Go's crypto/tls (bpf/gotls.bpf.c): which return belongs to which call of a goroutine whose stack grows and moves, what
 * becomes of the bytes, and which socket a connection is bound to. On both architectures.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeGoCookie, type GoConnPath } from '../../src/probes/go-cookie.ts';
import { ARCHITECTURES, type Architecture, counter, type Result } from './host.ts';
import { dataOf, EGRESS, INGRESS, kinds, payload, Script, UNMAPPED, u64s } from './script.ts';

const CONN = 0xc000_1000;
const OTHER_CONN = 0xc000_2000;
const GOROUTINE = 0xc000_0180;
const OTHER_GOROUTINE = 0xc000_0380;
/** Top of the first stack of each goroutine, and its size. */
const TOP = 0xc010_0000;
const STACK_BYTES = 0x2000;
/** The frame of a call: so far below the top. */
const FRAME = 0x400;
const SITE = 0x48_0040;
/** Before relocation, the method lies behind some sites and before others. */
const TCP_READ = 0x47_0000;
const PATH: GoConnPath = { conn: 0, readMethod: 40, fd: 0, sysfd: 16, tcpReadDistance: TCP_READ - SITE };
const REQUEST = payload(120, 'GET / HTTP/1.1\r\n');
const RESPONSE = payload(90, 'HTTP/1.1 200 OK\r\n');
const RECORD = Buffer.concat([Buffer.from([0x17, 3, 3, 1, 0]), payload(256)]);
/** Of socket 1 as Script makes it: the addresses are those of world.h. */
const ENDS_1 = '2 0a000001000000000000000000000000 8080 0a000002000000000000000000000000 40000';
const NO_ENDS = '0 00000000000000000000000000000000 0 00000000000000000000000000000000 0';

interface Call {
  readonly conn?: number;
  readonly goroutine?: number;
  /** Where the goroutine's stack ends now. */
  readonly top?: number;
  readonly frame?: number;
  readonly repeats?: boolean;
  readonly path?: GoConnPath | undefined;
  readonly site?: number;
}

class GoScript extends Script {
  readonly #architecture: Architecture;

  constructor(architecture: Architecture) {
    super();
    this.#architecture = architecture;
    this.stack(TOP);
    this.stack(TOP + 0x10_0000, OTHER_GOROUTINE);
  }

  override run() {
    return super.run(this.#architecture);
  }

  /** The goroutine has this stack from now on. */
  stack(top: number, goroutine = GOROUTINE, bytes = STACK_BYTES): void {
    this.memory(goroutine, u64s(top - bytes, top));
  }

  memory(address: number, bytes: Buffer): void {
    this.add(`memory ${address} ${bytes.toString('hex')}`);
  }

  /** A tls.Conn on a net.TCPConn with that descriptor; `method` is that of Read. */
  connection(fd: number | bigint, { conn = CONN, method = TCP_READ } = {}): void {
    const at = conn + 0x10_0000;
    this.memory(conn, u64s(at, at + 0x100));
    this.memory(at, u64s(1, 2, 3, 4, 5, method));
    this.memory(at + 0x100, u64s(at + 0x200));
    this.memory(at + 0x200, u64s(6, 7, fd));
  }

  enter(operation: 'read' | 'write' | 'free', buffer: number, length: number, call: Call = {}): number {
    return this.add(`go_entry ${this.#where(operation, call)} ${call.conn ?? CONN} ${buffer} ${length}`);
  }

  leave(operation: 'read' | 'write', result: number, call: Call = {}): number {
    return this.add(`go_return ${this.#where(operation, call)} ${result}`);
  }

  read(bytes: Buffer, call: Call = {}): number {
    this.enter('read', this.place(bytes), bytes.length, call);
    return this.leave('read', bytes.length, call);
  }

  /** @returns the index of what its entry did. */
  write(bytes: Buffer, call: Call = {}): number {
    const entry = this.enter('write', this.place(bytes), bytes.length, call);
    // Elsewhere it is not probed.
    if (call.repeats) this.leave('write', bytes.length, call);
    return entry;
  }

  #where(operation: 'read' | 'write' | 'free', call: Call): string {
    const { goroutine = GOROUTINE, frame = FRAME, repeats = false, site = SITE } = call;
    const top = call.top ?? (goroutine === GOROUTINE ? TOP : TOP + 0x10_0000);
    const path = 'path' in call ? call.path : PATH;
    return `${encodeGoCookie({ operation, repeats, path })} ${site} ${top - frame} ${goroutine}`;
  }
}

function onEach(name: string, run: (script: GoScript) => void): void {
  for (const architecture of ARCHITECTURES) test(`${architecture}: ${name}`, () => run(new GoScript(architecture)));
}

function endsOf(result: Result): string | undefined {
  const [opened] = result.records;
  return opened?.kind === 'open' ? opened.ends : undefined;
}

onEach('what is read is taken at the return, what is written at the entry', (script) => {
  const entry = script.enter('read', script.place(Buffer.concat([REQUEST, payload(1000)])), 1120);
  const read = script.leave('read', REQUEST.length);
  const write = script.enter('write', script.place(RESPONSE), RESPONSE.length);
  const next = script.enter('write', script.place(RESPONSE), RESPONSE.length);
  const failed = [script.enter('read', UNMAPPED, 100), script.leave('read', 0)];
  const closed = script.enter('free', 0, 0);
  const again = script.enter('free', 0, 0);
  const counters = script.counters();
  const results = script.run();
  assert.deepEqual(
    [entry, read, write, next, ...failed, closed, again].map((at) => kinds(results[at]!)),
    [[], ['open', 'data'], ['data'], ['data'], [], [], ['close'], []],
  );
  assert.ok(dataOf(results[read]!)!.captured.equals(REQUEST));
  assert.deepEqual([dataOf(results[read]!)!.direction, dataOf(results[write]!)!.direction], [INGRESS, EGRESS]);
  assert.ok(dataOf(results[write]!)!.captured.equals(RESPONSE));
  assert.equal(counter(results[counters]!, 'UNPAIRED_RETURN'), 0);
});

onEach('a goroutine that goes on in another thread is the same', (script) => {
  script.enter('read', script.place(REQUEST), REQUEST.length);
  script.thread(10, 12);
  script.enter('read', script.place(RESPONSE), 90, { conn: OTHER_CONN, goroutine: OTHER_GOROUTINE });
  const first = script.leave('read', REQUEST.length);
  script.thread(10, 11);
  const second = script.leave('read', RESPONSE.length, { goroutine: OTHER_GOROUTINE });
  script.thread(20, 11);
  const otherProcess = script.leave('read', 100);
  const results = script.run();
  assert.ok(dataOf(results[first]!)!.captured.equals(REQUEST));
  assert.ok(dataOf(results[second]!)!.captured.equals(RESPONSE));
  assert.deepEqual(kinds(results[otherProcess]!), []);
});

onEach('a stack that moves takes the call and a buffer on it along', (script) => {
  const moved = TOP + 0x8_0000;
  const below = 0x200;
  script.enter('read', TOP - below, REQUEST.length);
  script.stack(moved, GOROUTINE, 2 * STACK_BYTES);
  script.memory(moved - below, REQUEST);
  const read = script.leave('read', REQUEST.length, { top: moved });
  // A buffer on the heap stays where it is.
  script.enter('read', script.place(RESPONSE), RESPONSE.length, { top: moved });
  script.stack(TOP);
  const heap = script.leave('read', RESPONSE.length);
  const counters = script.counters();
  const results = script.run();
  assert.ok(dataOf(results[read]!)!.captured.equals(REQUEST));
  assert.ok(dataOf(results[heap]!)!.captured.equals(RESPONSE));
  assert.equal(counter(results[counters]!, 'UNPAIRED_RETURN'), 0);
});

onEach('a call that begins again on a larger stack is one call', (script) => {
  const moved = TOP + 0x8_0000;
  const buffer = script.place(RESPONSE);
  const first = script.enter('write', buffer, RESPONSE.length, { repeats: true });
  script.stack(moved, GOROUTINE, 2 * STACK_BYTES);
  const second = script.enter('write', buffer, RESPONSE.length, { repeats: true, top: moved });
  script.leave('write', RESPONSE.length, { top: moved });
  // The next call with the same buffer is another one.
  const next = script.enter('write', buffer, RESPONSE.length, { repeats: true, top: moved });
  const results = script.run();
  assert.deepEqual(kinds(results[first]!), ['open', 'data']);
  assert.deepEqual(kinds(results[second]!), []);
  assert.equal(dataOf(results[next]!)!.position, RESPONSE.length);
});

onEach('at a site that does not repeat, a return that was missed costs no other call', (script) => {
  const buffer = script.place(RESPONSE);
  script.enter('write', buffer, RESPONSE.length);
  const next = script.enter('write', buffer, RESPONSE.length);
  const results = script.run();
  assert.equal(dataOf(results[next]!)!.position, RESPONSE.length);
});

onEach('TLS over TLS: each return finds its call, and a third level is counted', (script) => {
  const level = (n: number) => ({ conn: CONN + n * 0x100, frame: FRAME * (n + 1) });
  for (const n of [0, 1, 2]) script.enter('read', script.place(payload(50, `GET /${n}`)), 50, level(n));
  const at = [2, 1, 0].map((n) => script.leave('read', 50, level(n)));
  const counters = script.counters();
  const results = script.run();
  assert.deepEqual(
    at.map((index) => dataOf(results[index]!)?.captured.toString('latin1', 0, 6)),
    [undefined, 'GET /1', 'GET /0'],
  );
  // Once at its entry, once at its return.
  assert.equal(counter(results[counters]!, 'UNPAIRED_RETURN'), 2);
});

onEach('calls that a panic has left behind are forgotten', (script) => {
  script.enter('read', script.place(REQUEST), 100, { conn: OTHER_CONN });
  script.enter('read', script.place(REQUEST), 100, { conn: OTHER_CONN, frame: 2 * FRAME });
  const above = script.read(REQUEST, { frame: FRAME / 2 });
  script.enter('read', script.place(REQUEST), REQUEST.length);
  script.enter('read', script.place(REQUEST), 100, { conn: OTHER_CONN, frame: 2 * FRAME });
  const outer = script.leave('read', REQUEST.length);
  const unpaired = script.leave('read', REQUEST.length);
  const counters = script.counters();
  const results = script.run();
  for (const at of [above, outer]) assert.ok(dataOf(results[at]!)!.captured.equals(REQUEST));
  assert.deepEqual(kinds(results[unpaired]!), []);
  assert.equal(counter(results[counters]!, 'UNPAIRED_RETURN'), 1);
});

onEach('the descriptor below a connection gives its addresses, of a program that was relocated too', (script) => {
  const base = 0x5555_0000_0000;
  for (const [fd, site] of [
    [1, SITE],
    [2, SITE + base],
  ] as const) {
    script.add(`socket ${fd} 2 6 1 ${8080 + fd} 40000`);
    script.connection(fd, { conn: CONN + fd * 0x1000, method: TCP_READ + site - SITE });
  }
  const client = script.write(REQUEST, { conn: CONN + 0x1000 });
  const server = script.read(REQUEST, { conn: CONN + 0x2000, site: SITE + base });
  const counters = script.counters();
  const results = script.run();
  assert.equal(endsOf(results[client]!), ENDS_1.replace('8080', '8081'));
  assert.equal(endsOf(results[server]!), ENDS_1.replace('8080', '8082'));
  assert.equal(counter(results[counters]!, 'BOUND_OFFSET'), 2);
});

onEach('fields at other offsets', (script) => {
  const at = CONN + 0x10_0000;
  script.memory(CONN + 96, u64s(at, at + 0x400));
  script.memory(at + 1016, u64s(TCP_READ));
  script.memory(at + 0x400 + 8, u64s(at + 0x800));
  script.memory(at + 0x800 + 104, u64s(1));
  const path = { conn: 96, readMethod: 1016, fd: 8, sysfd: 104, tcpReadDistance: TCP_READ - SITE };
  const write = script.write(REQUEST, { path });
  const results = script.run();
  assert.equal(endsOf(results[write]!), ENDS_1);
});

onEach('what is no TCP connection of package net has no address', (script) => {
  const unknown: number[] = [];
  const ask = (change: () => void, call: Call = {}) => {
    script.enter('free', 0, 0);
    script.connection(1);
    change();
    unknown.push(script.write(REQUEST, call));
  };
  ask(() => script.connection(1, { method: TCP_READ + 16 }));
  ask(() => {}, { site: SITE + 8 });
  ask(() => {}, { path: undefined });
  ask(() => script.memory(CONN, u64s(UNMAPPED, UNMAPPED)));
  ask(() => script.memory(CONN, u64s(0, 0)));
  ask(() => script.memory(CONN, u64s(CONN + 0x10_0000, UNMAPPED)));
  ask(() => script.memory(CONN, u64s(CONN + 0x10_0000, 0)));
  ask(() => script.add(`forget ${CONN}`));
  for (const fd of [0, -1, 7, 8, 9, 2 ** 31, 2n ** 32n + 1n, 2n ** 63n]) ask(() => script.connection(fd));
  // Of a Unix socket, and of another protocol.
  ask(() => script.add('socket 1 1 6 1 8080 40000'));
  ask(() => script.add('socket 1 2 17 1 8080 40000'));
  const counters = script.counters();
  const results = script.run();
  for (const at of unknown) {
    assert.deepEqual(kinds(results[at]!), ['open', 'data']);
    assert.equal(endsOf(results[at]!), NO_ENDS);
  }
  assert.equal(counter(results[counters]!, 'BOUND_OFFSET'), 0);
});

onEach(
  'a record that moves inside of a call proves the socket, where the stack pointer says that it is inside',
  (script) => {
    const nested = (stackPointer: number, call: Call = {}) => {
      script.enter('free', 0, 0);
      script.enter('read', script.place(REQUEST), REQUEST.length, { path: undefined, ...call });
      script.receive([RECORD], { stackPointer });
      return script.leave('read', REQUEST.length, { path: undefined, ...call });
    };
    const inside = nested(TOP - FRAME - 0x100);
    const counters = script.counters();
    const outside = nested(TOP - FRAME + 0x100);
    const elsewhere = nested(TOP + 0x4000);
    const results = script.run();
    assert.equal(endsOf(results[inside]!), ENDS_1);
    assert.equal(counter(results[counters]!, 'BOUND_NESTED'), 1);
    for (const at of [outside, elsewhere]) assert.equal(endsOf(results[at]!), NO_ENDS);
  },
);

onEach('a record that moves in the other direction proves nothing', (script) => {
  const stackPointer = TOP - FRAME - 0x100;
  script.enter('read', script.place(REQUEST), REQUEST.length, { path: undefined });
  script.send([RECORD], { stackPointer });
  const read = script.leave('read', REQUEST.length, { path: undefined });
  script.enter('free', 0, 0);
  const call = { path: undefined, repeats: true };
  script.enter('write', script.place(REQUEST), 0, call);
  script.receive([RECORD], { stackPointer });
  script.leave('write', 0, call);
  const write = script.write(REQUEST, call);
  const none = script.counters();
  // A Write that is kept can be proven.
  script.enter('write', script.place(RESPONSE), RESPONSE.length, call);
  script.send([RECORD], { stackPointer });
  const one = script.counters();
  const results = script.run();
  for (const at of [read, write]) assert.equal(endsOf(results[at]!), NO_ENDS);
  assert.equal(counter(results[none]!, 'BOUND_NESTED'), 0);
  assert.equal(counter(results[one]!, 'BOUND_NESTED'), 1);
});

onEach('TLS over TLS: the socket is that of the inner connection', (script) => {
  const inner = { conn: OTHER_CONN, frame: 2 * FRAME, path: undefined };
  script.enter('read', script.place(REQUEST), REQUEST.length, { path: undefined });
  script.enter('read', script.place(RESPONSE), RESPONSE.length, inner);
  script.receive([RECORD], { stackPointer: TOP - 3 * FRAME });
  const below = script.leave('read', RESPONSE.length, inner);
  const above = script.leave('read', REQUEST.length, { path: undefined });
  const results = script.run();
  assert.equal(endsOf(results[below]!), ENDS_1);
  assert.equal(endsOf(results[above]!), NO_ENDS);
});

onEach('two ways that name two sockets leave none', (script) => {
  script.connection(2);
  script.enter('read', script.place(REQUEST), REQUEST.length);
  script.receive([RECORD], { stackPointer: TOP - FRAME - 0x100 });
  const read = script.leave('read', REQUEST.length);
  const counters = script.counters();
  // The same the other way around, which is too late for what was announced.
  script.enter('free', 0, 0);
  script.write(REQUEST);
  script.enter('read', script.place(REQUEST), REQUEST.length);
  script.receive([RECORD], { stackPointer: TOP - FRAME - 0x100 });
  const later = script.counters();
  const results = script.run();
  assert.equal(endsOf(results[read]!), NO_ENDS);
  assert.equal(counter(results[counters]!, 'OFFSET_CONFLICT'), 1);
  assert.equal(counter(results[later]!, 'NESTED_CONFLICT'), 1);
});

onEach('a goroutine that cannot be read, full maps, a full ring: counted', (script) => {
  script.add(`forget ${GOROUTINE}`);
  const unreadable = script.read(REQUEST);
  script.stack(TOP);
  const outside = script.enter('read', script.place(REQUEST), 120, { frame: STACK_BYTES + 8 });
  const before = script.counters();
  script.add('full 1');
  const full = script.write(REQUEST);
  script.add('full 0');
  script.add('ring 0');
  script.write(REQUEST);
  script.add('ring 100000');
  const found = script.write(REQUEST);
  const after = script.counters();
  const results = script.run();
  for (const at of [unreadable, outside, full]) assert.deepEqual(kinds(results[at]!), []);
  assert.equal(counter(results[before]!, 'LOST_READ'), 2);
  assert.equal(counter(results[after]!, 'LOST_MAP_FULL'), 1);
  assert.equal(counter(results[after]!, 'LOST_RING'), 1);
  assert.equal(dataOf(results[found]!)!.position, REQUEST.length);
});

onEach('the agent itself, others than the only one, and excluded processes are not looked at', (script) => {
  for (const settings of [{ selfPid: 10 }, { onlyPid: 99 }]) {
    script.settings(settings);
    script.add('ring 0');
    script.write(REQUEST);
    script.read(REQUEST);
  }
  const counters = script.counters();
  script.add('ring 100000');
  script.add('exclude nginx');
  script.settings({ filterEpoch: 2 });
  const excluded = script.write(REQUEST);
  script.add('include nginx');
  script.settings({ filterEpoch: 3 });
  const included = script.write(REQUEST);
  const results = script.run();
  assert.ok(results[counters]!.values.every((value) => value === '0'));
  assert.deepEqual(kinds(results[excluded]!), []);
  assert.equal(dataOf(results[included]!)!.position, REQUEST.length, 'what was excluded is a gap');
});
