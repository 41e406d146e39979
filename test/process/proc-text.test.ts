import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  isAnonymousDevice,
  makeDevice,
  parseCgroup,
  parseMaps,
  parseStat,
  parseStatus,
  unitOfCgroup,
} from '../../src/process/proc-text.ts';

describe('parseMaps', () => {
  test('executable mappings of files, all fields', () => {
    const text =
      '7f2a00000000-7f2a00020000 r--p 00000000 fe:00 339900                     /usr/lib/libssl.so.3\n' +
      '7f2a00020000-7f2a00080000 r-xp 00020000 fe:00 339900                     /usr/lib/libssl.so.3\n';
    assert.deepEqual(parseMaps(text), [
      {
        start: 0x7f2a00020000n,
        end: 0x7f2a00080000n,
        offsetBytes: 0x20000,
        device: 0xfe00n,
        inode: 339900n,
        path: '/usr/lib/libssl.so.3',
        deleted: false,
      },
    ]);
  });

  test('anonymous memory and what the kernel maps are left out', () => {
    const text =
      '7f2a00300000-7f2a00301000 rwxp 00000000 00:00 0 \n' +
      '7ffd123fc000-7ffd123fe000 r-xp 00000000 00:00 0                          [vdso]\n' +
      'ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n' +
      '7f2a00400000-7f2a00401000 r-xp 00000000 00:00 0                          [anon:jit /x]\n';
    assert.deepEqual(parseMaps(text), []);
  });

  test('names: deleted files, memfd, spaces, escaped newlines, text that is not UTF-8', () => {
    const named = (path: string) => parseMaps(`400000-452000 r-xp 00001000 08:02 7    ${path}\n`)[0];
    assert.deepEqual(
      [named('/a/libssl.so.3 (deleted)')?.path, named('/a/libssl.so.3 (deleted)')?.deleted],
      ['/a/libssl.so.3', true],
    );
    assert.deepEqual(
      [named('/memfd:jit (deleted)')?.path, named('/memfd:jit (deleted)')?.deleted],
      ['/memfd:jit', true],
    );
    assert.equal(named('/opt/my app/lib ssl.so')?.path, '/opt/my app/lib ssl.so');
    assert.equal(named('/a\\012b')?.path, '/a\nb');
    assert.equal(named('/a\\134b')?.path, '/a\\134b');
    assert.equal(named('/a\ufffd')?.path, '/a\ufffd');
  });

  test('a cut last line is ignored, and lines that are no mapping', () => {
    assert.deepEqual(parseMaps('400000-452000 r-xp 00001000 08:02 7    /a'), []);
    assert.deepEqual(parseMaps('\n\nx\n400000-452000 r-x\n-  x / \nr-xp r-xp r-xp r-xp\n'), []);
    assert.deepEqual(parseMaps(''), []);
  });

  test('device numbers are those of stat(2)', () => {
    assert.equal(makeDevice(0xfe, 0), 65024n);
    assert.equal(makeDevice(8, 17), 2065n);
    assert.equal(makeDevice(0, 0x12345), 0x12300045n);
    assert.equal(makeDevice(0x1003, 5), 0x100000000305n);
    assert.ok(isAnonymousDevice(makeDevice(0, 0x12345)));
    assert.ok(!isAnonymousDevice(makeDevice(8, 1)));
    assert.ok(!isAnonymousDevice(makeDevice(0x1000, 1)));
  });
});

describe('parseStat', () => {
  const tail = 'S 1 100 100 0 -1 4194560 100 0 0 0 1 1 0 0 20 0 1 0 123456 1000 10 18446744073709551615 1';

  test('start time, parent, comm', () => {
    assert.deepEqual(parseStat(`100 (nginx) ${tail}\n`), {
      comm: 'nginx',
      parentPid: 1,
      kernelThread: false,
      startTicks: 123456,
    });
  });

  test('a comm with parentheses and spaces does not move the fields', () => {
    const stat = parseStat(`100 (a) S 1 2 (b)) ${tail}`);
    assert.equal(stat?.comm, 'a) S 1 2 (b)');
    assert.equal(stat?.startTicks, 123456);
  });

  test('kernel threads by their flag', () => {
    assert.equal(parseStat('2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 7 0 0 1')?.kernelThread, true);
  });

  test('what is no stat line is undefined', () => {
    for (const text of ['', '1', '1 (a', '1 )a( S 1', '1 (a) S 1 2', `1 (a) ${tail.replace('123456', 'x')}`]) {
      assert.equal(parseStat(text), undefined, text);
    }
  });
});

describe('parseStatus', () => {
  test('of a process in a nested pid namespace', () => {
    const text =
      'Name:\tnginx\nUmask:\t0022\nTgid:\t4711\nNgid:\t0\nPid:\t4712\nNSpid:\t4712\t12\t1\nKthread:\t0\nVmSize:\t1 kB\n';
    assert.deepEqual(parseStatus(text), {
      name: 'nginx',
      tgid: 4711,
      namespacePids: [4712, 12, 1],
      kernelThread: false,
    });
  });

  test('kernel threads by the line of newer kernels, else by having no memory', () => {
    assert.equal(parseStatus('Name:\tkworker/0:1\nTgid:\t9\nKthread:\t1\n')?.kernelThread, true);
    assert.equal(parseStatus('Name:\tzombie\nTgid:\t9\nKthread:\t0\n')?.kernelThread, false);
    assert.equal(parseStatus('Name:\tkworker/0:1\nTgid:\t9\n')?.kernelThread, true);
    assert.equal(parseStatus('Name:\tsh\nTgid:\t9\nVmSize:\t1 kB\n')?.kernelThread, false);
  });

  test('no Tgid, no status', () => {
    assert.equal(parseStatus(''), undefined);
    assert.equal(parseStatus('Tgid:\tx\n'), undefined);
  });
});

describe('cgroups', () => {
  test('v2, v1 and hybrid', () => {
    assert.deepEqual(parseCgroup('0::/system.slice/nginx.service\n'), {
      unified: '/system.slice/nginx.service',
      systemd: undefined,
      all: ['/system.slice/nginx.service'],
    });
    assert.deepEqual(parseCgroup('3:cpu,cpuacct:/a\n1:name=systemd:/system.slice/x.service\n'), {
      unified: undefined,
      systemd: '/system.slice/x.service',
      all: ['/system.slice/x.service', '/a'],
    });
    assert.deepEqual(parseCgroup('1:name=systemd:/s\n0::/u:v\n'), {
      unified: '/u:v',
      systemd: '/s',
      all: ['/u:v', '/s'],
    });
    assert.deepEqual(parseCgroup('2:pids:/\n0::/\n').all, []);
    assert.deepEqual(parseCgroup('garbage\n:\n'), { unified: undefined, systemd: undefined, all: [] });
  });

  test('the unit of a path', () => {
    const units: [string, string][] = [
      ['/system.slice/nginx.service', 'nginx'],
      ['/system.slice/nginx.service/worker', 'nginx'],
      ['/system.slice/system-foo.slice/foo@bar.service', 'foo@bar'],
      ['/system.slice/my\\x2dapp.service', 'my-app'],
      ['/system.slice/a\\x0ab\\x7fc.service', 'a\\x0ab\\x7fc'],
      ['/../../system.slice/nginx.service', 'nginx'],
      ['/user.slice/user-1000.slice/session-3.scope', ''],
      ['/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox.scope', ''],
      ['/user.slice/user-1000.slice/user@1000.service/app.slice/syncthing.service', 'syncthing'],
      ['/system.slice/docker-0123abcd.scope', ''],
      ['/kubepods.slice/kubepods-pod1.slice/cri-containerd-2.scope', ''],
      ['/', ''],
      ['', ''],
    ];
    for (const [path, unit] of units) assert.equal(unitOfCgroup(path), unit, path);
  });
});
