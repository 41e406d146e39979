import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { load } from 'js-yaml';
import { fromRoot } from '../../src/root.ts';
import { DASHBOARDS } from '../../tools/dashboards/dashboards.ts';
import { debianProgram } from './debian.ts';

const run = promisify(execFile);
const FOLDER = fromRoot('deploy/prometheus');

async function promtool(...args: string[]): Promise<string> {
  const { stdout, stderr } = await run(await debianProgram('promtool'), args, { cwd: FOLDER });
  return stdout + stderr;
}

test('Prometheus takes the configuration, the rules and the alerts', async () => {
  assert.match(await promtool('check', 'config', 'prometheus.yml'), /prometheus\.yml is valid/);
  assert.doesNotMatch(await promtool('check', 'rules', 'rules.yml', 'alerts.yml'), /FAILED|duplicate/);
});

test('the rules compute and the alerts fire as their tests say', async () => {
  assert.match(await promtool('test', 'rules', 'rules.test.yml'), /SUCCESS/);
});

interface Rules {
  readonly groups: readonly { readonly rules: readonly { readonly alert?: string; readonly record?: string }[] }[];
}

test('every alert has a test in which it fires', () => {
  const { groups } = load(readFileSync(`${FOLDER}/alerts.yml`, 'utf8')) as Rules;
  const { tests } = load(readFileSync(`${FOLDER}/rules.test.yml`, 'utf8')) as {
    tests: readonly { alert_rule_test?: readonly { alertname: string; exp_alerts: readonly unknown[] }[] }[];
  };
  const fired = tests.flatMap(({ alert_rule_test = [] }) =>
    alert_rule_test.filter(({ exp_alerts }) => exp_alerts.length > 0).map(({ alertname }) => alertname),
  );
  const alerts = groups.flatMap(({ rules }) => rules.map(({ alert }) => alert!));
  assert.deepEqual([...new Set(fired)].sort(), alerts.sort());
});

test('dashboards: each panel says what it is good for, and has a unit and a query', () => {
  const uids = DASHBOARDS.map(({ uid }) => uid);
  assert.equal(new Set(uids).size, uids.length);
  for (const { uid, rows } of DASHBOARDS) {
    for (const { title, description, unit, queries } of rows.flatMap(({ panels }) => panels)) {
      assert.ok(description.endsWith('.') && unit !== '' && queries.length > 0, `${uid}: ${title}`);
    }
  }
});
