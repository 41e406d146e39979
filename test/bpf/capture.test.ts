/**
 * What is copied of a chunk (bpf/emit.bpf.h, bpf/capture.bpf.h): sizes around every class of records, budgets, tails,
 * iovecs, faults, a full ring, excluded processes. Both socket front ends.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SCOPE } from '../../src/abi/events.ts';
import { counter, failedReserves } from './host.ts';
import {
  ascii,
  assertFromChunk,
  dataOf,
  FRONT_ENDS,
  kinds,
  PID,
  payload,
  Script,
  TID,
  UNMAPPED,
  u64s,
  type Via,
} from './script.ts';

const SIZES = [
  ...[1, 7, 8, 9, 24, 25, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025],
  ...[4095, 4096, 4097, 8191, 8192, 8193, 16383, 16384, 16385, 65536],
];
const BUDGETS = [64, 127, 128, 1000, 4096, 8192, 16384];
const REQUEST = 'GET /';
/** No record holds more of a chunk. */
const MOST = 16383;
const TAIL = 8;

const split = (bytes: Buffer, at: readonly number[]) =>
  [0, ...at].map((from, index) => bytes.subarray(from, at[index] ?? bytes.length));

test('of a start line its budget is copied, and the end that may terminate a body', () => {
  for (const captureBytes of BUDGETS) {
    const script = new Script();
    const cases = SIZES.filter((size) => size >= REQUEST.length).flatMap((size) =>
      ['\n', '0', 'x'].map((end) => {
        script.begin({ captureBytes });
        const chunk = payload(size, REQUEST, size > REQUEST.length ? end : '');
        return { chunk, at: script.receive([chunk]) };
      }),
    );
    const results = script.run();
    for (const { chunk, at } of cases) {
      const record = dataOf(results[at]!);
      const name = `${chunk.length} bytes, budget ${captureBytes}, end ${JSON.stringify(chunk.toString('latin1').at(-1))}`;
      assert.ok(record, name);
      assertFromChunk(record, chunk);
      const captured = Math.min(chunk.length, captureBytes, MOST);
      const mayEnd = '\r\n0'.includes(chunk.toString('latin1').at(-1)!);
      assert.equal(record.captured.length, captured, name);
      assert.equal(record.tail.length, mayEnd ? Math.min(TAIL, chunk.length - captured) : 0, name);
      assert.deepEqual([record.pid, record.tid, record.position], [PID, TID, 0]);
    }
  }
});

test('of a body the rest of the budget is copied, then nothing but what is short and the end', () => {
  for (const size of SIZES) {
    const script = new Script();
    script.begin({ captureBytes: 256 });
    const head = payload(100, 'HTTP/1.1 200 OK\r\n');
    script.send([head]);
    let budget = 256 - head.length;
    let position = head.length;
    const cases = ['\n', 'x', '0'].map((end) => {
      const chunk = payload(size, '', end);
      const captured = size <= Math.max(budget, TAIL) ? size : budget;
      budget -= Math.min(captured, budget);
      const tail = end !== 'x' ? Math.min(TAIL, size - captured) : 0;
      const expected = { chunk, at: script.send([chunk]), captured, tail, position };
      position += size;
      return expected;
    });
    const next = script.send([head]);
    const results = script.run();
    for (const { chunk, at, captured, tail, position } of cases) {
      const record = dataOf(results[at]!)!;
      assertFromChunk(record, chunk);
      assert.deepEqual(
        [record.captured.length, record.tail.length, record.position],
        [captured, tail, position],
        `${size} bytes`,
      );
    }
    assert.ok(dataOf(results[next]!)!.captured.equals(head), 'a start line brings a new budget');
  }
});

test('a turn brings a new budget', () => {
  const script = new Script();
  script.begin({ captureBytes: 64 });
  const body = payload(64, '', 'x');
  script.receive([payload(64, 'POST / HTTP/1.1\r\n')]);
  const spent = script.receive([body]);
  script.send([payload(64, 'HTTP/1.1 200 OK\r\n')]);
  const turned = script.receive([body]);
  const again = script.receive([body]);
  const results = script.run();
  assert.equal(dataOf(results[spent]!)!.captured.length, 0);
  assert.ok(dataOf(results[turned]!)!.captured.equals(body));
  assert.equal(dataOf(results[again]!)!.captured.length, 0);
});

test('an iovec of 1 to 40 segments is gathered in order, empty ones too', () => {
  for (const captureBytes of [64, 300, 8192]) {
    const script = new Script();
    const cases = [];
    for (let count = 1; count <= 40; count++) {
      for (const size of [1, 13, 300]) {
        const segments = Array.from({ length: count }, (_, index) =>
          payload(
            index === 0 ? REQUEST.length : index % 5 === 3 ? 0 : size,
            index === 0 ? REQUEST : String.fromCharCode(65 + (index % 26)),
          ),
        );
        for (const via of ['writev', 'sendmsg'] satisfies Via[]) {
          script.begin({ captureBytes });
          cases.push({ segments, via, at: script.send(segments, { via }) });
        }
      }
    }
    const results = script.run();
    for (const { segments, via, at } of cases) {
      const name = `${via} of ${segments.length} segments of ${segments[1]?.length}, budget ${captureBytes}`;
      const whole = Buffer.concat(segments);
      const gathered = Buffer.concat(segments.slice(0, 32)).length;
      const record = dataOf(results[at]!);
      assert.ok(record, name);
      assertFromChunk(record, whole);
      assert.equal(record.captured.length, Math.min(gathered, captureBytes, whole.length), name);
      // One segment is a buffer. Of several the end of the last that is not empty is kept, if it is among the first 32.
      const last = segments.findLast(({ length }) => length > 0)!;
      if (segments.length > 1) {
        const kept = gathered < whole.length ? 0 : Math.min(TAIL, last.length, whole.length - record.captured.length);
        assert.equal(record.tail.length, kept, name);
      }
    }
  }
});

test('segments cut the chunk anywhere, and only what was moved of them counts', () => {
  const script = new Script();
  const whole = payload(700, 'HTTP/1.1 200 OK\r\nServer: x\r\n', '\r\n0\r\n\r\n');
  const cases: { at: number; moved: number }[] = [];
  for (const cuts of [[1], [4, 7], [8, 8, 8], [0, 300], [699], [255, 256, 257], [1, 2, 3, 4, 5], [300, 700]]) {
    for (const moved of [24, 299, 300, 301, 693, 699, 700]) {
      script.begin({ captureBytes: 128 });
      cases.push({ moved, at: script.receive(split(whole, cuts), { via: 'readv', moved }) });
    }
  }
  const results = script.run();
  for (const { at, moved } of cases) {
    const record = dataOf(results[at]!)!;
    assertFromChunk(record, whole.subarray(0, moved));
    assert.equal(record.captured.length, Math.min(128, moved));
    assert.ok(record.tail.length > 0 === moved > 128);
  }
});

test('nothing of a chunk that faults is sent, least of all zeros', () => {
  for (const frontEnd of FRONT_ENDS) {
    const script = new Script(frontEnd);
    const head = payload(40, 'HTTP/1.1 200 OK\r\n');
    const body = payload(400, '', '\n');
    script.send([head]);
    const buffer = script.send([body], { address: UNMAPPED });
    const good = script.place(body.subarray(0, 200));
    const segment = script.send([body.subarray(0, 200), body.subarray(200)], {
      address: script.place(u64s(good, 200, UNMAPPED, 200)),
    });
    const array = script.send([body, body], { address: UNMAPPED });
    const counters = script.counters();
    const results = script.run();
    let position = head.length;
    for (const [at, length] of [
      [buffer, 400],
      [segment, 400],
      [array, 800],
    ] as const) {
      const record = dataOf(results[at]!)!;
      assert.deepEqual([record.captured.length, record.tail.length], [0, 0]);
      assert.deepEqual([record.position, record.length], [position, length]);
      position += length;
    }
    assert.ok(counter(results[counters]!, 'LOST_READ') >= 3);
  }
});

test('an iovec whose first entries cannot be read tells nothing of where the chunk ends', () => {
  const script = new Script();
  script.send([payload(100, 'HTTP/1.1 200 OK\r\n')]);
  const whole = payload(600, '', '\r\n0\r\n\r\n');
  const address = script.placeRaw(u64s(script.place(whole), 10_000));
  const at = script.receive([payload(200), payload(400)], { address: address - 16 });
  const record = dataOf(script.run()[at]!)!;
  assert.deepEqual([record.captured.length, record.tail.length], [0, 0]);
});

test('what stands behind an iovec does not matter', () => {
  const script = new Script();
  const chunk = payload(200, 'HTTP/1.1 200 OK\r\n', '\r\n');
  const cases = (
    [
      [-1n, -1n],
      [1n << 63n, 5n],
      [0n, 1n << 63n],
      [1n << 47n, 0n],
    ] as const
  ).map(([base, length]) => {
    script.begin();
    const vector = u64s(script.place(chunk.subarray(0, 120)), 120, script.place(chunk.subarray(120)), 80);
    const address = script.place(Buffer.concat([vector, u64s(base, length, base, length)]));
    return script.send([chunk.subarray(0, 120), chunk.subarray(120)], { address });
  });
  const results = script.run();
  for (const at of cases) assert.ok(dataOf(results[at]!)!.captured.equals(chunk));
});

test('an iovec that another thread changes while it is read breaks no bound', () => {
  const script = new Script();
  const chunk = payload(700, 'HTTP/1.1 200 OK\r\n', '\r\n');
  const segments = [chunk.subarray(0, 300), chunk.subarray(300)];
  const cases: number[] = [];
  const top = 1n << 63n;
  for (const lengths of [
    [-1n, -1n],
    [top, 1n],
    [top - 1n, 1n << 62n],
    [1n << 32n, 4n],
    [0n, 0n],
    [5n, 3n],
  ] as const) {
    // Each read that the program makes of the chunk, and one more.
    for (let reads = 1; reads <= 24; reads++) {
      script.begin();
      const [first, second] = [script.place(segments[0]!), script.place(segments[1]!)];
      const address = script.place(u64s(first, 300, second, 400));
      const changed = u64s(first, lengths[0], second, lengths[1]).toString('hex');
      script.add(`race ${reads} ${address} ${changed}`);
      cases.push(script.send(segments, { address }));
    }
  }
  const results = script.run();
  // readRecord() holds each record against its bounds.
  assert.ok(cases.filter((at) => dataOf(results[at]!)?.length === 700).length > cases.length / 2);
});

test('a chunk whose last page alone can be read keeps its end', () => {
  const script = new Script();
  script.begin({ captureBytes: 64 });
  script.send([payload(64, 'HTTP/1.1 200 OK\r\n')]);
  const end = ascii('\r\n0\r\n\r\n');
  const placed = script.place(Buffer.concat([Buffer.alloc(1), end]));
  // The memory in front of it, canary included, is not part of any region.
  const at = script.send([payload(5000)], { address: placed + 1 + end.length - 5000 });
  const record = dataOf(script.run()[at]!)!;
  assert.equal(record.captured.length, 0);
  assert.ok(record.tail.subarray(-7).equals(end));
});

test('a full ring is counted, and positions go on', () => {
  for (const frontEnd of FRONT_ENDS) {
    const script = new Script(frontEnd);
    const request = payload(100, 'GET / HTTP/1.1\r\n');
    script.add('ring 0');
    const unannounced = script.receive([request]);
    script.add('ring 1000000');
    const announced = script.receive([request]);
    script.add('ring 0');
    const lost = script.receive([request]);
    const lostIovec = script.receive([request, request]);
    const end = script.state(1, 4);
    script.add('ring 1000000');
    const after = script.receive([request]);
    const counters = script.counters();
    const results = script.run();
    assert.deepEqual(kinds(results[unannounced]!), []);
    assert.deepEqual(kinds(results[announced]!), ['open', 'data']);
    assert.equal(dataOf(results[announced]!)!.position, 100);
    for (const at of [lost, lostIovec, end]) assert.deepEqual(kinds(results[at]!), []);
    assert.equal(dataOf(results[after]!)!.position, 500);
    assert.equal(counter(results[counters]!, 'LOST_RING'), 4);
    assert.equal(failedReserves(results[counters]!), 4);
  }
});

test('excluded processes, the agent itself, and all but the only one write nothing', () => {
  for (const frontEnd of FRONT_ENDS) {
    const script = new Script(frontEnd);
    const request = payload(100, 'GET / HTTP/1.1\r\n');
    // Whoever reserved a record, even to discard it, would be counted.
    const silent: number[] = [];
    const move = () => silent.push(script.receive([request]), script.send([request, request]));
    for (const settings of [{ selfPid: PID }, { onlyPid: PID + 1 }]) {
      script.begin(settings);
      script.add('ring 0');
      move();
      silent.push(script.state(1, 7));
      const counters = script.counters();
      silent.push(counters);
    }
    script.begin();
    script.add('ring 0');
    script.add('exclude nginx');
    move();
    silent.push(script.state(1, 4));
    const excluded = script.counters();
    // The exclusion is lifted: the stream goes on, with the gap in its positions that TCP tells.
    script.add('include nginx');
    script.settings({ filterEpoch: 2 });
    script.add('ring 1000000');
    const included = script.receive([request]);
    script.add('exclude nginx');
    script.settings({ filterEpoch: 3 });
    silent.push(script.receive([request]));
    script.add('include nginx');
    script.settings({ filterEpoch: 4 });
    const again = script.receive([request]);
    const results = script.run();
    for (const at of silent) {
      assert.deepEqual(results[at]!.records, []);
      if (results[at]!.values.length > 0) assert.equal(failedReserves(results[at]!), 0);
    }
    assert.equal(counter(results[excluded]!, 'CHUNKS_EXCLUDED'), 2);
    assert.equal(failedReserves(results[excluded]!), 0);
    assert.deepEqual(kinds(results[included]!), ['open', 'data']);
    assert.equal(dataOf(results[again]!)!.position, 200);
  }
});

test('what may become a start line is sent, what is none is only counted', () => {
  const script = new Script();
  const results: Record<string, number> = {};
  for (const [name, chunk] of Object.entries({
    binary: Buffer.alloc(3000, 1),
    handshake: Buffer.from('1603010200010001fc0303', 'hex'),
    method: ascii('DELE'),
    redis: ascii('*1\r\n$4\r\nPING\r\n'),
  })) {
    script.begin();
    results[name] = script.receive([chunk]);
    results[`${name} counters`] = script.counters();
  }
  const done = script.run();
  assert.deepEqual(kinds(done[results.binary!]!), []);
  assert.equal(counter(done[results['binary counters']!]!, 'CHUNKS_OTHER'), 1);
  assert.deepEqual(kinds(done[results.handshake!]!), ['tls_seen']);
  assert.equal(counter(done[results['handshake counters']!]!, 'CHUNKS_TLS'), 1);
  assert.deepEqual(kinds(done[results.method!]!), ['open', 'data']);
  assert.equal(counter(done[results['method counters']!]!, 'CHUNKS_HTTP'), 1);
  assert.deepEqual(kinds(done[results.redis!]!), []);
});

test('TLS inside of a HTTP connection is not copied', () => {
  const script = new Script();
  script.receive([ascii('CONNECT host:443 HTTP/1.1\r\n\r\n')]);
  script.send([ascii('HTTP/1.1 200 OK\r\n\r\n')]);
  const hello = script.receive([Buffer.concat([Buffer.from('160301', 'hex'), payload(500)])]);
  const later = script.receive([payload(100, 'x', '\n')]);
  const results = script.run();
  assert.equal(dataOf(results[hello]!), undefined);
  assert.equal(dataOf(results[later]!)!.position, 29 + 503);
});

describe('scope by cgroup', () => {
  const IN = SCOPE.IN;
  const OUT = SCOPE.OUT;
  /** name, default, entries, is it captured? The process is in 10/20/30/40, the root above. */
  const cases: readonly (readonly [string, number, Readonly<Record<number, number>>, boolean])[] = [
    ['nothing is decided', IN, {}, true],
    ['nothing is decided, and only what is named is captured', OUT, {}, false],
    ['its own cgroup is out', IN, { 40: OUT }, false],
    ['the pod is out', IN, { 30: OUT }, false],
    ['another is out', IN, { 31: OUT }, true],
    ['the nearest counts: the pod is in, what is above is out', IN, { 10: OUT, 30: IN }, true],
    ['the nearest counts: the pod is out, what is above is in', OUT, { 10: IN, 30: OUT }, false],
    ['only the pod is in', OUT, { 30: IN }, true],
    ['without a scope the map is not asked', SCOPE.UNLIMITED, { 40: OUT }, true],
  ];
  for (const frontEnd of FRONT_ENDS) {
    for (const [name, scope, entries, captured] of cases) {
      test(`${frontEnd}: ${name}`, () => {
        const script = new Script(frontEnd);
        script.settings({ scope });
        script.add('cgroups 4 10 20 30 40');
        for (const [id, value] of Object.entries(entries)) script.add(`scope ${id} ${value}`);
        script.add(captured ? 'ring 1000000' : 'ring 0');
        const moved = script.receive([payload(100, 'GET / HTTP/1.1\r\n')]);
        const counters = script.counters();
        const results = script.run();
        assert.deepEqual(kinds(results[moved]!), captured ? ['open', 'data'] : []);
        assert.equal(counter(results[counters]!, 'CHUNKS_EXCLUDED'), captured ? 0 : 1);
        assert.equal(counter(results[counters]!, 'CAPTURED_BYTES'), captured ? 100 : 0);
        assert.equal(failedReserves(results[counters]!), 0);
      });
    }
  }

  test('a decision that changes holds for connections that are there', () => {
    const script = new Script();
    const request = payload(100, 'GET / HTTP/1.1\r\n');
    script.settings({ scope: IN });
    script.add('cgroups 2 10 20');
    const before = script.receive([request]);
    script.add(`scope 20 ${OUT}`);
    script.settings({ scope: IN, filterEpoch: 2 });
    const out = script.receive([request]);
    script.add('scope 20 0');
    script.settings({ scope: IN, filterEpoch: 3 });
    const after = script.receive([request]);
    const results = script.run();
    assert.deepEqual(
      [before, out, after].map((at) => kinds(results[at]!).length),
      [2, 0, 1],
    );
    assert.equal(dataOf(results[after]!)!.position, 200);
  });
});

test('cgroups that are made and removed, of the v2 hierarchy alone', () => {
  const script = new Script();
  script.settings({ scope: SCOPE.IN });
  script.add('cgroups 2 10 20');
  const made = script.add('cgroup_mkdir /kubepods/pod1');
  const long = script.add(`cgroup_mkdir /${'x'.repeat(700)}`);
  script.add('hierarchy 3');
  const other = script.add('cgroup_mkdir /kubepods/pod1');
  script.add('hierarchy 0');
  script.add(`scope 20 ${SCOPE.OUT}`);
  const gone = script.add('cgroup_rmdir /kubepods/pod1');
  // Its inode may serve another: no decision is left.
  const moved = script.receive([payload(100, 'GET / HTTP/1.1\r\n')]);
  const results = script.run();
  const told = [made, gone].map((at) =>
    results[at]!.records.map((record) => [record.kind, 'path' in record && record.path]),
  );
  assert.deepEqual(told, [[['cgroup_made', '/kubepods/pod1']], [['cgroup_gone', '/kubepods/pod1']]]);
  assert.deepEqual(kinds(results[long]!), ['cgroup_made']);
  assert.deepEqual(kinds(results[other]!), []);
  assert.deepEqual(kinds(results[moved]!), ['open', 'data']);
});
