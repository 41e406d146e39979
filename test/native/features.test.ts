/** probeFeature(): what works here is found to work, and what does not says why. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import type { KernelFeature, ProbeResult } from '../../src/native.ts';
import { native } from '../../src/native.ts';
import { fromRoot } from '../../src/root.ts';
import { needsBpf } from './fixture.ts';

const FEATURES: readonly KernelFeature[] = [
  'bpf',
  'btf',
  'ring_buffer',
  'sock_length_tracepoints',
  'sys_exit_tracepoint',
  'uprobe',
  'uprobe_multi',
  'attach_cookie',
  'task_pt_regs',
  'sk_storage_tracing',
  'tcp_tracepoints',
];
/** What every supported kernel has for root (5.10 and later). */
const BASE: readonly KernelFeature[] = ['bpf', 'btf', 'ring_buffer', 'uprobe', 'tcp_tracepoints'];

function probeAll(command: readonly string[]): Record<string, ProbeResult> {
  const script = `
    const addon = require(process.argv[1]);
    console.log(JSON.stringify(process.argv.slice(2).map((feature) => [feature, addon.probeFeature(feature)])));`;
  const [program, ...args] = [...command, process.execPath, '-e', script];
  const child = spawnSync(program!, [...args, fromRoot('build/native/plainsight.node'), ...FEATURES], {
    encoding: 'utf8',
  });
  assert.equal(child.status, 0, child.stderr);
  return Object.fromEntries(JSON.parse(child.stdout) as [string, ProbeResult][]);
}

test('every feature has an answer: it works, or an errno by name and the reason', needsBpf, () => {
  for (const feature of FEATURES) {
    const { errno, detail } = native().probeFeature(feature);
    if (errno === 0) assert.equal(detail, '');
    else assert.match(detail, /^E[A-Z]+: .{10}/, feature);
    if (BASE.includes(feature)) assert.equal(errno, 0, `${feature}: ${detail}`);
  }
});

test('a try leaves nothing open', needsBpf, () => {
  const descriptors = () => readdirSync('/proc/self/fd').length;
  for (const feature of FEATURES) native().probeFeature(feature);
  const before = descriptors();
  for (const feature of FEATURES) native().probeFeature(feature);
  assert.equal(descriptors(), before);
});

test('without rights all that needs them says EPERM or EACCES and what to do', needsBpf, () => {
  const rightless = [
    '--reuid=65534',
    '--regid=65534',
    '--clear-groups',
    '--inh-caps=-all',
    '--bounding-set=-all',
    '--',
  ];
  const results = probeAll(['setpriv', ...rightless]);
  assert.equal(results.btf?.errno, 0);
  for (const feature of ['bpf', 'uprobe', 'uprobe_multi', 'attach_cookie', 'task_pt_regs', 'sk_storage_tracing']) {
    const { errno, detail } = results[feature]!;
    assert(errno === 1 || errno === 13, `${feature}: ${errno}`);
    assert.match(detail, /^E(PERM|ACCES): run as root, or with CAP_/);
  }
});

test('an unknown feature is a TypeError', () => {
  assert.throws(() => native().probeFeature('kprobe' as never), TypeError);
  assert.throws(() => native().probeFeature(undefined as never), TypeError);
});

test('the version of libbpf', () => {
  assert.match(native().libbpfVersion, /^\d+\.\d+/);
});
