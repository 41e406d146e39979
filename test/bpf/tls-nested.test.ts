/**
 * Socket operations that TLS calls make (bpf/socket-io.bpf.h): they bind the object to the socket, and from then on only
 * their bytes are counted, at the return of the call.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { counter } from './host.ts';
import { dataOf, kinds, payload } from './script.ts';
import { STACK, TlsScript } from './tls-script.ts';

const A = 0x5000;
const B = 0x6000;
const DEEPER = STACK - 512;
const REQUEST = payload(120, 'GET / HTTP/1.1\r\n');
const RESPONSE = payload(90, 'HTTP/1.1 200 OK\r\n');
/** Header and record of TLS 1.3. */
const record = (plaintext: Buffer) =>
  Buffer.concat([Buffer.from([0x17, 3, 3, 0, plaintext.length + 17]), Buffer.alloc(plaintext.length + 17, 0xaa)]);

class NestedScript extends TlsScript {
  constructor() {
    super('x86');
    this.add('thread 7 7 server server-exe');
  }

  /** @returns the index of what the return did */
  read(ssl: number, socket = 1): number {
    this.enter('read', ssl, this.place(REQUEST));
    this.receive([record(REQUEST)], { socket, stackPointer: DEEPER });
    return this.leave('read', REQUEST.length);
  }

  write(ssl: number, socket = 1): number {
    this.enter('write', ssl, this.place(RESPONSE));
    this.send([record(RESPONSE)], { socket, stackPointer: DEEPER });
    return this.leave('write', RESPONSE.length);
  }

  readNothing(ssl: number, bytes: Buffer, socket = 1): void {
    this.enter('read', ssl, this.place(REQUEST));
    this.receive([bytes], { socket, stackPointer: DEEPER });
    this.leave('read', -1);
  }

  bytes(): number {
    return this.add('tls_bytes 7');
  }
}

test('the bytes below TLS calls are counted, each once, whether they are looked at or not', () => {
  const script = new NestedScript();
  for (let i = 0; i < 3; i++) {
    script.read(A);
    script.write(A);
  }
  const before = script.bytes();
  // A record that gives the program nothing counts at the end of its call.
  script.readNothing(A, record(REQUEST));
  const after = script.bytes();
  const counters = script.counters();
  const results = script.run();
  const plaintext = 3 * (REQUEST.length + RESPONSE.length);
  const ciphertext = plaintext + 6 * 22;
  assert.deepEqual(results[before]!.values.map(Number), [plaintext, ciphertext]);
  assert.deepEqual(results[after]!.values.map(Number), [plaintext, ciphertext + REQUEST.length + 22]);
  assert.equal(counter(results[counters]!, 'CHUNKS_TLS'), 7);
  assert.equal(counter(results[counters]!, 'BOUND_NESTED'), 1);
});

test('an object that takes the place of a freed one is bound too, on the same socket', () => {
  const script = new NestedScript();
  for (let i = 0; i < 3; i++) script.read(A);
  script.enter('free', A, 0);
  const reads = [script.read(A), script.read(A)];
  const counters = script.counters();
  const results = script.run();
  assert.deepEqual(kinds(results[reads[0]!]!), ['open', 'data']);
  assert.equal(dataOf(results[reads[1]!]!)!.position, REQUEST.length);
  assert.equal(counter(results[counters]!, 'BOUND_NESTED'), 2);
});

test('another socket below a bound object withdraws its address, another object below a bound socket has its own', () => {
  const script = new NestedScript();
  for (let i = 0; i < 3; i++) script.read(A, 1);
  script.read(A, 2);
  const counters = script.counters();
  script.read(B, 1);
  const last = script.counters();
  const results = script.run();
  assert.equal(counter(results[counters]!, 'NESTED_CONFLICT'), 1);
  assert.equal(counter(results[last]!, 'BOUND_NESTED'), 2);
});

test('plaintext on a bound socket, by no TLS call, is captured', () => {
  const script = new NestedScript();
  for (let i = 0; i < 3; i++) script.read(A);
  const outside = script.receive([REQUEST], { socket: 1, stackPointer: DEEPER });
  const results = script.run();
  assert.deepEqual(kinds(results[outside]!), ['open', 'data']);
});

test('a call for the object of the call around it is not counted: the outer one tells of all bytes', () => {
  const script = new NestedScript();
  const halves = [RESPONSE.subarray(0, 40), RESPONSE.subarray(40)];
  const address = script.place(RESPONSE);
  script.enter('write', A, address);
  const inner = halves.map((half) => script.call('write', A, half, { stack: DEEPER }));
  const outer = script.leave('write', RESPONSE.length);
  // Another object's, of TLS in TLS, is.
  script.enter('read', A, script.place(REQUEST));
  const other = script.call('read', B, REQUEST, { stack: DEEPER });
  const results = script.run();
  assert.deepEqual(
    inner.map((at) => kinds(results[at]!)),
    [[], []],
  );
  const data = dataOf(results[outer]!)!;
  assert.deepEqual([data.position, data.length, Buffer.from(data.captured).toString()], [0, 90, RESPONSE.toString()]);
  assert.deepEqual(kinds(results[other]!), ['open', 'data']);
});
