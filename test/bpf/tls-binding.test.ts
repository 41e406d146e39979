/**
 * The socket of an SSL object whose records move in system calls of their own (bpf/tls-binding.bpf.h): what binds, and
 * what must not. All records are of TLS 1.3 unless a case says otherwise: 17 bytes more than their plaintext.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ARCHITECTURES, type Architecture, counter, type Result } from './host.ts';
import { kinds, type Move, payload } from './script.ts';
import { STACK, TlsScript } from './tls-script.ts';

const A = 0x5000;
const B = 0x6000;
const REQUEST = payload(120, 'GET / HTTP/1.1\r\n');
const RESPONSE = payload(90, 'HTTP/1.1 200 OK\r\n');
const TLS13 = 17;
/** `10.0.0.1:8080 10.0.0.2:40000`, as test/bpf/world.h has every socket. */
const ENDS = `2 0a000001${'0'.repeat(24)} 8080 0a000002${'0'.repeat(24)} 40000`;
const NO_ENDS = `0 ${'0'.repeat(32)} 0 ${'0'.repeat(32)} 0`;

function record(plaintextBytes: number, added = TLS13, type = 0x17): Buffer {
  const length = plaintextBytes + added;
  return Buffer.concat([Buffer.from([type, 3, 3, length >> 8, length & 255]), Buffer.alloc(length, 0xaa)]);
}

class BindingScript extends TlsScript {
  readonly operations: number[] = [];

  constructor(architecture: Architecture) {
    super(architecture);
    // A thread is watched from its first TLS call on.
    this.readNothing(0x7000);
  }

  write(ssl: number, bytes = RESPONSE): void {
    this.operations.push(this.call('write', ssl, bytes));
  }

  read(ssl: number, bytes = REQUEST): void {
    this.operations.push(this.call('read', ssl, bytes));
  }

  readNothing(ssl: number): void {
    this.enter('read', ssl, this.place(payload(1)));
    this.leave('read', -1);
  }

  sent(socket: number, bytes: Buffer = record(RESPONSE.length), move: Move = {}): void {
    this.operations.push(this.send([bytes], { socket, ...move }));
  }

  received(socket: number, bytes: Buffer = record(REQUEST.length), move: Move = {}): void {
    this.operations.push(this.receive([bytes], { socket, ...move }));
  }

  /** A request that comes in and its response, of a server. */
  exchange(ssl: number, socket: number): void {
    this.received(socket);
    this.read(ssl);
    this.readNothing(ssl);
    this.write(ssl);
    this.sent(socket);
  }
}

interface Seen {
  /** By SSL object: the addresses that were last told, '' for none. */
  readonly ends: Map<number, string>;
  readonly bound: number;
  readonly conflicts: number;
}

function see(script: BindingScript): Seen {
  const counters = script.counters();
  const results: Result[] = script.run();
  const byConnection = new Map<number, number>();
  const ends = new Map<number, string>();
  for (const { records } of results) {
    for (const each of records) {
      if (each.kind === 'open') byConnection.set(each.connection, each.tls!);
      if (each.kind !== 'open' && each.kind !== 'bound') continue;
      ends.set(byConnection.get(each.connection)!, each.ends === NO_ENDS ? '' : each.ends!);
    }
  }
  const count = (name: 'BOUND_RECORD' | 'RECORD_CONFLICT') => counter(results[counters]!, name);
  return { ends, bound: count('BOUND_RECORD'), conflicts: count('RECORD_CONFLICT') };
}

function begin(run: (script: BindingScript) => void): Seen {
  const script = new BindingScript('x86');
  run(script);
  return see(script);
}

const isBound = (seen: Seen, ssl = A) => assert.deepEqual([seen.ends.get(ssl), seen.conflicts], [ENDS, 0]);
const isUnknown = (seen: Seen, ssl = A) => assert.equal(seen.ends.get(ssl), '');

for (const architecture of ARCHITECTURES) {
  test(`${architecture}: a server is bound by its first response, told behind it`, () => {
    const script = new BindingScript(architecture);
    script.exchange(A, 1);
    const results = script.run();
    assert.deepEqual(
      script.operations.map((at) => kinds(results[at]!)),
      [[], ['open', 'data'], ['data'], ['bound']],
    );
    isBound(see(script));
  });

  test(`${architecture}: a client is bound by its first response, told before it`, () => {
    const script = new BindingScript(architecture);
    script.write(A, REQUEST);
    script.sent(1, record(REQUEST.length));
    script.received(1, record(RESPONSE.length));
    script.read(A, RESPONSE);
    const results = script.run();
    assert.deepEqual(
      script.operations.map((at) => kinds(results[at]!)),
      [['open', 'data'], [], [], ['bound', 'data']],
    );
    isBound(see(script));
  });
}

test('two objects on one thread, one inside of the other: a server that calls out', () => {
  const seen = begin((script) => {
    script.received(1);
    script.read(A);
    script.readNothing(A);
    script.write(B, REQUEST);
    script.sent(2, record(REQUEST.length));
    script.received(2, record(RESPONSE.length));
    script.read(B, RESPONSE);
    script.readNothing(B);
    script.write(A);
    script.sent(1);
  });
  isBound(seen);
  isBound(seen, B);
  assert.equal(seen.bound, 2);
});

test('one direction alone proves nothing, however often', () => {
  isUnknown(
    begin((script) => {
      for (let i = 0; i < 20; i++) {
        script.received(1);
        script.read(A);
        script.readNothing(A);
      }
    }),
  );
  isUnknown(
    begin((script) => {
      for (let i = 0; i < 20; i++) {
        script.write(A);
        script.sent(1);
      }
    }),
  );
});

test('the records of every cipher suite fit, others do not', () => {
  const fits = (plaintext: number, added: number) =>
    begin((script) => {
      script.received(1);
      script.read(A);
      script.readNothing(A);
      script.write(A, payload(plaintext, 'HTTP/1.1 200 OK\r\n'));
      script.sent(1, record(Math.min(plaintext, 16384), added));
    }).bound === 1;
  for (const added of [16, 17, 24])
    for (const plaintext of [90, 1000, 16384, 40_000]) assert.ok(fits(plaintext, added));
  // CBC: whole blocks of 16 bytes, an IV and 20 to 48 bytes of MAC among them.
  for (const added of [38, 54, 70]) assert.ok(fits(90, added), `CBC ${added}`);
  for (const added of [-1, 0, 15, 18, 23, 25, 32, 37, 39, 86, 100]) assert.ok(!fits(90, added), `${added}`);
});

test('records before the one that fits are passed over: tickets, the end of a handshake', () => {
  isBound(
    begin((script) => {
      script.received(1, Buffer.concat([record(1, 0, 0x14), record(52), record(REQUEST.length)]));
      script.read(A);
      script.readNothing(A);
      script.write(A);
      script.sent(1, Buffer.concat([record(233), record(233), record(RESPONSE.length)]));
    }),
  );
});

test('records in pieces: the first segment is looked at, a cut record needs only its header', () => {
  isBound(
    begin((script) => {
      script.received(1, record(REQUEST.length), { moved: 60 });
      script.received(1, payload(82));
      script.read(A);
      script.readNothing(A);
      script.write(A);
      const whole = record(RESPONSE.length);
      script.operations.push(script.send([whole.subarray(0, 50), whole.subarray(50)], { socket: 1 }));
    }),
  );
});

test('of several writes before a send, the first is what the records begin with', () => {
  isBound(
    begin((script) => {
      script.received(1);
      script.read(A);
      script.write(A);
      script.write(A, payload(500));
      script.sent(1, Buffer.concat([record(RESPONSE.length), record(500)]));
    }),
  );
});

test('two objects that write before either sends: nothing is concluded, in whatever order they send', () => {
  for (const order of [
    [1, 2],
    [2, 1],
  ]) {
    const seen = begin((script) => {
      for (const [ssl, socket] of [
        [A, 1],
        [B, 2],
      ] as const) {
        script.received(socket);
        script.read(ssl);
        script.readNothing(ssl);
      }
      for (let i = 0; i < 8; i++) {
        script.write(A);
        script.write(B);
        for (const socket of order) script.sent(socket);
      }
    });
    isUnknown(seen);
    isUnknown(seen, B);
    assert.equal(seen.conflicts, 0);
  }
});

test('two sockets that receive before either is read: nothing is concluded', () => {
  const seen = begin((script) => {
    for (let i = 0; i < 8; i++) {
      script.received(1);
      script.received(2);
      script.read(A);
      script.read(B);
      script.write(A);
      script.sent(1);
      script.write(B);
      script.sent(2);
    }
  });
  isUnknown(seen);
  isUnknown(seen, B);
});

test('a program that reads always one behind is not bound wrongly', () => {
  const seen = begin((script) => {
    script.received(1);
    for (let i = 0; i < 8; i++) {
      script.received(2);
      script.read(A);
      script.readNothing(A);
      script.write(A);
      script.sent(1);
      script.received(1);
      script.read(B);
      script.readNothing(B);
      script.write(B);
      script.sent(2);
    }
  });
  isUnknown(seen);
  isUnknown(seen, B);
});

test('evidence for two sockets refuses both, for good', () => {
  const seen = begin((script) => {
    script.received(1);
    script.read(A);
    script.readNothing(A);
    script.write(A);
    script.sent(2);
    for (let i = 0; i < 3; i++) script.exchange(A, 1);
  });
  isUnknown(seen);
  assert.deepEqual([seen.bound, seen.conflicts], [0, 1]);
});

test('an address that turns out wrong is withdrawn', () => {
  const seen = begin((script) => {
    script.exchange(A, 1);
    script.write(A);
    script.sent(2);
    script.exchange(A, 1);
  });
  isUnknown(seen);
  assert.deepEqual([seen.bound, seen.conflicts], [1, 1]);
});

test('a socket is of one object: a second claim refuses both', () => {
  const seen = begin((script) => {
    script.exchange(A, 1);
    script.exchange(B, 1);
  });
  isUnknown(seen);
  isUnknown(seen, B);
});

test('an object that was freed claims nothing', () => {
  const seen = begin((script) => {
    script.exchange(A, 1);
    script.enter('free', A, 0);
    script.exchange(B, 1);
  });
  isBound(seen, B);
});

test('what a handshake or an alert received is taken by the call that gives nothing', () => {
  const seen = begin((script) => {
    script.received(2, record(52));
    script.readNothing(B);
    script.received(2, record(2));
    script.enter('shutdown', B, 0);
    script.exchange(A, 1);
  });
  isBound(seen);
});

test('a socket operation inside of a TLS call proves its socket, and records of others do not shake it', () => {
  const script = new BindingScript('x86');
  script.enter('read', A, script.place(REQUEST));
  script.received(1, record(REQUEST.length), { stackPointer: STACK - 512 });
  script.leave('read', REQUEST.length);
  script.exchange(A, 2);
  const seen = see(script);
  assert.equal(seen.ends.get(A), ENDS);
  assert.equal(seen.bound, 0);
});

test('threads are apart', () => {
  isUnknown(
    begin((script) => {
      script.received(1);
      script.read(A);
      script.write(A);
      script.thread(10, 12);
      script.enter('read', B, 0);
      script.sent(1);
    }),
  );
});
