/** What must hold for the repository as a whole: pinned packages, licenses, executables, nothing of one machine in it. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, test } from 'node:test';
import { fromRoot } from '../src/root.ts';

/** What .gitignore lists, and git's own. */
const NOT_OURS = ['.git', 'node_modules', 'build', '.cache'];

interface RepositoryFile {
  readonly path: string;
  readonly executable: boolean;
  /** undefined for a binary file */
  readonly text: string | undefined;
}

function listFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return NOT_OURS.includes(relative(fromRoot('.'), path)) ? [] : listFiles(path);
    return entry.isFile() && !entry.name.endsWith('.log') ? [path] : [];
  });
}

const files: RepositoryFile[] = listFiles(fromRoot('.')).map((path) => {
  const bytes = readFileSync(path);
  return {
    path: relative(fromRoot('.'), path),
    executable: (statSync(path).mode & 0o111) !== 0,
    text: bytes.includes(0) ? undefined : bytes.toString(),
  };
});

function paths(wrong: readonly RepositoryFile[]): string[] {
  return wrong.map(({ path }) => path);
}

/** Lines of a file's text that match, as `path:line`. */
function linesMatching(pattern: RegExp, among: readonly RepositoryFile[]): string[] {
  return among.flatMap(({ path, text }) =>
    (text ?? '').split('\n').flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}`] : [])),
  );
}

describe('packages', () => {
  const manifest = JSON.parse(readFileSync(fromRoot('package.json'), 'utf8'));
  const lock = JSON.parse(readFileSync(fromRoot('package-lock.json'), 'utf8'));

  test('versions are exact', () => {
    const versions = Object.entries<string>({ ...manifest.dependencies, ...manifest.devDependencies });
    assert.notEqual(versions.length, 0);
    for (const [name, version] of versions) assert.match(version, /^\d+\.\d+\.\d+(-[\w.]+)?$/, name);
  });

  test('the lock file belongs to package.json and names no registry', () => {
    const root = lock.packages[''];
    assert.deepEqual(root.dependencies, manifest.dependencies);
    assert.deepEqual(root.devDependencies, manifest.devDependencies);
    for (const [name, entry] of Object.entries<{ resolved?: string; integrity?: string }>(lock.packages)) {
      assert.equal(entry.resolved, undefined, `${name}: remove "resolved"`);
      if (name !== '') assert.match(entry.integrity ?? '', /^sha512-/, name);
    }
  });
});

describe('files', () => {
  test('what begins with #! is executable, and nothing else is', () => {
    assert.deepEqual(
      paths(files.filter(({ text, executable }) => (text?.startsWith('#!') ?? false) !== executable)),
      [],
    );
  });

  test('the entry points are there', () => {
    const executables = paths(files.filter(({ executable }) => executable));
    for (const path of ['bin/plainsight', 'tools/setup.sh', '.ci/run']) assert.ok(executables.includes(path), path);
  });

  test('sources of bpf/ carry their license', () => {
    const sources = files.filter(({ path }) => /^bpf\/.*\.[ch]$/.test(path));
    assert.notEqual(sources.length, 0);
    const line = /^(\/\/|\/\*) SPDX-License-Identifier: GPL-2\.0(-only)? OR BSD-2-Clause( \*\/)?\n/;
    assert.deepEqual(paths(sources.filter(({ text }) => !line.test(text ?? ''))), []);
  });

  test('src/ has no default export', () => {
    const sources = files.filter(({ path }) => /^src\/.*\.ts$/.test(path));
    assert.deepEqual(linesMatching(/^export default\b|\bas default\b/, sources), []);
  });

  test('lines of the change log have a kind and an area', () => {
    const log = files.filter(({ path }) => path === 'CHANGELOG.md');
    assert.equal(log.length, 1);
    const entries = linesMatching(/^\s*[-*] /, log);
    assert.notEqual(entries.length, 0);
    assert.deepEqual(
      entries,
      linesMatching(/^[-*] \[(FEATURE|ENHANCEMENT|BUGFIX)\] [a-z][a-z0-9/-]*(, [a-z][a-z0-9/-]*)*: \S/, log),
    );
  });

  test('nothing of one machine or one registry is in the repository', () => {
    const home = /(^|[^\w.})\]$*/-])\/(?:(?:home|work|Users)\/\w|root\/\.)/;
    const registry = /registry\.npmjs|npmjs\.com\/|pkg\.dev\b|jfrog\.|artifactor[y]|_auth[T]oken/i;
    const license = (path: string) => path === 'LICENSE';
    const ours = files.filter(({ path }) => !license(path));
    assert.deepEqual(linesMatching(home, ours), []);
    assert.deepEqual(linesMatching(registry, ours), []);
  });

  test('text ends with a line feed and has no carriage return', () => {
    const texts = files.filter(({ path, text }) => text !== undefined && text !== '' && !path.startsWith('fixtures/'));
    assert.deepEqual(paths(texts.filter(({ text }) => text!.includes('\r') || !text!.endsWith('\n'))), []);
  });
});
