/** Nothing of the payload survives redaction, and what survives replays to the same transactions. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Http1Redactor } from '../../../src/http/http1/redact.ts';
import type { Direction } from '../../../src/stream/contract.ts';
import { EGRESS, INGRESS } from '../../../src/stream/contract.ts';
import type { ChunkStep, Step } from '../cases.ts';
import { cut, loadCases, Outcome, Replay, replay } from '../cases.ts';

/** A sink that redacts and passes the pieces on, as a recording and its replay do. */
class Redacting {
  readonly outcome = new Outcome();
  readonly written: Buffer[] = [];
  readonly #redactor = new Http1Redactor(8);

  readonly sink = {
    open: () => {},
    data: (
      id: number | string,
      pid: number,
      timeNs: number,
      direction: Direction,
      position: number,
      lengthBytes: number,
      bytes: Uint8Array,
      start: number,
      end: number,
    ): void => {
      let at = position;
      for (const piece of this.#redactor.redact(id, direction, position, lengthBytes, bytes, start, end, timeNs)) {
        assert.ok(piece.bytes.length <= piece.lengthBytes);
        this.written.push(Buffer.from(piece.bytes));
        const { length } = piece.bytes;
        this.outcome.streams.data(id, pid, timeNs, direction, at, piece.lengthBytes, piece.bytes, 0, length);
        at += piece.lengthBytes;
      }
      assert.equal(at, position + lengthBytes);
    },
    end: (id: number | string, timeNs: number, direction: Direction) => this.outcome.streams.end(id, timeNs, direction),
    close: (id: number | string, timeNs: number, kind: 'orderly' | 'reset') => {
      this.#redactor.close(id);
      this.outcome.streams.close(id, timeNs, kind);
    },
  };
}

function redacted(steps: readonly Step[]): Redacting {
  const redacting = new Redacting();
  new Replay(redacting.sink, 'c1', 'server').all(steps);
  return redacting;
}

function withOwnTimes(steps: readonly Step[]): Step[] {
  let last = 0;
  return steps.map((step, index) => {
    const isTail = index > 0 && steps[index - 1]!.timeNs === step.timeNs;
    last = isTail ? last : last + 1000;
    return { ...step, timeNs: last };
  });
}

/** Values of headers are not written down, so neither is the trace. */
function withoutTraces(lines: readonly string[]): string[] {
  return lines.map((line) => line.replace(/ trace .*$/, ''));
}

for (const { name, protocol, steps } of loadCases()) {
  // Of HTTP/2 behind an Upgrade this redactor keeps nothing.
  if (protocol !== 'http1' || name.startsWith('h2c.md')) continue;

  test(`${name}: redacted, it replays to the same`, () => {
    assert.deepEqual(redacted(steps).outcome.lines, withoutTraces(replay(steps).lines));
  });

  test(`${name}: redacted in pieces, cut at every byte, it replays to the same`, () => {
    const spaced = withOwnTimes(steps);
    spaced.forEach((step, index) => {
      if (step.kind !== 'chunk') return;
      const every = step.bytes.length > 5000 ? 997 : 1;
      for (let at = every; at < step.bytes.length; at += every) {
        const [first, second] = cut(step, at);
        const pieces = [...spaced.slice(0, index), first, { ...second, timeNs: second.timeNs + 1 }];
        const cutSteps = [...pieces, ...spaced.slice(index + 1)];
        assert.deepEqual(
          redacted(cutSteps).outcome.lines,
          withoutTraces(replay(cutSteps).lines),
          `step ${index} cut at ${at}`,
        );
      }
    });
  });
}

function chunk(side: 'request' | 'response', timeNs: number, text: string): ChunkStep {
  const bytes = Buffer.from(text, 'latin1');
  return { kind: 'chunk', side, timeNs, bytes, lengthBytes: bytes.length, skipBytes: 0 };
}

/** Every byte that must not survive is one of these: they occur in no word that may. */
const CANARY = /[#JjZz$&~\x80-\xff]/;

const SECRETS = [
  chunk(
    'request',
    1000,
    'ZJZZ /#Z$&~?j=Z HTTP/1.1\r\nZjZ: #$J\r\nContent-jz: Z\r\n#Z: \r\nConnection: Z, close, jz\r\n\r\n',
  ),
  chunk(
    'response',
    1100,
    'HTTP/1.1 200 Zj#\r\nTransfer-Encoding: jZ, chunked\r\nZ:\xe9\r\n fold: Z\r\n\r\n3;Z=#\r\nZjz\r\n',
  ),
  chunk('response', 1200, '0;#Z\r\nZ: j\r\n\r\n'),
  chunk('request', 2000, 'POST /Zj HTTP/1.1\r\nContent-Length: 3\r\nCookie: Z\r\nExpect: 100-continueZ\r\n\r\nZjz'),
  chunk('response', 2100, 'HTTP/1.1 100 Zj\r\n\r\nHTTP/1.1 201 Z\r\nContent-Length: 4\r\nUpgrade: Zebra\r\n\r\nZj#$'),
  chunk('request', 3000, 'CONNECT Zj.example:443 HTTP/1.1\r\nHost: Zj\r\n\r\n'),
  chunk('response', 3100, 'HTTP/1.1 200 Zj\r\n\r\nZj#'),
  chunk('request', 3200, 'Zj#$ GET /Z HTTP/1.1\r\n\r\n'),
];

test('no byte of a target, name, value or body survives, cut at every byte', () => {
  const expected = ['OTHER 200 1.1 at 1000 for 200', 'POST 201 1.1 at 2000 for 100', 'CONNECT 200 1.1 at 3000 for 100'];
  for (const [index, step] of SECRETS.entries()) {
    for (let at = 0; at < step.bytes.length; at++) {
      const steps = [...SECRETS.slice(0, index), ...cut(step, at), ...SECRETS.slice(index + 1)];
      const { outcome, written } = redacted(steps.filter((item) => item.lengthBytes > 0));
      const text = Buffer.concat(written).toString('latin1');
      assert.ok(!CANARY.test(text), `step ${index} cut at ${at}: ${JSON.stringify(text)}`);
      assert.deepEqual(outcome.lines, expected, `step ${index} cut at ${at}`);
    }
  }
});

test('what was seen in no order or in the middle gives nothing away', () => {
  for (let from = 1; from < SECRETS.length; from++) {
    const text = Buffer.concat(redacted(SECRETS.slice(from)).written).toString('latin1');
    assert.ok(!CANARY.test(text), `from step ${from}: ${JSON.stringify(text)}`);
  }
});

test('what stays of a head', () => {
  const redactor = new Http1Redactor(8);
  const keep = (direction: Direction, text: string): string => {
    const bytes = Buffer.from(text, 'latin1');
    const pieces = redactor.redact(1, direction, -1, bytes.length, bytes, 0, bytes.length);
    return pieces.map((piece) => `${Buffer.from(piece.bytes).toString('latin1')}|${piece.lengthBytes}`).join(' ');
  };
  assert.equal(
    keep(INGRESS, 'POST /secret?a=b HTTP/1.1\r\nHost:  example\r\nContent-Length: 5\r\n\r\nhello'),
    'POST /xxxxxxxxxx HTTP/1.1\r\nxxxx:  xxxxxxx\r\ncontent-length: 5\r\n\r\n|69',
  );
  assert.equal(
    keep(EGRESS, 'HTTP/1.1 204 Gone\r\nConnection: Keep-Alive, x-own\r\n\r\n'),
    'HTTP/1.1 204 xxxx\r\nconnection: keep-alive, xxxxx\r\n\r\n|52',
  );
  redactor.close(1);
});

test('random mutations of heads: the same outcome, and never more than the shape of them', () => {
  let seed = 12345;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const odd = [0, 9, 10, 13, 32, 34, 44, 47, 48, 58, 59, 72, 120, 127, 128, 255];
  for (let round = 0; round < 3000; round++) {
    const steps = SECRETS.map((step) => {
      const bytes = Buffer.from(step.bytes);
      for (let i = random(3); i > 0; i--) bytes[random(bytes.length)] = odd[random(odd.length)]!;
      return { ...step, bytes };
    });
    const { outcome } = redacted(steps);
    assert.deepEqual(
      outcome.lines,
      replay(steps).lines,
      `round ${round}: ${steps.map((step) => JSON.stringify(step.bytes.toString('latin1'))).join('\n')}`,
    );
  }
});
