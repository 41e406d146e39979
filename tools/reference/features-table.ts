/** The table of features in docs/kernels.md: those that src/programs.ts names in its types, with what is known of each. */

import { readFileSync } from 'node:fs';
import { fromRoot } from '../../src/root.ts';
import { FEATURE_NOTES } from './notes.ts';

const OPEN = '<!-- features: written by `npm run generate` (tools/reference) -->';
const CLOSE = '<!-- /features -->';

/** As the label `feature` of plainsight_feature_enabled has them. A type has no values to read at run time. */
export function featureNames(): readonly string[] {
  const source = readFileSync(fromRoot('src/programs.ts'), 'utf8');
  const union = /\breadonly feature:([^;]+);/.exec(source)?.[1];
  if (union === undefined) throw new Error('src/programs.ts has no type of a feature: see tools/reference');
  // A name in the union that is a type of its own stands for its members.
  const spelled = union.replace(
    /\b[A-Z]\w*/g,
    (name) => new RegExp(`\\btype ${name} =([^;]+);`).exec(source)?.[1] ?? '',
  );
  return [...spelled.matchAll(/'(\w+)'/g)].map(([, name]) => name!);
}

/** `page` with the table between its marks. */
export function withFeatures(page: string): string {
  const [start, end] = [page.indexOf(OPEN), page.indexOf(CLOSE)];
  if (start < 0 || end < start) throw new Error(`docs/kernels.md has lost ${OPEN} … ${CLOSE}`);
  const rows = featureNames().map((name) => {
    const note = FEATURE_NOTES[name];
    if (note === undefined) throw new Error(`${name}: say in tools/reference/notes.ts what its absence costs`);
    return `| \`${name}\` | ${note[0]} | ${note[1]} |`;
  });
  const table = ['| `feature` | needs | when it is 0 |', '|---|---|---|', ...rows].join('\n');
  return `${page.slice(0, start)}${OPEN}\n\n${table}\n\n${page.slice(end)}`;
}
