/** The examples of RFC 7541 appendix C, and what the decoder does with tables it has not seen and blocks that lie. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { METHODS } from '../../../src/http/http1/methods.ts';
import { HpackDecoder } from '../../../src/http/http2/hpack/decoder.ts';
import { MAX_ENTRIES } from '../../../src/http/http2/hpack/dynamic-table.ts';
import { CONTENT_TYPE_EVENTS, CONTENT_TYPE_GRPC } from '../../../src/http/http2/hpack/fields.ts';
import { ABSENT } from '../../../src/http/http2/hpack/header-block.ts';
import { encodeFields } from '../http2/notation.ts';

function fresh(maxBytes?: number): HpackDecoder {
  const decoder = new HpackDecoder();
  decoder.renew();
  if (maxBytes !== undefined) decoder.table.resize(maxBytes);
  return decoder;
}

/** Of a connection that was joined. */
function joined(): HpackDecoder {
  const decoder = new HpackDecoder();
  decoder.forget();
  return decoder;
}

function methodOf(decoder: HpackDecoder): string | undefined {
  return METHODS[decoder.block.method];
}

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex');
}

/** Reads one block in pieces of `size` bytes. */
function read(decoder: HpackDecoder, bytes: Uint8Array, size = bytes.length): boolean {
  decoder.begin();
  for (let at = 0; at < bytes.length; at += size) {
    if (!decoder.feed(bytes, at, Math.min(at + size, bytes.length))) return false;
  }
  return decoder.end();
}

function fields(decoder: HpackDecoder, text: string): boolean {
  return read(decoder, encodeFields(text.split(' ')));
}

interface Example {
  readonly block: string;
  readonly method?: string;
  readonly status?: number;
  readonly fields: number;
  readonly entries: number;
  readonly sizeBytes: number;
}

/** Each list is one connection; `maxBytes` of its table. */
const EXAMPLES: readonly { readonly name: string; readonly maxBytes?: number; readonly blocks: readonly Example[] }[] =
  [
    {
      name: 'C.2.1 literal with indexing',
      blocks: [
        {
          block: '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572',
          fields: 1,
          entries: 1,
          sizeBytes: 55,
        },
      ],
    },
    {
      name: 'C.2.2 literal without indexing',
      blocks: [{ block: '040c 2f73 616d 706c 652f 7061 7468', fields: 1, entries: 0, sizeBytes: 0 }],
    },
    {
      name: 'C.2.3 literal never indexed',
      blocks: [{ block: '1008 7061 7373 776f 7264 0673 6563 7265 74', fields: 1, entries: 0, sizeBytes: 0 }],
    },
    { name: 'C.2.4 indexed', blocks: [{ block: '82', method: 'GET', fields: 1, entries: 0, sizeBytes: 0 }] },
    {
      name: 'C.3 requests without Huffman',
      blocks: [
        {
          block: '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
          method: 'GET',
          fields: 4,
          entries: 1,
          sizeBytes: 57,
        },
        { block: '8286 84be 5808 6e6f 2d63 6163 6865', method: 'GET', fields: 5, entries: 2, sizeBytes: 110 },
        {
          block: '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
          method: 'GET',
          fields: 5,
          entries: 3,
          sizeBytes: 164,
        },
      ],
    },
    {
      name: 'C.4 requests with Huffman',
      blocks: [
        { block: '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff', method: 'GET', fields: 4, entries: 1, sizeBytes: 57 },
        { block: '8286 84be 5886 a8eb 1064 9cbf', method: 'GET', fields: 5, entries: 2, sizeBytes: 110 },
        {
          block: '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
          method: 'GET',
          fields: 5,
          entries: 3,
          sizeBytes: 164,
        },
      ],
    },
    {
      name: 'C.5 responses without Huffman, with evictions',
      maxBytes: 256,
      blocks: [
        {
          block:
            '4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 ' +
            '474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
          status: 302,
          fields: 4,
          entries: 4,
          sizeBytes: 222,
        },
        { block: '4803 3330 37c1 c0bf', status: 307, fields: 4, entries: 4, sizeBytes: 222 },
        {
          block:
            '88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 ' +
            '666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 ' +
            '3630 303b 2076 6572 7369 6f6e 3d31',
          status: 200,
          fields: 6,
          entries: 3,
          sizeBytes: 215,
        },
      ],
    },
    {
      name: 'C.6 responses with Huffman, with evictions',
      maxBytes: 256,
      blocks: [
        {
          block:
            '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 ' +
            '63c7 8f0b 97c8 e9ae 82ae 43d3',
          status: 302,
          fields: 4,
          entries: 4,
          sizeBytes: 222,
        },
        { block: '4883 640e ffc1 c0bf', status: 307, fields: 4, entries: 4, sizeBytes: 222 },
        {
          block:
            '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 ' +
            'b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
          status: 200,
          fields: 6,
          entries: 3,
          sizeBytes: 215,
        },
      ],
    },
  ];

for (const { name, maxBytes, blocks } of EXAMPLES) {
  test(`RFC 7541 ${name}, whole and in pieces`, () => {
    for (const size of [1000, 1, 2, 3, 7]) {
      const decoder = fresh(maxBytes);
      for (const example of blocks) {
        assert.ok(read(decoder, hex(example.block), size), example.block);
        const { block, table } = decoder;
        assert.equal(block.fields, example.fields);
        assert.equal(methodOf(decoder), example.method);
        assert.equal(block.status, example.status ?? ABSENT);
        assert.equal(table.count, example.entries);
        assert.equal(table.sizeBytes, example.sizeBytes);
        assert.equal(block.uncertain, false);
      }
    }
  });
}

test('names that matter, spelled out or indexed, plain or with Huffman', () => {
  for (const marks of ['', '~', '+', '+~', '!', '!~']) {
    const decoder = fresh();
    const mark = (list: string) => list.replaceAll(' ', ` ${marks}`);
    assert.ok(
      fields(
        decoder,
        mark(`${marks}:method=PROPFIND :scheme=https :path=/shop.Cart/Add content-type=application/grpc+proto`),
      ),
    );
    const { block } = decoder;
    assert.equal(methodOf(decoder), 'PROPFIND', marks);
    assert.equal(block.path, '/shop.Cart/Add', marks);
    assert.equal(block.contentType, CONTENT_TYPE_GRPC, marks);
    assert.equal(block.isRequest, true);
    if (marks.startsWith('+')) {
      // From the table, newest first: content-type, :path, :scheme, :method.
      assert.ok(fields(decoder, '#65 #64 #63 #62'));
      assert.equal(methodOf(decoder), 'PROPFIND', marks);
      assert.equal(block.path, '/shop.Cart/Add', marks);
      assert.equal(block.contentType, CONTENT_TYPE_GRPC, marks);
    }
    assert.ok(fields(decoder, mark(`${marks}:status=418 content-type=text/event-stream;charset=utf-8`)));
    assert.equal(block.status, 418, marks);
    assert.equal(block.contentType, CONTENT_TYPE_EVENTS, marks);
    assert.ok(fields(decoder, `${marks}grpc-status=14`));
    assert.equal(block.grpcStatus, 14, marks);
  }
});

test('values that look alike', () => {
  const decoder = fresh();
  for (const [type, expected] of [
    ['application/grpc', CONTENT_TYPE_GRPC],
    ['Application/gRPC;x', CONTENT_TYPE_GRPC],
    ['application/grpc-web', 0],
    ['application/grpcx', 0],
    ['text/event-stream', CONTENT_TYPE_EVENTS],
    ['text/event-streams', 0],
    ['text/event', 0],
  ] as const) {
    assert.ok(fields(decoder, `content-type=${type}`));
    assert.equal(decoder.block.contentType, expected, type);
  }
  for (const [status, expected] of [
    ['0', 0],
    ['16', 16],
    ['17', 2],
    ['016', 2],
    ['-1', 2],
    ['x', 2],
  ] as const) {
    assert.ok(fields(decoder, `grpc-status=${status}`));
    assert.equal(decoder.block.grpcStatus, expected, status);
  }
  for (const path of [
    '/',
    '/a',
    '/a/',
    '//a',
    '/a/b/c',
    '/a/b?c',
    '/a/b%20',
    `/${'a'.repeat(129)}/b`,
    'a/b',
    '/a-b/c',
  ]) {
    assert.ok(fields(decoder, `:path=${path}`));
    assert.equal(decoder.block.path, undefined, path);
    assert.equal(decoder.block.pathSeen, true);
  }
  const longest = `/${'a'.repeat(128)}/${'b'.repeat(128)}`;
  assert.ok(fields(decoder, `:path=${longest}`));
  assert.equal(decoder.block.path, longest);
});

test('after a join, what was inserted before is unknown, what is inserted since is certain', () => {
  const decoder = joined();
  assert.ok(fields(decoder, '#62 :scheme=https'));
  assert.equal(decoder.block.method, ABSENT);
  assert.equal(decoder.block.uncertain, true);
  assert.equal(decoder.block.firstUncertain, true);
  assert.ok(fields(decoder, '+:method=PATCH #63 x-y=z'));
  assert.equal(methodOf(decoder), 'PATCH');
  assert.equal(decoder.block.firstUncertain, false);
  assert.equal(decoder.block.uncertain, true);
  // A name from an unknown entry, inserted: the entry is certain to be there, and its name stays unknown.
  assert.ok(fields(decoder, '+#100=v'));
  assert.equal(decoder.block.uncertain, true);
  assert.ok(fields(decoder, '#63'));
  assert.equal(methodOf(decoder), 'PATCH');
  assert.equal(decoder.block.uncertain, false);
  assert.ok(fields(decoder, '#62'));
  assert.equal(decoder.block.uncertain, true);
});

test('a table that was emptied is certain again', () => {
  const decoder = joined();
  assert.ok(fields(decoder, '^0 ^4096 :method=GET'));
  assert.equal(decoder.table.complete, true);
  assert.equal(fields(decoder, '#62'), false);
  const other = joined();
  assert.ok(fields(other, '^100 +a=b'));
  assert.equal(other.table.complete, false);
  assert.ok(fields(other, `+c=${'d'.repeat(40)}`));
  assert.equal(other.table.complete, true);
  assert.equal(other.table.count, 1);
});

test('an entry larger than the table empties it', () => {
  const decoder = fresh(100);
  assert.ok(fields(decoder, `+a=b +c=${'d'.repeat(100)}`));
  assert.equal(decoder.table.count, 0);
  assert.equal(decoder.table.sizeBytes, 0);
  assert.ok(fields(decoder, '+:status=201'));
  assert.ok(fields(decoder, '#62'));
  assert.equal(decoder.block.status, 201);
});

test('bytes missing in the middle of a block', () => {
  const decoder = fresh();
  decoder.begin();
  const bytes = encodeFields([':method=PUT', ':scheme=https', '+x=yyyyyyyyy']);
  assert.ok(decoder.feed(bytes, 0, bytes.length - 4));
  decoder.lose();
  assert.ok(decoder.feed(bytes, 0, 3));
  assert.ok(decoder.end());
  assert.equal(methodOf(decoder), 'PUT');
  assert.equal(decoder.block.uncertain, true);
  assert.ok(fields(decoder, '#62'));
  assert.equal(decoder.block.uncertain, true);
});

test('what is no header block', () => {
  for (const [what, bytes] of [
    ['index 0', '80'],
    ['an entry that is not there', 'be'],
    ['a name that is not there', '7e 0161'],
    ['an integer without end', 'ff ffff ffff ffff ff'],
    ['an integer beyond 28 bits', 'ff 8080 8080 01'],
    ['a table above what was allowed', '3f e1 ff 03'],
    ['a change of the table behind a field', '82 20'],
    ['three changes of the table', '20 21 22'],
    ['padding of more than 7 bits', '48 82 1f ff'],
    ['padding of zeros', '48 81 60'],
    ['EOS in a string', '48 84 ff ff ff ff'],
    ['a status of two digits', '48 02 3230'],
    ['a status that is no number', '48 03 3241 30'],
    ['a method with a space', '42 03 47 20 54'],
    ['no method', '42 00'],
  ] as const) {
    assert.equal(read(fresh(), hex(bytes)), false, what);
  }
  for (const [what, bytes] of [
    ['a name that stops', '00 05 61'],
    ['a value that stops', '00 01 61 05 62'],
    ['a field that stops', '40'],
  ] as const) {
    assert.equal(read(fresh(), hex(bytes)), false, what);
  }
});

test('pseudo-headers that no endpoint may send', () => {
  const decoder = fresh();
  for (const text of [
    ':method=GET :method=GET',
    ':status=200 :status=200',
    ':path=/ :path=/',
    ':status=200 :method=GET',
    ':method=GET :status=200',
    'x=y :method=GET',
    ':status=200 content-type=a :path=/',
    ':secret=1',
  ]) {
    assert.ok(fields(decoder, text));
    assert.equal(decoder.block.valid, false, text);
  }
  for (const text of [':method=GET :scheme=http :path=/ :authority=a x=y', ':status=200 x=y', 'x=y', 'grpc-status=0']) {
    assert.ok(fields(decoder, text));
    assert.equal(decoder.block.valid, true, text);
  }
});

test('a table of any size keeps a bounded number of entries', () => {
  const decoder = joined();
  for (let i = 0; i < 10; i++) {
    assert.ok(read(decoder, encodeFields(Array.from({ length: MAX_ENTRIES / 2 }, (_, j) => `+a=${i}-${j}`))));
  }
  assert.equal(decoder.table.count, MAX_ENTRIES);
  const known = fresh();
  known.maxTableBytes = 2 ** 31;
  assert.ok(fields(known, '^200000000 +:status=204'));
  for (let i = 0; i < 3; i++) {
    assert.ok(read(known, encodeFields(Array.from({ length: MAX_ENTRIES / 2 }, () => '+a=b'))));
  }
  assert.equal(known.table.count, MAX_ENTRIES);
  // The oldest is there, but nobody remembers it.
  assert.ok(fields(known, `#${61 + MAX_ENTRIES * 1.5 + 1}`));
  assert.equal(known.block.uncertain, true);
});

test('a reference costs what it takes on the wire, not what it refers to', () => {
  const decoder = fresh();
  assert.ok(fields(decoder, `+cookie=${'x'.repeat(4000)}`));
  const bomb = Buffer.alloc(1 << 20, 0xbe);
  assert.ok(read(decoder, bomb));
  assert.equal(decoder.block.fields, 1 << 20);
});
