import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { PLAINSIGHT, start, startAgent } from './harness.ts';

interface Report {
  readonly status: 'ok' | 'degraded' | 'missing';
  readonly checks: readonly { readonly name: string; readonly status: string; readonly fix: string }[];
}

const LOCKDOWN = '/sys/kernel/security/lockdown';
const isLockedDown = existsSync(LOCKDOWN) && readFileSync(LOCKDOWN, 'utf8').includes('[confidentiality]');

if (isLockedDown) {
  test('lockdown=confidentiality: doctor says so with the remedy, and the agent ends with 2', async (t) => {
    const doctor = start(t, PLAINSIGHT, ['doctor', '--json']);
    assert.deepEqual(await doctor.exited, { code: 2, signal: null }, doctor.stderr());
    const { status, checks } = JSON.parse(doctor.stdout()) as Report;
    assert.equal(status, 'missing');
    const check = checks.find(({ name }) => name === 'lockdown');
    assert.equal(check?.status, 'missing');
    assert.match(check.fix, /lockdown=integrity/);
    const agent = start(t, PLAINSIGHT, ['run', '--listen', '127.0.0.1:0']);
    assert.deepEqual(await agent.exited, { code: 2, signal: null }, agent.stderr());
    assert.match(agent.stderr(), /confidentiality/);
    assert.match(agent.stderr(), /cannot run on this host/);
  });
} else {
  test('doctor says of each feature what the agent finds', async (t) => {
    const doctor = start(t, PLAINSIGHT, ['doctor', '--json']);
    const { code } = await doctor.exited;
    const { status, checks } = JSON.parse(doctor.stdout()) as Report;
    assert.ok(code === { ok: 0, degraded: 1, missing: 2 }[status] && code < 2, doctor.stdout() + doctor.stderr());
    const judged = (name: string) => checks.find((check) => check.name === name)?.status;
    const exposition = await (await startAgent(t)).scrape();
    const enabled = (feature: string) => exposition.sum('plainsight_feature_enabled', { feature }) === 1;
    assert.ok(enabled('tls') && enabled('process'), exposition.text);
    assert.equal(enabled('socket'), judged('sock length tracepoints') === 'ok');
    assert.equal(enabled('syscall'), !enabled('socket'));
    for (const [feature, name] of [
      ['uprobe_multi', 'uprobe multi'],
      ['attach_cookie', 'attach cookie'],
    ] as const) {
      // Of the features that something replaces, doctor says that it does: the rest of the line is not for programs.
      if (enabled(feature)) assert.equal(judged(name), 'ok');
      else assert.notEqual(judged(name), 'missing');
    }
    for (const { name, status, fix } of checks) {
      if (status !== 'ok') assert.notEqual(fix, '', `${name} is ${status}, and nothing says what to do`);
    }
  });
}
