import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type CaptureSink, LINE_LIMIT, readCapture, splitLines } from '../../src/capture/file-reader.ts';
import { CaptureWriter } from '../../src/capture/file-writer.ts';
import { KEEP_ALL } from '../../src/capture/redactor.ts';
import { EGRESS, INGRESS } from '../../src/stream/contract.ts';
import { CONNECTION, TextStream } from '../cli/fake-context.ts';

class Calls implements CaptureSink {
  readonly calls: unknown[][] = [];
  process(...args: Parameters<NonNullable<CaptureSink['process']>>): void {
    this.calls.push(['process', ...args]);
  }
  open(...args: Parameters<CaptureSink['open']>): void {
    this.calls.push(['open', ...args]);
  }
  data(
    ...[id, pid, timeNs, direction, position, lengthBytes, bytes, start, end]: Parameters<CaptureSink['data']>
  ): void {
    const text = Buffer.from(bytes.subarray(start, end)).toString();
    this.calls.push(['data', id, pid, timeNs, direction, position, lengthBytes, text]);
  }
  bound(...args: Parameters<NonNullable<CaptureSink['bound']>>): void {
    this.calls.push(['bound', ...args]);
  }
  end(...args: Parameters<CaptureSink['end']>): void {
    this.calls.push(['end', ...args]);
  }
  close(...args: Parameters<CaptureSink['close']>): void {
    this.calls.push(['close', ...args]);
  }
}

const HEADER = '{"plainsight":1}';

async function read(...lines: string[]): Promise<unknown[][]> {
  const sink = new Calls();
  await readCapture([HEADER, ...lines], sink);
  return sink.calls;
}

describe('well-formed files', () => {
  test('the example of the documentation', async () => {
    const calls = await read(
      '{"type":"process","pid":7,"comm":"nginx","namespace":"shop","pod":"web-0","container":"web","service":"web"}',
      '{"type":"open","conn":"c1","pid":7,"time":0,"scheme":"https","local":"10.0.0.1:443","remote":"10.0.0.2:50000"}',
      '{"type":"data","conn":"c1","time":1000,"direction":"ingress","length":78,"data":"R0VUIC8g"}',
      '{"type":"close","conn":"c1","time":9000}',
    );
    const owner = { pid: 7, comm: 'nginx', namespace: 'shop', pod: 'web-0', container: 'web', service: 'web' };
    assert.deepEqual(calls, [
      ['process', owner],
      ['open', { id: 'c1', owner, scheme: 'https', local: '10.0.0.1:443', remote: '10.0.0.2:50000' }, 0],
      ['data', 'c1', 7, 1000, INGRESS, -1, 78, 'GET / '],
      ['close', 'c1', 9000, 'orderly'],
    ]);
  });

  test('what may be left out', async () => {
    const calls = await read(
      '{"type":"process","pid":7,"comm":"nginx"}',
      '{"type":"open","conn":1,"pid":8,"time":0,"scheme":"http"}',
      '{"type":"data","conn":1,"time":1,"direction":"egress","length":0}',
      '{"type":"data","conn":2,"time":1,"direction":"egress","length":5,"position":9}',
      '{"type":"data","conn":2,"time":1,"direction":"egress","length":5,"pid":7}',
      '{"type":"data","conn":2,"time":1,"direction":"egress","length":5}',
    );
    const nobody = { pid: 8, comm: '', namespace: '', pod: '', container: '', service: '' };
    assert.deepEqual(calls, [
      ['process', { pid: 7, comm: 'nginx', namespace: '', pod: '', container: '', service: 'nginx' }],
      ['open', { id: 1, owner: nobody, scheme: 'http', local: undefined, remote: undefined }, 0],
      ['data', 1, 8, 1, EGRESS, -1, 0, ''],
      ['data', 2, 0, 1, EGRESS, 9, 5, ''],
      ['data', 2, 7, 1, EGRESS, -1, 5, ''],
      ['data', 2, 7, 1, EGRESS, -1, 5, ''],
    ]);
  });

  test('half closes, resets, IPv6; a closed connection is forgotten', async () => {
    const calls = await read(
      '{"type":"open","conn":1,"pid":8,"time":0,"scheme":"http","local":"[::1]:80","remote":"[fe80::1]:65535"}',
      '{"type":"close","conn":1,"time":1,"direction":"egress"}',
      '{"type":"close","conn":1,"time":1,"direction":"ingress","reset":false}',
      '{"type":"close","conn":1,"time":2,"reset":true}',
      '{"type":"data","conn":1,"time":3,"direction":"ingress","length":1,"data":""}',
    );
    assert.deepEqual(calls.slice(1), [
      ['end', 1, 1, EGRESS],
      ['end', 1, 1, INGRESS],
      ['close', 1, 2, 'reset'],
      ['data', 1, 0, 3, INGRESS, -1, 1, ''],
    ]);
  });

  test('what the writer writes is what was fed to it', async () => {
    const stream = new TextStream();
    const written = new Calls();
    const writer = new CaptureWriter(stream, { redactor: KEEP_ALL });
    const bytes = Buffer.from('..PUT /\u0000\u00ff..');
    for (const sink of [writer, written]) {
      sink.process(CONNECTION.owner);
      sink.open(CONNECTION, 5);
      sink.data(42, 7, 6, INGRESS, 0, 100, bytes, 2, 10);
      sink.data(42, 7, 7, INGRESS, 300, 100, bytes, 0, 0);
      sink.data(42, 7, 8, EGRESS, 0, 3, bytes, 0, 3);
      sink.bound(42, 8, '10.0.0.1:443', '[::1]:50000');
      sink.bound(42, 9, undefined, undefined);
      sink.end(42, 9, INGRESS);
      sink.close(42, 2 ** 50 + 1, 'reset');
    }
    await writer.finish();
    const sink = new Calls();
    await readCapture(
      splitLines(
        (async function* () {
          for (let at = 0; at < stream.text.length; at += 7) yield Buffer.from(stream.text.slice(at, at + 7));
        })(),
      ),
      sink,
    );
    assert.deepEqual(sink.calls, written.calls);
  });
});

describe('malformed lines', () => {
  const valid = '{"type":"close","conn":1,"time":2}';
  const data = (fields: string) => `{"type":"data","conn":1,"time":1,"direction":"ingress","length":3${fields}}`;
  const safe = Number.MAX_SAFE_INTEGER;
  const cases: [line: string, problem: string][] = [
    ['', 'is not JSON'],
    ['{"type":"close"', 'is not JSON'],
    ['[]', 'is not a JSON object'],
    ['null', 'is not a JSON object'],
    ['{}', '"type" is not one of process, open, data, bound, close'],
    ['{"type":"toString"}', '"type" is not one of process, open, data, bound, close'],
    [
      '{"type":"close","conn":1,"time":2,"tiem":2}',
      'unknown field "tiem"; those of close are conn, time, direction, reset',
    ],
    [
      '{"type":"close","time":2,"__proto__":{"conn":1}}',
      'unknown field "__proto__"; those of close are conn, time, direction, reset',
    ],
    ['{"type":"close","conn":1}', '"time" is missing'],
    ['{"type":"close","conn":1,"time":-1}', `"time" is not an integer from 0 to ${safe}`],
    ['{"type":"close","conn":1,"time":1.5}', `"time" is not an integer from 0 to ${safe}`],
    ['{"type":"close","conn":1,"time":1e300}', `"time" is not an integer from 0 to ${safe}`],
    ['{"type":"close","conn":1,"time":"1"}', `"time" is not an integer from 0 to ${safe}`],
    ['{"type":"close","time":1}', '"conn" is neither a text of 1 to 256 characters nor an integer from 0'],
    ['{"type":"close","conn":"","time":1}', '"conn" is neither a text of 1 to 256 characters nor an integer from 0'],
    ['{"type":"close","conn":[1],"time":1}', '"conn" is neither a text of 1 to 256 characters nor an integer from 0'],
    ['{"type":"close","conn":1,"time":1,"direction":"both"}', '"direction" is neither "ingress" nor "egress"'],
    ['{"type":"close","conn":1,"time":1,"reset":1}', '"reset" is neither true nor false'],
    [
      '{"type":"close","conn":1,"time":1,"reset":true,"direction":"egress"}',
      '"reset" is of a whole connection, "direction" of a half',
    ],
    ['{"type":"process","comm":"a"}', '"pid" is missing'],
    ['{"type":"process","pid":1}', '"comm" is missing'],
    ['{"type":"process","pid":1,"comm":7}', '"comm" is not a text of at most 256 characters'],
    [`{"type":"process","pid":1,"comm":"${'x'.repeat(257)}"}`, '"comm" is not a text of at most 256 characters'],
    ['{"type":"process","pid":4294967296,"comm":"a"}', '"pid" is not an integer from 0 to 2147483648'],
    ['{"type":"open","conn":1,"pid":1,"time":1,"scheme":"ftp"}', '"scheme" is neither "http" nor "https"'],
    ['{"type":"open","conn":1,"time":1,"scheme":"http"}', '"pid" is missing'],
    ...['1.2.3.4', '1.2.3:80', '1.2.3.4:65536', '::1:80', '[::x]:80', 'host:80'].map((address): [string, string] => [
      `{"type":"open","conn":1,"pid":1,"time":1,"scheme":"http","remote":"${address}"}`,
      '"remote" is not ADDRESS:PORT or [ADDRESS]:PORT',
    ]),
    ['{"type":"data","conn":1,"time":1,"length":3}', '"direction" is missing'],
    ['{"type":"data","conn":1,"time":1,"direction":"ingress"}', '"length" is missing'],
    [data(',"data":"AAAAAA=="'), '"data" holds 4 bytes, "length" says 3'],
    ...['A', 'AAA', 'A===', 'AA-_', 'AA=A', '====', 'AAA\\n'].map((text): [string, string] => [
      data(`,"data":"${text}"`),
      '"data" is not base64',
    ]),
    [data(',"data":null'), '"data" is not base64'],
    [data(',"position":-1'), `"position" is not an integer from 0 to ${safe}`],
    [data(`,"position":${safe}`), '"position" is out of range'],
  ];
  for (const [line, problem] of cases) {
    test(`${line.slice(0, 90)}: ${problem}`, async () => {
      const sink = new Calls();
      await assert.rejects(readCapture([HEADER, valid, line, valid], sink), {
        code: 'BAD_INPUT',
        message: `capture file, line 3: ${problem}`,
      });
      // What came before it has been fed, what comes after it has not.
      assert.deepEqual(sink.calls, [['close', 1, 2, 'orderly']]);
    });
  }

  test('the first line', async () => {
    const message = 'capture file, line 1: is not {"plainsight":1}, with which a capture file of this version begins';
    for (const first of [valid, '{"plainsight":2}', '{"plainsight":1,"x":1}', '{}']) {
      await assert.rejects(readCapture([first], new Calls()), { code: 'BAD_INPUT', message });
    }
    const missing = 'capture file, line 1: is missing; a capture file begins with {"plainsight":1}';
    await assert.rejects(readCapture([], new Calls()), { code: 'BAD_INPUT', message: missing });
  });
});

describe('lines from bytes', () => {
  async function split(...chunks: Buffer[]): Promise<string[]> {
    const lines: string[] = [];
    for await (const line of splitLines(
      (async function* () {
        // One buffer that is filled again and again.
        const buffer = Buffer.alloc(LINE_LIMIT * 2);
        for (const chunk of chunks) {
          buffer.fill(0);
          chunk.copy(buffer);
          yield buffer.subarray(0, chunk.length);
        }
      })(),
    ))
      lines.push(line);
    return lines;
  }

  test('however they are cut', async () => {
    const text = Buffer.from('ä\n\nb€\nlast');
    for (let at = 0; at <= text.length; at++) {
      assert.deepEqual(await split(text.subarray(0, at), text.subarray(at)), ['ä', '', 'b€', 'last']);
    }
    assert.deepEqual(await split(Buffer.from('a\n')), ['a']);
    assert.deepEqual(await split(), []);
  });

  test('a line that never ends is refused before it is kept', async () => {
    const message = 'capture file, line 2: is longer than 1048576 bytes';
    const start = Buffer.from('a\n');
    const part = Buffer.alloc(LINE_LIMIT / 2, 'x');
    await assert.rejects(split(start, part, part, Buffer.from('x')), { code: 'BAD_INPUT', message });
    await assert.rejects(split(start, part, part, Buffer.from('x\n')), { code: 'BAD_INPUT', message });
    assert.equal((await split(start, part, part, Buffer.from('\n')))[1]!.length, LINE_LIMIT);
  });

  test('what is not UTF-8 is refused', async () => {
    const message = 'capture file, line 2: is not UTF-8';
    await assert.rejects(split(Buffer.from('a\n'), Buffer.from([0xff, 0x0a])), { code: 'BAD_INPUT', message });
  });
});
