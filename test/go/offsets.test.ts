/** offsets/go.json says what the toolchains say. A newer release of a version that is in it must have the same layout. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fromRoot } from '../../src/root.ts';
import { generateEntry } from '../../tools/offsets/generate.ts';
import { GO_VERSIONS } from './toolchains.ts';

interface Entry {
  readonly version: string;
  readonly layout: Readonly<Record<string, number>>;
}

const committed = JSON.parse(readFileSync(fromRoot('offsets/go.json'), 'utf8')) as { versions: Entry[] };

for (const version of GO_VERSIONS) {
  test(`Go ${version}`, async () => {
    const entry = committed.versions.find((candidate) => candidate.version === version);
    assert.ok(entry, 'it is not in offsets/go.json');
    assert.deepEqual((await generateEntry(version)).layout, entry.layout);
  });
}
