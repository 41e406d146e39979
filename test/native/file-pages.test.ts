/** releaseFilePages(): what it takes, what it leaves, and that the program goes on. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { native } from '../../src/native.ts';

interface Pages {
  readonly residentBytes: number;
  /** Copies of pages of the file, as relocations and breakpoints make them. */
  readonly ownBytes: number;
}

/** Of the private mappings of files that cannot be written. */
function readOnlyPages(): Pages {
  const pages = { residentBytes: 0, ownBytes: 0 };
  let counts = false;
  for (const line of readFileSync('/proc/self/smaps', 'utf8').split('\n')) {
    const [, mode, inode] = /^[0-9a-f]+-[0-9a-f]+ (\S+) \S+ \S+ (\d+)/.exec(line) ?? [];
    if (mode !== undefined) counts = /^r-.p$/.test(mode) && inode !== '0';
    const [, name, kibibytes] = /^(Rss|Anonymous):\s+(\d+) kB$/.exec(line) ?? [];
    if (!counts || name === undefined) continue;
    pages[name === 'Rss' ? 'residentBytes' : 'ownBytes'] += Number(kibibytes) * 1024;
  }
  return pages;
}

test('pages of files go, copies of them stay, and the program goes on', () => {
  const addon = native();
  const before = readOnlyPages();
  const released = addon.releaseFilePages();
  const after = readOnlyPages();
  // Node.js at its start: 30 MB and more.
  assert.ok(released > 10e6, `${released} bytes`);
  assert.ok(released <= before.residentBytes - before.ownBytes, `${released} of ${before.residentBytes} bytes`);
  assert.ok(after.residentBytes < before.residentBytes - released / 2, `${after.residentBytes} bytes are left`);
  assert.ok(before.ownBytes > 0);
  assert.ok(after.ownBytes >= before.ownBytes, `${after.ownBytes} of ${before.ownBytes} bytes`);
  // Code and data that had been given back, and code that is reached by what the dynamic linker wrote.
  assert.equal(createHash('sha256').update('abc').digest('hex').slice(0, 16), 'ba7816bf8f01cfea');
  assert.equal(new Intl.NumberFormat('en').format(12_345), '12,345');
  assert.throws(() => addon.mapFile('/absent'), { code: 'FILE' });
});

test('it can be called again and again', () => {
  for (let i = 0; i < 20; i++) assert.ok(native().releaseFilePages() > 0);
});
