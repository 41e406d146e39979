import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { PlainsightError } from '../../src/errors.ts';
import { decodeCookie, encodeSocketFields } from '../../src/probes/cookie.ts';
import { fromRoot } from '../../src/root.ts';
import { type OffsetTable, parseOffsetTable } from '../../src/tls/offset-table.ts';

const MACHINES = ['x64', 'arm64'] as const;
const read = (path: string): unknown => JSON.parse(readFileSync(fromRoot(path), 'utf8'));

const LAYOUT = {
  sslReadBio: 16,
  sslWriteBio: 24,
  bioMethod: 8,
  bioRetryReason: 52,
  bioNumber: 56,
  bioData: 64,
  methodType: 0,
};

function table(...versions: [version: string, changes: object][]): OffsetTable {
  const list = versions.map(([version, changes]) => ({
    version,
    verifiedOn: version,
    layouts: { x64: { ...LAYOUT, ...changes } },
  }));
  return parseOffsetTable({ library: 'openssl', versions: list }, 'x64');
}

describe('looking up a version', () => {
  const MOVED = { sslReadBio: 80, sslWriteBio: 88, sslKind: 0 };
  const openssl = table(['3.5', MOVED], ['1.1.1', { bioMethod: 0 }], ['3.0', {}]);

  test('its releases are one', () => {
    assert.equal(openssl.connection([3, 0, 19])?.sslReadBio, 16);
    assert.equal(openssl.connection([3, 5, 0])?.sslKind, 0);
    assert.equal(openssl.bio([1, 1, 1])?.bioMethod, 0);
  });

  test('between two that are the same', () => {
    assert.equal(openssl.bio([3, 2, 1])?.bioNumber, 56);
  });

  test('between two that differ it is unverified', () => {
    assert.equal(openssl.connection([3, 2, 1]), undefined);
  });

  test('before the oldest, behind the newest, and between major versions it is unverified', () => {
    for (const version of [
      [1, 0, 2],
      [1, 1, 0],
      [3, 6, 0],
      [4, 0, 0],
      [2, 0, 0],
    ]) {
      assert.equal(openssl.bio(version), undefined, version.join('.'));
      assert.equal(openssl.connection(version), undefined, version.join('.'));
    }
  });
});

describe('a table that cannot be used', () => {
  const cases: [name: string, json: unknown][] = [
    ['none', undefined],
    ['no library', { versions: [] }],
    ['no versions', { library: 'openssl', versions: [] }],
    ['no name', { library: 'openssl', versions: [{ verifiedOn: '3', layouts: {} }] }],
    ['no number', { library: 'openssl', versions: [{ version: '3.x', verifiedOn: '3', layouts: {} }] }],
    ...[-8, 1.5, 4096, '16', undefined].map((sslReadBio): [string, unknown] => [
      `an offset of ${sslReadBio}`,
      {
        library: 'openssl',
        versions: [{ version: '3', verifiedOn: '3', layouts: { x64: { ...LAYOUT, sslReadBio } } }],
      },
    ]),
  ];
  for (const [name, json] of cases) {
    test(name, () => {
      assert.throws(
        () => parseOffsetTable(json, 'x64'),
        (error) => error instanceof PlainsightError && error.code === 'BAD_INPUT',
      );
    });
  }

  test('of another machine it is empty', () => {
    assert.deepEqual(table(['3', {}]).entries.length, 1);
    const json = { library: 'openssl', versions: [{ version: '3', verifiedOn: '3', layouts: { x64: LAYOUT } }] };
    assert.deepEqual(parseOffsetTable(json, 'other').entries, []);
  });
});

interface Schema {
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly type?: string;
  readonly pattern?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
}

/** What of JSON Schema the schemas of offsets/ use; all objects there are closed. */
function violations(value: unknown, schema: Schema, at: string): string[] {
  if (schema.const !== undefined) return value === schema.const ? [] : [`${at} is not ${schema.const}`];
  if (schema.enum) return schema.enum.includes(value) ? [] : [`${at} is none of ${schema.enum}`];
  if (schema.type === 'string') {
    const fits = typeof value === 'string' && new RegExp(schema.pattern ?? '').test(value);
    return fits ? [] : [`${at} is no such string`];
  }
  if (schema.type === 'integer') {
    const number = Number.isInteger(value) ? (value as number) : Number.NaN;
    return number >= (schema.minimum ?? 0) && number <= (schema.maximum ?? 0) ? [] : [`${at} is out of range`];
  }
  if (schema.items) {
    if (!Array.isArray(value)) return [`${at} is no list`];
    return value.flatMap((item, i) => violations(item, schema.items!, `${at}[${i}]`));
  }
  if (typeof value !== 'object' || value === null) return [`${at} is no object`];
  const missing = (schema.required ?? []).filter((name) => !(name in value)).map((name) => `${at}.${name} is missing`);
  const inside = Object.entries(value).flatMap(([name, item]) => {
    const own = schema.properties?.[name];
    const byPattern = Object.entries(schema.patternProperties ?? {}).find(([pattern]) =>
      new RegExp(pattern).test(name),
    );
    const found = own ?? byPattern?.[1];
    return found ? violations(item, found, `${at}.${name}`) : [`${at}.${name} is not allowed`];
  });
  return [...missing, ...inside];
}

for (const name of ['openssl', 'boringssl']) {
  describe(`offsets/${name}.json`, () => {
    const json = read(`offsets/${name}.json`);

    test('fits its schema', () => {
      assert.deepEqual(violations(json, read('offsets/schema/tls.json') as Schema, name), []);
    });

    for (const machine of MACHINES) {
      test(`${machine}: its fields lie beside each other as BPF and the code of the library want them`, () => {
        const { library, entries } = parseOffsetTable(json, machine);
        assert.equal(library, name);
        assert.deepEqual([...new Set(entries.map(({ version }) => version))].length, entries.length);
        for (const { version, verifiedOn, connection, bio } of entries) {
          assert.ok(verifiedOn.startsWith(version), version);
          assert.equal(connection.sslWriteBio, connection.sslReadBio + 8, version);
          assert.equal(bio.bioNumber, bio.bioRetryReason + 4, version);
          assert.ok(bio.bioNumber < bio.bioData && bio.bioData <= bio.bioNumber + 8, version);
          const bits = encodeSocketFields({ ...connection, ...bio });
          assert.notEqual(bits, 0n, version);
          assert.equal(decodeCookie(bits & 0xfffffn)?.operation, 'read', 'no bit of the call is touched');
        }
      });
    }
  });
}

test('OpenSSL: every version that the agent was asked to know, and the move into ssl_connection_st', () => {
  const openssl = parseOffsetTable(read('offsets/openssl.json'), 'x64');
  assert.equal(openssl.connection([1, 1, 1])?.sslKind, undefined);
  assert.equal(openssl.connection([3, 0, 2])?.sslKind, undefined);
  assert.equal(openssl.connection([3, 5, 1])?.sslKind, 0);
  assert.equal(openssl.connection([3, 6, 1])?.sslKind, 0);
  // No suite of Debian has 3.1 to 3.4: which of the two layouts they have is left to their own code.
  for (const minor of [1, 2, 3, 4]) {
    assert.equal(openssl.connection([3, minor, 0]), undefined);
    assert.notEqual(openssl.bio([3, minor, 0]), undefined);
  }
});
