/** What the documentation says against what is there: links, flags, variables, metrics, reasons, features. */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { COMMON_FLAGS } from '../src/cli/arguments.ts';
import { COMMANDS } from '../src/cli/commands.ts';
import { environmentName, OPTION_NAMES, OPTIONS } from '../src/config.ts';
import { LOSS_STAGES } from '../src/metrics/self.ts';
import { fromRoot } from '../src/root.ts';
import { TLS_REASONS } from '../src/tls/library.ts';
import { INCOMPLETE_REASONS } from '../src/web/page/explanations.ts';
import { findFamilies, processMetrics } from '../tools/reference/families.ts';
import { featureNames } from '../tools/reference/features-table.ts';

interface Document {
  readonly path: string;
  readonly text: string;
}

const SKIPPED = ['node_modules', 'build', '.git', '.cache'];

function listDocuments(folder: string): Document[] {
  return readdirSync(fromRoot(folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return SKIPPED.includes(path) ? [] : listDocuments(path);
    return entry.name.endsWith('.md') ? [{ path, text: readFileSync(fromRoot(path), 'utf8') }] : [];
  });
}

const documents = listDocuments('.');
/** Written for users; HTTP cases and results are not. */
const pages = documents.filter(({ path }) => path === 'README.md' || path.startsWith('docs/'));

/** The text of a page that has to be there. */
function page(path: string): string {
  const found = documents.find((document) => document.path === path);
  assert.ok(found, `${path} is not there`);
  return found.text;
}

/** As GitHub makes them of headings. */
function anchors(text: string): Set<string> {
  const headings = [...text.replace(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ +(.+)$/gm)].map(([, title]) => title!);
  return new Set(
    headings.map((title) =>
      title
        .toLowerCase()
        .replace(/[^\p{L}\p{N}_ -]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

/** What is wrong with a link of a document, undefined when nothing is. */
function linkProblem(from: Document, link: string): string | undefined {
  if (/^[a-z]+:/.test(link)) return undefined;
  const [file = '', anchor] = link.split('#');
  const target = file === '' ? from.path : join(dirname(from.path), file);
  if (!existsSync(fromRoot(target))) return `${from.path}: ${link} leads nowhere`;
  if (anchor === undefined || anchors(readFileSync(fromRoot(target), 'utf8')).has(anchor)) return undefined;
  return `${from.path}: ${target} has no heading for #${anchor}`;
}

/** Matches in all pages, as `path: match`. */
function mentions(pattern: RegExp): { path: string; found: string }[] {
  return pages.flatMap(({ path, text }) => [...text.matchAll(pattern)].map(([, found]) => ({ path, found: found! })));
}

describe('documents', () => {
  test('links lead to files and headings that are there', () => {
    const problems = documents.flatMap((document) =>
      // Code holds brackets that are no links.
      [
        ...document.text
          .replace(/^```[\s\S]*?^```/gm, '')
          .replace(/`[^`\n]*`/g, '')
          .matchAll(/\]\(([^)\s]+)\)/g),
      ].map(([, link]) => linkProblem(document, link!)),
    );
    assert.ok(problems.length > 30);
    assert.deepEqual(
      problems.filter((problem) => problem !== undefined),
      [],
    );
  });

  test('a link that leads nowhere is found, and one to a missing heading', () => {
    const readme = { path: 'README.md', text: '' };
    assert.match(linkProblem(readme, 'docs/nothing.md') ?? '', /leads nowhere/);
    assert.match(linkProblem(readme, 'docs/README.md#nothing') ?? '', /no heading/);
    assert.equal(linkProblem(readme, 'docs/README.md#scope'), undefined);
  });

  test('each page of docs/ is in its index', () => {
    const index = page('docs/README.md');
    const names = pages.map(({ path }) => path).filter((path) => path !== 'README.md' && path !== 'docs/README.md');
    assert.deepEqual(
      names.filter((path) => !index.includes(`(${path.slice('docs/'.length)})`)),
      [],
    );
  });

  test('flags are there', () => {
    const known = new Set([
      ...OPTION_NAMES.map((name) => OPTIONS[name].flag),
      ...COMMANDS.flatMap(({ flags }) => flags.map(({ flag }) => flag)),
      ...COMMON_FLAGS.map(({ flag }) => flag),
    ]);
    const found = mentions(/(?<![\w-])--([a-z][a-z-]+)/g);
    assert.ok(found.length > 30);
    assert.deepEqual(
      found.filter(({ found: flag }) => !known.has(flag)),
      [],
    );
  });

  test('variables are those of flags', () => {
    const known = [...OPTION_NAMES.map((name) => environmentName(OPTIONS[name].flag)), environmentName('config')];
    const found = mentions(/\b(PLAINSIGHT_[A-Z_]+[A-Z])\b/g);
    assert.ok(found.length > 5);
    assert.deepEqual(
      found.filter(({ found: name }) => !known.includes(name)),
      [],
    );
  });

  test('metrics are there', async () => {
    const known = new Set([...(await findFamilies()), ...processMetrics()].map(({ name }) => name));
    const pattern =
      /\b((?:plainsight|http|grpc|tcp|node_tcp|traces|process|nodejs)_[a-z_]+(?:_total|_seconds|_bytes|_processes|_enabled|_info|_tracked|_active|_up)|plainsight_[a-z_]+)(?:_bucket|_sum|_count)?\b/g;
    const found = mentions(pattern);
    assert.ok(found.length > 40);
    assert.deepEqual(
      found.filter(({ found: name }) => !known.has(name) && !known.has(name.replace(/_(bucket|sum|count)$/, ''))),
      [],
    );
  });
});

describe('explained', () => {
  const troubleshooting = page('docs/troubleshooting.md');
  const rowOf = (name: string) => new RegExp(`^\\| \`${name}\` \\| \\S`, 'm');
  const section = (title: string) => troubleshooting.split(/^### /m).find((text) => text.startsWith(title)) ?? '';

  test('each reason of TLS, and no others', () => {
    const text = section('Reasons of TLS');
    for (const reason of TLS_REASONS) if (reason !== '') assert.match(text, rowOf(reason), reason);
    const rows = [...text.matchAll(/^\| `([^`]+)` \|/gm)].map(([, reason]) => reason!);
    assert.deepEqual(
      rows.filter((reason) => !(TLS_REASONS as readonly string[]).includes(reason)),
      [],
    );
  });

  test('each stage of loss', () => {
    for (const stage of LOSS_STAGES) assert.match(section('Loss stages'), rowOf(stage), stage);
  });

  test('each reason of incomplete requests', () => {
    const reasons = Object.keys(INCOMPLETE_REASONS);
    assert.ok(reasons.length > 0);
    for (const reason of reasons) assert.match(section('Incomplete requests'), rowOf(reason), reason);
  });

  test('each feature that the programs have', () => {
    const features = featureNames();
    assert.ok(features.includes('uprobe_multi'), 'the features of src/programs.ts are read');
    for (const feature of features) assert.match(page('docs/kernels.md'), rowOf(feature), feature);
  });
});
