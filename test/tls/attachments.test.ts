/** What is attached, for how long, and why something is not. */

import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { PlainsightError } from '../../src/errors.ts';
import { planProbes } from '../../src/probes/plan.ts';
import { type FileStat, ProcFs } from '../../src/process/procfs.ts';
import { openssl } from '../../src/tls/openssl.ts';
import { buildSample, patched, withoutSections } from '../elf/sample.ts';
import { deviceAndInode, makeFakeProc } from '../process/fake-proc.ts';
import { type Fixture, mapped, sample, start, states } from './fake-node.ts';

test('a file is opened, parsed and attached once for all processes that map it', (context) => {
  const fixture = start(context);
  fixture.discovery.scan(100);
  // A child of it, in a mount namespace where the same file is reached another way.
  writeFileSync(join(fixture.root, '700/maps'), readFileSync(join(fixture.root, '100/maps'), 'utf8'));
  renameSync(join(fixture.root, '100/root'), join(fixture.root, '700/root'));
  fixture.discovery.scan(700);
  assert.equal(fixture.attached.length, 1);
  assert.equal(fixture.opened.length, 1);
  assert.equal(fixture.discovery.attachments()[0]?.processes, 2);
  fixture.discovery.scan(700);
  assert.equal(fixture.discovery.counters.attached, 1);
});

test('other contents under the same inode are attached anew', (context) => {
  const fixture = start(context);
  fixture.discovery.scan(100);
  const before = fixture.sites[0]!;
  const path = join(fixture.root, '100/root/lib/libssl.so.3');
  // Written over in place; the first function is gone.
  writeFileSync(path, buildSample('-DWITHOUT_EX'));
  fixture.discovery.scan(100);
  assert.equal(fixture.attached.length, 1);
  assert.equal(fixture.discovery.counters.detached, 1);
  assert.notEqual(fixture.sites[1]!.length, before.length);
  // A change that moves no function does not touch the probes.
  appendFileSync(path, ' ');
  fixture.discovery.scan(100);
  assert.equal(fixture.discovery.counters.attached, 2);
  assert.equal(fixture.opened.length, 3);
});

test('files that cannot be used have a reason, logged once per file and not once per process', (context) => {
  const reasons: [Uint8Array, string][] = [
    [Buffer.from('no ELF file'), 'failed not an ELF file'],
    [patched(sample, 56, 0xff, 0xff), 'failed not an ELF file'],
    [patched(sample, 4, 1), 'unsupported 32-bit'],
    [patched(sample, 5, 2), 'unsupported big-endian'],
    [patched(sample, 18, 243, 0), 'unsupported other machine'],
    [buildSample('-DSSL_read=x', '-DSSL_read_ex=y'), 'unsupported no read or write function'],
  ];
  for (const [library, expected] of reasons) {
    const fixture = start(context, library);
    for (let i = 0; i < 100; i++) fixture.discovery.scan(100);
    assert.deepEqual(states(fixture.discovery.processes()), [`100 openssl /lib/libssl.so.3 3 ${expected}`]);
    assert.equal(fixture.warnings.length, 1, fixture.warnings.join());
    assert.equal(fixture.opened.length, 1, 'read once');
    assert.equal(fixture.openFiles, 0);
    assert.deepEqual(fixture.attached, []);
  }
});

test('stripped of its section headers a library is attached all the same', (context) => {
  const fixture = start(context, withoutSections(sample));
  fixture.discovery.scan(100);
  assert.equal(fixture.sites[0]?.length, 10);
});

test('the planner gets the code of each function, and no more', (context) => {
  const seen: string[] = [];
  const fixture = start(context, sample, {
    plan: (view, fn, signature) => {
      const same = Buffer.compare(view.code!, sample.subarray(fn.fileOffset, fn.fileOffset + fn.sizeBytes)) === 0;
      if (same && fn.sizeBytes > 0) seen.push(fn.name);
      return planProbes(view, fn, signature);
    },
  });
  fixture.discovery.scan(100);
  assert.deepEqual(seen, ['SSL_read', 'SSL_write', 'SSL_read_ex', 'SSL_write_ex', 'SSL_free', 'SSL_shutdown']);
});

test('functions that cannot be planned are left out, and are the reason when none is left', (context) => {
  const refuse = (...names: string[]) =>
    start(context, sample, {
      plan: (view, fn, signature) => {
        const plan = planProbes({ machine: view.machine }, fn, signature);
        if (!names.includes(fn.name)) return plan;
        return { ...plan, entries: [], returns: [], verdict: 'none', reason: 'returns cannot be covered' };
      },
    });
  const some = refuse('SSL_read', 'SSL_free');
  some.discovery.scan(100);
  assert.equal(some.sites[0]?.length, 7);
  const none = refuse('SSL_read', 'SSL_read_ex');
  none.discovery.scan(100);
  assert.deepEqual(none.attached, []);
  assert.deepEqual(states(none.discovery.processes()), [
    '100 openssl /lib/libssl.so.3 3 unsupported returns cannot be covered',
  ]);
});

test('two names of one function are probed once', (context) => {
  const fixture = start(context, sample, {
    libraries: [
      {
        ...openssl,
        functions: [...openssl.functions, { ...openssl.functions[0]!, operation: 'write' }],
      },
    ],
  });
  fixture.discovery.scan(100);
  assert.equal(fixture.sites[0]?.length, 10);
});

test('a refused attach is tried again after 30 seconds, and logged once', (context) => {
  const fixture = start(context);
  let attempts = 0;
  fixture.onAttach = () => {
    attempts++;
    throw new PlainsightError('ATTACH', 'no memory', { errno: 12 });
  };
  fixture.discovery.tick(1000);
  for (let i = 0; i < 10; i++) fixture.discovery.scan(100);
  assert.equal(attempts, 1);
  assert.deepEqual(states(fixture.discovery.processes()), ['100 openssl /lib/libssl.so.3 3 failed attach failed']);
  fixture.discovery.tick(31_000);
  fixture.discovery.scan(100);
  assert.equal(attempts, 2);
  assert.deepEqual(fixture.warnings, ['a TLS library cannot be attached: no memory']);
  fixture.onAttach = () => {};
  fixture.discovery.tick(61_000);
  fixture.discovery.scan(100);
  assert.deepEqual(states(fixture.discovery.processes()), ['100 openssl /lib/libssl.so.3 3 attached']);
});

test('a process that dies while it is attached is no failure of the file', (context) => {
  const fixture = start(context);
  fixture.onAttach = () => {
    rmSync(join(fixture.root, '100'), { recursive: true });
    throw new PlainsightError('ATTACH', 'no such file', { errno: 2 });
  };
  const result = fixture.discovery.scan(100);
  assert.equal(result.alive, false);
  assert.deepEqual(
    result.libraries.map((library) => library.reason),
    ['process exited'],
  );
  assert.deepEqual(fixture.discovery.processes(), []);
  assert.deepEqual(fixture.warnings, []);
  assert.equal(fixture.discovery.counters.attachFailures, 0);
});

test('a zombie is no failure of the file: the next process is attached at once', (context) => {
  const fixture = start(context);
  fixture.onAttach = () => {
    rmSync(join(fixture.root, '100/exe'));
    throw new PlainsightError('ATTACH', 'no such file', { errno: 2 });
  };
  assert.equal(fixture.discovery.scan(100).alive, false);
  fixture.onAttach = () => {};
  symlinkSync('/usr/sbin/nginx', join(fixture.root, '100/exe'));
  fixture.discovery.scan(100);
  assert.deepEqual(states(fixture.discovery.processes()), ['100 openssl /lib/libssl.so.3 3 attached']);
  assert.deepEqual(fixture.warnings, []);
});

test('a name that moves to another file while it is attached is detached at once', (context) => {
  const fixture = start(context);
  fixture.onAttach = (path) => {
    copyFileSync(path, `${path}.new`);
    renameSync(`${path}.new`, path);
  };
  fixture.discovery.scan(100);
  assert.deepEqual(fixture.attached, []);
  assert.deepEqual(states(fixture.discovery.processes()), ['100 openssl /lib/libssl.so.3 3 failed file replaced']);
});

test('a name that moves to another file before it is opened is not attached', (context) => {
  const fixture = start(context, sample, {
    mapFile: (path) => {
      const file = mapped(fixture, path);
      return { ...file, inode: file.inode + 1n };
    },
  });
  fixture.discovery.scan(100);
  assert.deepEqual(fixture.attached, []);
  assert.equal(fixture.openFiles, 0);
  assert.deepEqual(states(fixture.discovery.processes()), ['100 openssl /lib/libssl.so.3 3 failed file replaced']);
});

test('a pid that is gone is a value', (context) => {
  const fixture = start(context);
  assert.deepEqual(fixture.discovery.scan(999), { pid: 999, alive: false, libraries: [] });
});

test('maps that the kernel refuses: known only when the process speaks TLS', (context) => {
  const fixture = start(context);
  const maps = join(fixture.root, '100/maps');
  class Refusing extends ProcFs {
    override maps(): never {
      throw new PlainsightError('FILE', `cannot read ${maps}`, { errno: 13 });
    }
  }
  const refusing = start(context, sample, { proc: new Refusing(fixture.root) });
  assert.deepEqual(refusing.discovery.scan(100).libraries, []);
  refusing.discovery.tlsSeen(100);
  refusing.discovery.tick(5);
  assert.deepEqual(states(refusing.discovery.processes()), ['100    failed permission denied']);
});

/** As if the tree lay on overlayfs: each process sees the files under a device number of its own. */
class OverlayProcFs extends ProcFs {
  override fileStat(path: string): FileStat | undefined {
    const stat = super.fileStat(path);
    return stat && { ...stat, device: overlayDevice(path), overlay: true };
  }
}

function overlayDevice(path: string): bigint {
  return path.includes('/700/root') ? 77n : 76n;
}

function startOnOverlay(context: TestContext): Fixture {
  const root = makeFakeProc(context, sample);
  const fixture = start(context, sample, {
    proc: new OverlayProcFs(root),
    mapFile: (path) => ({ ...mapped(fixture, path), device: overlayDevice(path) }),
  });
  const path = join(root, '100/root/lib/libssl.so.3');
  const [device, inode] = deviceAndInode(path).split(' ');
  const maps = readFileSync(join(root, '100/maps'), 'utf8');
  writeFileSync(join(root, '100/maps'), maps.replaceAll(`${device} ${inode}`, `00:4c ${inode}`));
  writeFileSync(join(root, '700/maps'), maps.replaceAll(`${device} ${inode}`, `00:4d ${inode}`));
  symlinkSync('../100/root', join(root, '700/root'));
  return { ...fixture, root };
}

test('one file that two containers show through overlayfs is attached once', (context) => {
  const { discovery } = startOnOverlay(context);
  discovery.scan(100);
  discovery.scan(700);
  assert.deepEqual(states(discovery.processes()), [
    '100 openssl /lib/libssl.so.3 3 attached',
    '700 openssl /lib/libssl.so.3 3 attached',
  ]);
  assert.equal(discovery.attachments().length, 1);
  assert.equal(discovery.attachments()[0]?.processes, 2);
});

test('a file that a container has copied up is another file', (context) => {
  const { discovery, root } = startOnOverlay(context);
  discovery.scan(100);
  // Copied up: the same inode number and contents, another time of change.
  chmodSync(join(root, '100/root/lib/libssl.so.3'), 0o600);
  discovery.scan(700);
  assert.equal(discovery.attachments().length, 2);
});

test('a kernel that shows the device below the overlay: the inode decides', (context) => {
  const { discovery, root } = startOnOverlay(context);
  const maps = readFileSync(join(root, '100/maps'), 'utf8');
  writeFileSync(join(root, '100/maps'), maps.replaceAll(' 00:4c ', ' fe:01 '));
  discovery.scan(100);
  assert.deepEqual(states(discovery.processes()), ['100 openssl /lib/libssl.so.3 3 attached']);
});
