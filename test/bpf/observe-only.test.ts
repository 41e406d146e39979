/** The BPF side observes: it holds no program that can change traffic, and calls nothing that changes a process. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fromRoot } from '../../src/root.ts';

const sources = readdirSync(fromRoot('bpf'))
  .filter((file) => /\.[ch]$/.test(file))
  .map((file) => ({ file, text: readFileSync(fromRoot(`bpf/${file}`), 'utf8') }));

/** Programs of these types are told of what happens; their results change nothing. */
const OBSERVING = /^(u(ret)?probe|tp_btf\/\w+|raw_tp\/\w+|tracepoint\/.+|iter\/\w+)$/;
/** What is no program. */
const NO_PROGRAM = /^(\.maps|license|version|\.rodata|\.data)/;

function offenders(pattern: RegExp, allowed: (found: string) => boolean): string[] {
  return sources.flatMap(({ file, text }) =>
    [...text.matchAll(pattern)].filter(([, found]) => !allowed(found!)).map(([, found]) => `${file}: ${found}`),
  );
}

test('each program is of a type that only observes', () => {
  assert.ok(sources.some(({ text }) => text.includes('SEC("uprobe")')));
  assert.deepEqual(
    offenders(/SEC\("([^"]*)"\)/g, (section) => OBSERVING.test(section) || NO_PROGRAM.test(section)),
    [],
  );
});

test('no helper writes to user memory, overrides a result, or sends a signal', () => {
  assert.ok(sources.some(({ text }) => text.includes('bpf_probe_read_user(')));
  assert.deepEqual(
    offenders(
      /\b(bpf_\w*(?:write_user|override|send_signal|setsockopt|store_bytes|redirect|copy_to)\w*)\(/g,
      () => false,
    ),
    [],
  );
});
