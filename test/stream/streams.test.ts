/** Positions, gaps, detection and the bounds of Streams, with a protocol that only writes down what it is given. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConnectionInfo, Direction, Match, Owner, Protocol } from '../../src/stream/contract.ts';
import { EGRESS, INGRESS } from '../../src/stream/contract.ts';
import { Streams } from '../../src/stream/streams.ts';

function owner(pid: number): Owner {
  return { pid, comm: `p${pid}`, namespace: '', pod: '', container: '', service: '' };
}

function info(id: number | string, pid = 1): ConnectionInfo {
  return { id, owner: owner(pid), scheme: 'http', local: undefined, remote: undefined };
}

/** Its messages begin with `word`. */
function recorder(word: string, log: string[]): Protocol {
  return {
    name: word,
    matches(bytes, start, end): Match {
      const text = Buffer.from(bytes.subarray(start, end)).toString('latin1');
      if (text.startsWith(word)) return 'yes';
      return word.startsWith(text) ? 'more' : 'no';
    },
    open(connection) {
      log.push(`${connection.id} is ${word} of ${connection.owner.comm}`);
      const name = (direction: Direction): string => (direction === INGRESS ? 'in' : 'out');
      return {
        data: (direction, timeNs, bytes, start, end) => {
          const text = Buffer.from(bytes.subarray(start, end)).toString('latin1');
          log.push(`${name(direction)} ${timeNs} ${text} ${connection.owner.comm}`);
        },
        gap: (direction, timeNs, lengthBytes, cause) => {
          log.push(`${name(direction)} ${timeNs} ${cause} ${lengthBytes}`);
        },
        end: (direction, timeNs) => log.push(`${name(direction)} ${timeNs} end`),
        close: (timeNs, kind) => log.push(`${connection.id} ${timeNs} ${kind}`),
      };
    },
  };
}

class Fixture {
  readonly log: string[] = [];
  readonly streams: Streams;

  constructor(maxConnections = 10) {
    this.streams = new Streams({
      protocols: [recorder('hello', this.log), recorder('help', this.log)],
      sink: { transaction: () => {}, incomplete: () => {} },
      maxConnections,
      describe: (id, pid) => info(id, pid),
      ownerOf: owner,
    });
  }

  data(
    direction: Direction,
    position: number,
    text: string,
    options: { length?: number; pid?: number; id?: number } = {},
  ) {
    // In the middle of a larger buffer, as the ring buffer gives it.
    const bytes = Buffer.from(`<<${text}>>`, 'latin1');
    const { length = text.length, pid = 1, id = 1 } = options;
    this.streams.data(id, pid, ++this.#timeNs, direction, position, length, bytes, 2, 2 + text.length);
  }

  #timeNs = 0;

  take(): string[] {
    return this.log.splice(0);
  }
}

test('chunks in order, with and without positions', () => {
  const fixture = new Fixture();
  fixture.data(INGRESS, 0, 'hello 1');
  fixture.data(INGRESS, 7, ' 2');
  fixture.data(INGRESS, -1, ' 3');
  fixture.data(INGRESS, 11, ' 4');
  fixture.data(EGRESS, 0, 'anything');
  assert.deepEqual(fixture.take(), [
    '1 is hello of p1',
    'in 1 hello 1 p1',
    'in 2  2 p1',
    'in 3  3 p1',
    'in 4  4 p1',
    'out 5 anything p1',
  ]);
  assert.equal(fixture.streams.stats.connections, 1);
});

test('a jump of the position is a loss, a short capture is truncated', () => {
  const fixture = new Fixture();
  fixture.data(INGRESS, 0, 'hello', { length: 100 });
  fixture.data(INGRESS, 150, 'rest');
  fixture.data(INGRESS, 154, '', { length: 1000 });
  assert.deepEqual(fixture.take().slice(1), [
    'in 1 hello p1',
    'in 1 truncated 95',
    'in 2 lost 50',
    'in 2 rest p1',
    'in 3 truncated 1000',
  ]);
  assert.equal(fixture.streams.stats.lostBytes, 50);
  assert.equal(fixture.streams.stats.truncatedBytes, 1095);
});

test('bytes that were there are skipped', () => {
  const fixture = new Fixture();
  fixture.data(INGRESS, 0, 'hello');
  fixture.data(INGRESS, 0, 'hello');
  fixture.data(INGRESS, 3, 'lo you');
  fixture.data(INGRESS, 5, ' yo', { length: 14 });
  fixture.data(INGRESS, 19, '!');
  assert.deepEqual(fixture.take().slice(1), ['in 1 hello p1', 'in 3  you p1', 'in 4 truncated 10', 'in 5 ! p1']);
  assert.equal(fixture.streams.stats.lateBytes, 5 + 2 + 4);
});

test('more captured than moved, and nothing moved', () => {
  const fixture = new Fixture();
  fixture.data(INGRESS, 0, 'hello there', { length: 5 });
  fixture.data(INGRESS, 5, 'x', { length: 0 });
  fixture.data(INGRESS, 5, '!');
  assert.deepEqual(fixture.take().slice(1), ['in 1 hello p1', 'in 3 ! p1']);
});

test('detection gathers the first bytes, of each direction for itself, with their times', () => {
  const fixture = new Fixture();
  fixture.data(INGRESS, 0, 'he');
  fixture.data(EGRESS, 0, 'hel');
  fixture.data(INGRESS, 2, 'l');
  fixture.data(INGRESS, 3, 'p me');
  assert.deepEqual(fixture.take(), ['1 is help of p1', 'in 1 hel p1', 'out 2 hel p1', 'in 4 p me p1']);
  assert.equal(fixture.streams.stats.droppedChunks, 0);
});

test('what no protocol begins with is dropped, and the next chunk is asked anew', () => {
  const fixture = new Fixture();
  fixture.data(INGRESS, 0, 'xhello');
  fixture.data(INGRESS, 6, 'hel');
  fixture.data(INGRESS, 9, 'x');
  fixture.data(INGRESS, 10, '', { length: 1000 });
  fixture.data(INGRESS, 1010, 'hello');
  assert.deepEqual(fixture.take(), ['1 is hello of p1', 'in 5 hello p1']);
  assert.equal(fixture.streams.stats.droppedChunks, 3);
});

test('a gap cuts the first bytes off', () => {
  const fixture = new Fixture();
  fixture.data(INGRESS, 0, 'hel');
  fixture.data(INGRESS, 4, 'lo');
  fixture.data(INGRESS, 6, 'hel', { length: 10 });
  fixture.data(INGRESS, 16, 'lo');
  assert.deepEqual(fixture.take(), []);
  assert.deepEqual([fixture.streams.stats.lostBytes, fixture.streams.stats.truncatedBytes], [0, 0]);
});

test('a connection seen from its beginning misses its first bytes, a joined one does not', () => {
  const fixture = new Fixture();
  fixture.data(INGRESS, 0, 'hello');
  fixture.data(EGRESS, 30, 'answer');
  assert.deepEqual(fixture.take().slice(2), ['out 2 lost 30', 'out 2 answer p1']);
  fixture.data(INGRESS, 500, 'hello', { id: 2 });
  fixture.data(EGRESS, 30, 'answer', { id: 2 });
  assert.deepEqual(fixture.take().slice(2), ['out 4 answer p1']);
});

test('the owner follows the process that moves the bytes', () => {
  const fixture = new Fixture();
  const announced = info(1);
  fixture.streams.open(announced, 0);
  fixture.data(INGRESS, 0, 'hello');
  fixture.data(INGRESS, 5, 'a', { pid: 2 });
  fixture.data(INGRESS, 6, 'b', { pid: 1 });
  assert.deepEqual(fixture.take().slice(1), ['in 1 hello p1', 'in 2 a p2', 'in 3 b p1']);
  assert.equal(announced.owner.pid, 1);
});

test('end and close reach the session; what comes after the close is a join', () => {
  const fixture = new Fixture();
  fixture.data(INGRESS, 0, 'hello');
  fixture.streams.end(1, 90, INGRESS);
  fixture.streams.close(1, 100, 'reset');
  fixture.streams.close(1, 101, 'orderly');
  fixture.streams.end(1, 102, EGRESS);
  assert.deepEqual(fixture.take().slice(2), ['in 90 end', '1 100 reset']);
  assert.equal(fixture.streams.stats.connections, 0);
  fixture.data(INGRESS, 5, 'hello');
  assert.deepEqual(fixture.take(), ['1 is hello of p1', 'in 2 hello p1']);
});

test('announced again, the connection before it is over', () => {
  const fixture = new Fixture();
  fixture.data(INGRESS, 0, 'hello');
  fixture.streams.open(info(1, 3), 50);
  fixture.data(INGRESS, 0, 'help', { pid: 3 });
  assert.deepEqual(fixture.take().slice(2), ['1 50 reset', '1 is help of p3', 'in 2 help p3']);
});

test('the table is bounded: the connection silent longest is evicted', () => {
  const fixture = new Fixture(2);
  fixture.data(INGRESS, 0, 'hello', { id: 1 });
  fixture.data(INGRESS, 0, 'hello', { id: 2 });
  fixture.data(INGRESS, 5, '!', { id: 1 });
  fixture.data(INGRESS, 0, 'hello', { id: 3 });
  fixture.data(INGRESS, 6, '!', { id: 1 });
  assert.deepEqual(fixture.take().slice(5), ['2 2 evicted', '3 is hello of p1', 'in 4 hello p1', 'in 5 ! p1']);
  assert.deepEqual([fixture.streams.stats.connections, fixture.streams.stats.evicted], [2, 1]);
  for (let id = 10; id < 10_000; id++) fixture.data(INGRESS, 0, 'hel', { id });
  assert.deepEqual([fixture.streams.stats.connections, fixture.streams.stats.evicted], [2, 9991]);
});

test('addresses that are found later, and refuted, are those of the connection', () => {
  const { streams } = new Fixture();
  const late = info(1);
  streams.open(late, 0);
  streams.bound(1, 5, '10.0.0.1:443', '10.0.0.2:5000');
  assert.deepEqual([late.local, late.remote], ['10.0.0.1:443', '10.0.0.2:5000']);
  streams.bound(1, 6, undefined, undefined);
  assert.deepEqual([late.local, late.remote], [undefined, undefined]);
  streams.bound(2, 7, '10.0.0.1:443', '10.0.0.2:5000');
  assert.equal(streams.stats.connections, 1);
});

test('a session that was a mistake gives way to what comes after it', () => {
  const log: string[] = [];
  const mistaken: Protocol = {
    name: 'mistaken',
    matches: (bytes, start): Match => (bytes[start] === 0x3f ? 'yes' : 'no'),
    open: () => {
      let isMistaken = false;
      return {
        get isMistaken() {
          return isMistaken;
        },
        data: (_direction, _timeNs, _bytes, start, end) => {
          isMistaken = end - start > 1;
          log.push(`mistaken ${end - start}`);
        },
        gap: () => log.push('gap'),
        end: () => {},
        close: () => {},
      };
    },
  };
  const streams = new Streams({
    protocols: [mistaken, recorder('hello', log)],
    sink: { transaction: () => {}, incomplete: () => {} },
    describe: (id, pid) => info(id, pid),
    ownerOf: owner,
  });
  streams.open(info(1), 0);
  for (const text of ['?', 'hello', 'hello']) {
    const bytes = Buffer.from(text);
    streams.data(1, 1, 5, INGRESS, -1, bytes.length, bytes, 0, bytes.length);
  }
  assert.deepEqual(log, ['mistaken 1', 'mistaken 5', '1 is hello of p1', 'in 5 hello p1']);
});
