/**
 * The cases of `npm run test:servers`: each is a test and a row of test/http-servers.md. A case whose packages are not there
 * is not run and fails nothing: run.ts has tried to fetch them, and says why that failed.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { isInstalled } from '../stacks/packages.ts';
import { type Case, ROWS, type Row, transport } from './table.ts';

const rows: Row[] = [];

after(() => {
  mkdirSync(ROWS, { recursive: true });
  const name = basename(process.argv[1] ?? 'rows', '.test.js');
  writeFileSync(join(ROWS, `${name}.json`), JSON.stringify(rows));
});

/** A test and its row. */
export function serve(each: Case, body: (t: TestContext, row: Row) => Promise<void>): void {
  const title = `${each.server}, ${each.protocol} over ${transport(each)}, ${each.client}`;
  test(each.what === undefined ? title : `${title}: ${each.what}`, async (t) => {
    const row: Row = {
      ...each,
      ...{ sent: 0, served: undefined, asked: undefined, difference: undefined, result: 'failed' },
    };
    rows.push(row);
    for (const name of each.packages ?? []) {
      if (await isInstalled(name)) continue;
      row.result = `not run: the package ${name} could not be fetched`;
      t.diagnostic(row.result);
      return;
    }
    await body(t, row);
    row.result = 'ok';
  });
}

export function total(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((a, b) => a + b, 0);
}
