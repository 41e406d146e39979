import assert from 'node:assert/strict';
import { mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CgroupTable } from '../../src/process/cgroup-table.ts';
import { ProcessTable } from '../../src/process/process-table.ts';
import { ProcFs } from '../../src/process/procfs.ts';
import { temporaryFolder } from '../cli/fake-context.ts';

const ID = '3f2a'.repeat(16);
const UID = '1f0e9d8c-7b6a-4958-8776-655443322110';

function recorded(table: CgroupTable): string[] {
  const calls: string[] = [];
  table.listen({
    cgroupFound: (id, path) => calls.push(`+ ${id} ${path}`),
    cgroupGone: (id, path) => calls.push(`- ${id} ${path}`),
  });
  return calls;
}

test('directories that are made and removed', () => {
  const table = new CgroupTable();
  table.made(7, '/kubepods');
  const calls = recorded(table);
  table.made(8, '/kubepods/pod1');
  table.made(8, '/kubepods/pod1');
  table.made(0, '/nothing');
  table.gone(8);
  table.gone(8);
  table.gone(99);
  assert.deepEqual(calls, ['+ 7 /kubepods', '+ 8 /kubepods/pod1', '- 8 /kubepods/pod1']);
  // Events of its processes may still come.
  assert.equal(table.path(8), '/kubepods/pod1');
  assert.equal(table.path(99), undefined);
  assert.equal(table.size, 1);
});

test('the tree that process 1 sees', (t) => {
  const proc = temporaryFolder(t);
  const mount = join(proc, '1/root/sys/fs/cgroup/unified');
  mkdirSync(join(mount, 'kubepods/burstable'), { recursive: true });
  mkdirSync(join(mount, 'system.slice/nginx.service'), { recursive: true });
  writeFileSync(join(mount, 'cgroup.procs'), '');
  writeFileSync(
    join(proc, '1/mountinfo'),
    `31 23 0:28 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw,mode=755
32 31 0:29 /part /elsewhere rw - cgroup2 cgroup2 rw
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`,
  );
  const table = new CgroupTable();
  assert.equal(table.readTree(proc), true);
  assert.equal(table.size, 5);
  assert.equal(table.path(statSync(mount).ino), '/');
  assert.equal(table.path(statSync(join(mount, 'kubepods/burstable')).ino), '/kubepods/burstable');
  rmSync(mount, { recursive: true });
  assert.equal(new CgroupTable().readTree(proc), false);
  assert.equal(new CgroupTable().readTree(temporaryFolder(t)), false);
  // Process 1 cannot be asked: our own view counts where it is the whole.
  mkdirSync(join(proc, 'self/root/cgroup/kubepods'), { recursive: true });
  writeFileSync(join(proc, 'self/mountinfo'), '41 31 0:38 / /cgroup rw - cgroup2 cgroup2 rw\n');
  mkdirSync(join(proc, 'self/ns'));
  symlinkSync('cgroup:[4026532000]', join(proc, 'self/ns/cgroup'));
  assert.equal(new CgroupTable().readTree(proc), false);
  rmSync(join(proc, 'self/ns/cgroup'));
  symlinkSync('cgroup:[4026531835]', join(proc, 'self/ns/cgroup'));
  assert.equal(new CgroupTable().readTree(proc), true);
});

test('a process that is gone has the container of its cgroup, and its network namespace is not asked for', (t) => {
  const cgroups = new CgroupTable();
  cgroups.made(42, `/kubepods/pod${UID}/${ID}`);
  const table = new ProcessTable({ proc: new ProcFs(temporaryFolder(t)), cgroups });
  const hint = { startTimeNs: 5e9, executable: 'nginx', comm: 'nginx', cgroupId: 42 };
  const owner = table.owner(1000, hint);
  assert.equal(owner.service, 'nginx');
  assert.deepEqual(table.place(owner), {
    unit: '',
    container: { containerId: ID, podUid: UID, outer: undefined },
    networkNamespace: 0,
  });
  // The same pid, later, in no container.
  cgroups.made(43, '/system.slice/cron.service');
  const other = table.owner(1000, { ...hint, startTimeNs: 9e9, cgroupId: 43 });
  assert.equal(table.place(other).container, undefined);
  assert.equal(other.service, 'cron');
  assert.equal(table.place(owner).container?.containerId, ID);
});

test('what moves into a container between its event and our look says nothing of those it left', (t) => {
  const proc = temporaryFolder(t);
  for (const [pid, path] of [
    [50, `/kubepods/pod${UID}/${ID}`],
    [51, '/system.slice/containerd.service'],
  ] as const) {
    mkdirSync(join(proc, String(pid)));
    writeFileSync(join(proc, `${pid}/stat`), `${pid} (runc) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 500 0 0\n`);
    writeFileSync(join(proc, `${pid}/cgroup`), `0::${path}\n`);
  }
  for (const known of [true, false]) {
    const cgroups = new CgroupTable();
    if (known) cgroups.made(9, '/system.slice/containerd.service');
    const table = new ProcessTable({ proc: new ProcFs(proc), cgroups });
    const hint = { startTimeNs: 5e9, executable: 'runc', comm: 'runc', cgroupId: 9 };
    table.exec(50, hint);
    const before = table.owner(50, hint);
    assert.equal(table.place(before).container?.containerId, known ? undefined : ID);
    const sibling = table.owner(51, hint);
    assert.equal(table.place(sibling).container, undefined);
    assert.equal(sibling.service, 'containerd');
    // Its own next event names the container.
    cgroups.made(10, `/kubepods/pod${UID}/${ID}`);
    const after = table.owner(50, { ...hint, cgroupId: 10 });
    assert.equal(table.place(after).container?.containerId, ID);
  }
});

/** name, /proc/PID/cgroup, what is found */
const TEXTS: readonly (readonly [string, string, string | undefined])[] = [
  ['v2', `0::/kubepods/pod${UID}/${ID}\n`, ID],
  ['v1', `9:name=systemd:/kubepods/pod${UID}/${ID}\n4:memory:/kubepods/pod${UID}/${ID}\n`, ID],
  ['v1, only the controllers', `9:name=systemd:/\n4:memory:/kubepods/pod${UID}/${ID}\n0::/\n`, ID],
  ['hybrid, v2 is not used', `4:memory:/kubepods/pod${UID}/${ID}\n0::/system.slice/containerd.service\n`, ID],
  ['hybrid', `4:memory:/\n0::/kubepods/pod${UID}/${ID}\n`, ID],
  ['cut in the middle', `4:memory:/kubepods/pod${UID}/${ID.slice(0, 40)}`, ''],
  ['none', '0::/system.slice/nginx.service\n', undefined],
];
for (const [name, text, containerId] of TEXTS) {
  test(`hierarchies: ${name}`, (t) => {
    const proc = temporaryFolder(t);
    mkdirSync(join(proc, '77'));
    writeFileSync(join(proc, '77/stat'), '77 (python3) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 500 0 0\n');
    writeFileSync(join(proc, '77/cgroup'), text);
    const table = new ProcessTable({ proc: new ProcFs(proc) });
    assert.equal(table.place(table.owner(77)).container?.containerId, containerId);
  });
}
