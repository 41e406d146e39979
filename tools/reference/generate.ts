/**
 * Writes docs/metrics.md, docs/configuration.md and the features of docs/kernels.md from the code: `node
 * build/tools/reference/generate.js --write`; without --write it says which differ and ends with 1.
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fromRoot } from '../../src/root.ts';
import { configurationPage } from './configuration-page.ts';
import { withFeatures } from './features-table.ts';
import { metricsPage } from './metrics-page.ts';

const PAGES = {
  'docs/metrics.md': await metricsPage(),
  'docs/configuration.md': configurationPage(),
  'docs/kernels.md': withFeatures(readFileSync(fromRoot('docs/kernels.md'), 'utf8')),
};

const write = process.argv.includes('--write');
for (const [path, text] of Object.entries(PAGES)) {
  const before = existsSync(fromRoot(path)) ? readFileSync(fromRoot(path), 'utf8') : undefined;
  if (before === text) continue;
  if (write) writeFileSync(fromRoot(path), text);
  else process.exitCode = 1;
  process.stdout.write(`${path} ${write ? 'is written' : 'is not what tools/reference makes: npm run generate'}\n`);
}
