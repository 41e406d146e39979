/**
 * Writes deploy/grafana/*.json from dashboards.ts: `node build/tools/dashboards/generate.js --write`; without --write it says
 * which files differ and ends with 1.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fromRoot } from '../../src/root.ts';
import { DASHBOARDS } from './dashboards.ts';
import { dashboardJson } from './panels.ts';

const write = process.argv.includes('--write');
mkdirSync(fromRoot('deploy/grafana'), { recursive: true });
for (const dashboard of DASHBOARDS) {
  const path = `deploy/grafana/${dashboard.uid}.json`;
  const text = `${JSON.stringify(dashboardJson(dashboard, DASHBOARDS), null, 2)}\n`;
  const before = existsSync(fromRoot(path)) ? readFileSync(fromRoot(path), 'utf8') : undefined;
  if (before === text) continue;
  if (write) writeFileSync(fromRoot(path), text);
  else process.exitCode = 1;
  process.stdout.write(`${path} ${write ? 'is written' : 'is not what tools/dashboards makes: npm run generate'}\n`);
}
