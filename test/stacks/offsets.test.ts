/**
 * offsets/openssl.json and boringssl.json say what the headers of Debian's source packages say. A newer release of a version
 * that is in them must have the same layout.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import { generateVersion, TABLES, type TableName } from '../../tools/offsets/generate-tls.ts';

interface Entry {
  readonly version: string;
  readonly layouts: unknown;
}

for (const name of Object.keys(TABLES) as TableName[]) {
  const { versions } = JSON.parse(readFileSync(fromRoot(`offsets/${name}.json`), 'utf8')) as { versions: Entry[] };

  test(`${name}: the versions of the table are those that are generated`, () => {
    assert.deepEqual(versions.map(({ version }) => version).sort(), Object.keys(TABLES[name].versions).sort());
  });

  for (const { version, layouts } of versions) {
    test(`${name} ${version}`, async () => {
      assert.deepEqual((await generateVersion(name, version)).layouts, layouts);
    });
  }
}
