/**
 * The socket below an SSL object by its own structures (bpf/tls-offsets.h): bound where everything agrees, and unknown
 * where anything is another than it should be. Everything that is read here could be written by a hostile program.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cookie, encodeCookie, encodeSocketFields, type SocketFields } from '../../src/probes/cookie.ts';
import { ARCHITECTURES, type Architecture, counter } from './host.ts';
import { payload, Script, UNMAPPED } from './script.ts';

const STACK = 0x7fff_0000_1000;
const REQUEST = payload(120, 'GET / HTTP/1.1\r\n');
const SOCKET_BIO = 0x505;

const LAYOUTS: Readonly<Record<string, SocketFields>> = {
  'OpenSSL 1.1.1': { sslReadBio: 16, sslWriteBio: 24, sslKind: undefined, bioMethod: 0, methodType: 0, bioNumber: 48 },
  'OpenSSL 3.0': { sslReadBio: 16, sslWriteBio: 24, sslKind: undefined, bioMethod: 8, methodType: 0, bioNumber: 56 },
  'OpenSSL 3.5': { sslReadBio: 80, sslWriteBio: 88, sslKind: 0, bioMethod: 8, methodType: 0, bioNumber: 56 },
  BoringSSL: { sslReadBio: 24, sslWriteBio: 32, sslKind: undefined, bioMethod: 0, methodType: 0, bioNumber: 24 },
};

interface Object {
  readonly layout?: SocketFields;
  readonly kind?: number;
  readonly type?: number;
  readonly descriptor?: number;
  /** Instead of the BIO for reading. */
  readonly writeBio?: number;
  readonly readBio?: number;
  readonly method?: number;
}

class OffsetScript extends Script {
  readonly #architecture: Architecture;

  constructor(architecture: Architecture) {
    super();
    this.#architecture = architecture;
  }

  override run() {
    return super.run(this.#architecture);
  }

  /** @returns the address of an SSL object whose structures say this. */
  object(of: Object = {}): number {
    const layout = of.layout ?? LAYOUTS['OpenSSL 3.0']!;
    const { kind = 0, type = SOCKET_BIO, descriptor = 1 } = of;
    const method = Buffer.alloc(64, 0x33);
    method.writeUInt32LE(type, layout.methodType);
    const bio = Buffer.alloc(128, 0x44);
    bio.writeBigUInt64LE(BigInt(of.method ?? this.place(method)), layout.bioMethod);
    bio.writeInt32LE(descriptor, layout.bioNumber);
    const bioAddress = of.readBio ?? this.place(bio);
    const ssl = Buffer.alloc(256, 0x55);
    if (layout.sslKind !== undefined) ssl.writeUInt32LE(kind, layout.sslKind);
    ssl.writeBigUInt64LE(BigInt(bioAddress), layout.sslReadBio);
    ssl.writeBigUInt64LE(BigInt(of.writeBio ?? bioAddress), layout.sslWriteBio);
    return this.place(ssl);
  }

  /** A call that reads a request. @returns the index of what its return did */
  read(ssl: number, layout: SocketFields | 'unknown' = LAYOUTS['OpenSSL 3.0']!, inside?: () => void): number {
    const call: Cookie = { operation: 'read', convention: 'n', uretprobe: false, register: 0, depthBytes: 0 };
    const cookie = encodeCookie(call);
    this.add(`entry ${cookie} ${STACK} ${ssl} ${this.place(REQUEST)} 0`);
    inside?.();
    const bits = layout === 'unknown' ? 0n : encodeSocketFields(layout);
    return this.add(`return ${cookie | bits} ${STACK} ${REQUEST.length}`);
  }
}

function onEach(name: string, run: (script: OffsetScript) => void): void {
  for (const architecture of ARCHITECTURES) test(`${architecture}: ${name}`, () => run(new OffsetScript(architecture)));
}

/** `family … local port … remote port` of the connection that the return announced. */
function ends(result: ReturnType<Script['run']>[number]): string {
  const [opened] = result.records;
  assert.ok(opened?.kind === 'open');
  return opened.ends!;
}

const bound = (text: string) => / 8080 .* 40000$/.test(text);
const unknown = (text: string) => text.startsWith('0 ');

for (const [name, layout] of Object.entries(LAYOUTS)) {
  onEach(`${name}: the connection is announced with the addresses of its socket`, (script) => {
    const read = script.read(script.object({ layout }), layout);
    const counters = script.counters();
    const results = script.run();
    assert.ok(bound(ends(results[read]!)), ends(results[read]!));
    assert.equal(counter(results[counters]!, 'BOUND_OFFSET'), 1);
  });
}

const DOUBTS: readonly [name: string, of: Object][] = [
  ['a QUIC object', { layout: LAYOUTS['OpenSSL 3.5']!, kind: 0x80 }],
  ['a BIO of memory', { type: 0x401 }],
  ['a BIO of another file descriptor', { type: 0x504 }],
  ['a BIO of another kind for writing', { writeBio: 0x7000 }],
  ['no BIO', { readBio: 0 }],
  ['a BIO that cannot be read', { readBio: UNMAPPED }],
  ['a method that cannot be read', { method: UNMAPPED }],
  ['no method', { method: 0 }],
  ['a BIO in the kernel', { readBio: 0xffff_8000_0000 }],
  ['no descriptor', { descriptor: -1 }],
  ['a descriptor that is none', { descriptor: 1_000_000 }],
  ['a descriptor of a UDP socket', { descriptor: 5 }],
  ['a descriptor of a socket of another kind', { descriptor: 6 }],
];

for (const [name, of] of DOUBTS) {
  onEach(`unknown: ${name}`, (script) => {
    script.add('socket 5 2 17 1 8080 40000');
    const read = script.read(script.object(of), of.layout ?? LAYOUTS['OpenSSL 3.0']!);
    const counters = script.counters();
    const results = script.run();
    assert.ok(unknown(ends(results[read]!)), ends(results[read]!));
    assert.equal(counter(results[counters]!, 'BOUND_OFFSET'), 0);
  });
}

onEach('unknown: a layout that nobody knows', (script) => {
  const read = script.read(script.object(), 'unknown');
  assert.ok(unknown(ends(script.run()[read]!)));
});

onEach('unknown: an SSL object that cannot be read', (script) => {
  const read = script.read(UNMAPPED);
  assert.ok(unknown(ends(script.run()[read]!)));
});

const RECORD = Buffer.concat([Buffer.from('1703030100', 'hex'), payload(256)]);

onEach('what a system call inside of the call has bound is checked, once', (script) => {
  const ssl = script.object();
  const inside = () => void script.receive([RECORD], { via: 'recvfrom', stackPointer: STACK - 64 });
  const read = script.read(ssl, LAYOUTS['OpenSSL 3.0']!, inside);
  script.read(ssl, LAYOUTS['OpenSSL 3.0']!, inside);
  const counters = script.counters();
  const results = script.run();
  assert.ok(bound(ends(results[read]!)));
  assert.equal(counter(results[counters]!, 'BOUND_NESTED'), 1);
  assert.equal(counter(results[counters]!, 'OFFSET_AGREED'), 1);
  assert.equal(counter(results[counters]!, 'BOUND_OFFSET'), 0);
});

onEach('of two that disagree, neither is believed', (script) => {
  const ssl = script.object({ descriptor: 2 });
  const inside = () => void script.receive([RECORD], { via: 'recvfrom', stackPointer: STACK - 64 });
  const read = script.read(ssl, LAYOUTS['OpenSSL 3.0']!, inside);
  const counters = script.counters();
  const results = script.run();
  assert.ok(unknown(ends(results[read]!)), ends(results[read]!));
  assert.equal(counter(results[counters]!, 'OFFSET_CONFLICT'), 1);
  assert.equal(counter(results[counters]!, 'OFFSET_AGREED'), 0);
});
