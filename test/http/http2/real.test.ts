/** Connections between a real client and a real server: everything is counted, and nothing is made up. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertOnlyThese } from '../cases.ts';
import { type RecordedChunk, record, request } from './recording.ts';
import { Player, pieces, play, randomNumbers, segment, tally, transactionsOf, withoutData } from './replayed.ts';

const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'BREW'];
const STATUSES = [200, 201, 204, 302, 404, 418, 500, 503];

interface Talk {
  readonly chunks: readonly RecordedChunk[];
  readonly expected: Record<string, number>;
}

/** `count` requests, `width` at a time, of mixed methods, statuses, sizes, with interim responses and trailers. */
async function talk(count: number, width: number, maxBytes: number): Promise<Talk> {
  const random = randomNumbers(count);
  const plans = Array.from({ length: count }, (_, index) => ({
    method: METHODS[random(METHODS.length)]!,
    status: STATUSES[random(STATUSES.length)]!,
    sends: random(3) === 0 ? random(maxBytes) : 0,
    answers: random(2) === 0 ? random(maxBytes) : 0,
    interim: random(4) === 0,
    trailers: random(4) === 0,
    index,
  }));
  const chunks = await record(
    (stream, headers) => {
      const plan = plans[Number(String(headers[':path']).slice(6))]!;
      stream.resume();
      if (plan.interim) stream.additionalHeaders({ ':status': 103, link: '</style.css>' });
      const hasBody = plan.method !== 'HEAD' && plan.status !== 204 && plan.answers > 0;
      const trailers = plan.trailers && hasBody;
      stream.respond(
        { ':status': plan.status, 'x-index': String(plan.index), server: 'test' },
        { endStream: !hasBody, waitForTrailers: trailers },
      );
      if (trailers) stream.on('wantTrailers', () => stream.sendTrailers({ digest: `abc${plan.index}` }));
      if (hasBody) stream.end(Buffer.alloc(plan.answers, 0x78));
    },
    async (client) => {
      const queue = [...plans];
      const work = async (): Promise<void> => {
        for (let plan = queue.shift(); plan !== undefined; plan = queue.shift()) {
          const body = plan.sends > 0 && plan.method !== 'HEAD' ? Buffer.alloc(plan.sends, 0x79) : undefined;
          const headers = {
            ':method': plan.method,
            ':path': `/item/${plan.index}`,
            'user-agent': 'test',
            cookie: `a=${plan.index % 3}`,
          };
          const { status } = await request(client, headers, body);
          assert.equal(status, plan.status);
        }
      };
      await Promise.all(Array.from({ length: width }, work));
    },
  );
  const names = plans.map(({ method, status }) => `${method === 'BREW' ? 'OTHER' : method} ${status}`);
  return { chunks, expected: tally(names) };
}

const small = await talk(12, 3, 60);
const large = await talk(400, 100, 50_000);

test('every request is counted, with its method and status, in both roles', () => {
  for (const { chunks, expected } of [small, large]) {
    for (const role of ['server', 'client'] as const) {
      assert.deepEqual(tally(play(pieces(chunks), role)), expected);
    }
  }
});

test('cut at every byte', () => {
  const list = pieces(small.chunks);
  const whole = play(list);
  list.forEach((piece, index) => {
    for (let at = 1; at < piece.bytes.length; at++) {
      const halves = [piece.bytes.subarray(0, at), piece.bytes.subarray(at)];
      const cut = halves.map((bytes) => ({ ...piece, bytes, captured: bytes.length }));
      assert.deepEqual(
        play([...list.slice(0, index), ...cut, ...list.slice(index + 1)]),
        whole,
        `chunk ${index} at ${at}`,
      );
    }
  });
  assert.deepEqual(play(segment(list, () => 1)), whole);
});

test('in pieces of any size', () => {
  for (const { chunks, limits } of [
    { chunks: small.chunks, limits: [3, 10, 20, 50] },
    { chunks: large.chunks, limits: [200, 5000] },
  ]) {
    const list = pieces(chunks);
    const whole = play(list);
    for (const limit of limits) {
      const random = randomNumbers(limit);
      assert.deepEqual(play(segment(list, () => 1 + random(limit))), whole);
    }
  }
});

test('two connections at a time', () => {
  const list = pieces(large.chunks);
  const first = new Player(1, 'server');
  const second = new Player(2, 'client');
  for (const piece of list) {
    first.piece(piece);
    second.piece(piece, first.outcome);
  }
  const whole = play(list);
  assert.deepEqual(first.outcome.lines.sort(), [...whole, ...whole].sort());
});

test('without the payload of DATA', () => {
  for (const { chunks } of [small, large]) {
    const list = pieces(chunks);
    const walked = withoutData(list);
    assert.ok(walked.some(({ captured }) => captured === 0));
    assert.deepEqual(play(walked), play(list));
  }
});

test('joined at every byte: what is told is right or unknown', () => {
  const list = pieces(small.chunks);
  const whole = play(list);
  for (let index = 0; index < list.length; index++) {
    const piece = list[index]!;
    for (let at = 0; at < piece.bytes.length; at++) {
      const bytes = piece.bytes.subarray(at);
      const rest = [{ ...piece, bytes, captured: bytes.length }, ...list.slice(index + 1)];
      assertOnlyThese(transactionsOf(play(rest)), whole, `joined at byte ${at} of chunk ${index}`);
    }
  }
});

test('joined at any chunk: every request from then on is told of', () => {
  const list = pieces(large.chunks);
  const whole = play(list);
  const startOf = (line: string) => Number(/ at (\d+) /.exec(line)![1]);
  for (let index = 0; index < list.length; index += 17) {
    const joined = transactionsOf(play(list.slice(index)));
    assertOnlyThese(joined, whole, `joined at chunk ${index}`);
    // The first frames may be hidden in a body that is under way.
    const after = whole.filter((line) => startOf(line) >= (index + 20) * 1000);
    const told = joined.filter((line) => startOf(line) >= (index + 20) * 1000);
    assert.equal(told.length, after.length, `joined at chunk ${index}`);
  }
});

test('with any chunk lost: what is told is right or unknown', () => {
  const list = pieces(small.chunks);
  const whole = play(list);
  for (let first = 0; first < list.length; first++) {
    for (let second = first; second < list.length; second++) {
      const player = new Player();
      list.forEach((piece, index) => {
        if (index === first || index === second) player.skip(piece);
        else player.piece(piece);
      });
      const lines = transactionsOf(player.close(1e9));
      assertOnlyThese(lines, whole, `without chunks ${first} and ${second}`);
    }
  }
});

test('with chunks of a large connection lost or cut short', () => {
  const list = pieces(large.chunks);
  const whole = play(list);
  for (let seed = 1; seed <= 10; seed++) {
    const random = randomNumbers(seed);
    const player = new Player();
    for (const piece of list) {
      const dice = random(100);
      if (dice === 0) player.skip(piece);
      else if (dice === 1) player.piece({ ...piece, captured: random(piece.bytes.length) });
      else player.piece(piece);
    }
    const lines = player.close(1e9);
    const transactions = transactionsOf(lines);
    assertOnlyThese(transactions, whole, `seed ${seed}`);
    assert.ok(transactions.length > whole.length / 4, `seed ${seed}: ${transactions.length} of ${whole.length}`);
  }
});

test('resets of either side and a goodbye', async () => {
  const chunks = await record(
    (stream, headers) => {
      if (headers[':path'] === '/refuse') stream.close(7);
      else if (headers[':path'] === '/hang') stream.respond({ ':status': 200 });
      else {
        stream.respond({ ':status': 200 });
        stream.end('done');
      }
    },
    async (client) => {
      await request(client, { ':path': '/refuse' }).catch(() => {});
      const hanging = client.request({ ':path': '/hang' });
      hanging.on('error', () => {});
      await new Promise((resolve) => hanging.on('response', resolve));
      hanging.close(8);
      await new Promise((resolve) => hanging.on('close', resolve));
      await request(client, { ':path': '/' });
    },
  );
  assert.deepEqual(tally(play(pieces(chunks))), { 'GET 200': 1, 'incomplete reset': 2 });
});

test('a real encoder with tables of other sizes', async () => {
  for (const size of [0, 64, 256, 65_536]) {
    const chunks = await record(
      (stream, headers) => {
        stream.respond({ ':status': 418, 'x-a': String(headers[':path']), 'x-b': 'b'.repeat(70) });
        stream.end();
      },
      async (client) => {
        for (let i = 0; i < 30; i++)
          await request(client, { ':method': 'PROPFIND', ':path': `/${i % 7}`, 'x-c': `${i}` });
      },
      { server: { settings: { headerTableSize: size } }, client: { settings: { headerTableSize: size } } },
    );
    assert.deepEqual(tally(play(pieces(chunks))), { 'PROPFIND 418': 30 }, `table of ${size} bytes`);
  }
});
