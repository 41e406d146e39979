/** mapFile(): what it refuses, truncation, the end of a mapping. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import type { MappedFile } from '../../src/native.ts';
import { native } from '../../src/native.ts';
import { fromRoot } from '../../src/root.ts';

const folder = mkdtempSync(join(tmpdir(), 'plainsight-mapped-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const addon = fromRoot('build/native/plainsight.node');

function file(name: string, content: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

test('the bytes of a regular file, its device and inode, and no open descriptor', () => {
  const path = file('regular', 'hello');
  const before = readdirSync('/proc/self/fd').length;
  const mapped = native().mapFile(path);
  assert.equal(readdirSync('/proc/self/fd').length, before);
  assert.equal(Buffer.from(mapped.bytes).toString(), 'hello');
  const status = statSync(path, { bigint: true });
  assert.equal(mapped.device, status.dev);
  assert.equal(mapped.inode, status.ino);
  assert.equal(mapped.truncated, false);
  mapped.close();
});

test('what is not a regular file with content is refused at once', () => {
  const fifo = join(folder, 'fifo');
  execFileSync('mkfifo', [fifo]);
  const refuse = (path: string, errno: number) =>
    assert.throws(() => native().mapFile(path), { name: 'PlainsightError', code: 'FILE', errno }, path);
  refuse(fifo, 22);
  refuse(folder, 21);
  refuse('/dev/null', 22);
  refuse(file('empty', ''), 61);
  refuse(join(folder, 'absent'), 2);
  refuse(join(file('plain', 'x'), 'below'), 20);
  const large = file('large', 'x');
  truncateSync(large, 2 ** 31);
  refuse(large, 27);
  assert.throws(() => native().mapFile(`${large}\0`), TypeError);
  assert.throws(() => native().mapFile(undefined as never), TypeError);
  assert.throws(() => native().mapFile(7 as never), TypeError);
});

test('a file truncated under the mapping reads as zeros', () => {
  const path = file('shrinks', new Uint8Array(1_000_000).fill(7));
  const mapped = native().mapFile(path);
  assert.equal(mapped.bytes[999_999], 7);
  truncateSync(path, 8192);
  assert.equal(mapped.truncated, false);
  assert.equal(mapped.bytes[500_000], 0);
  assert.equal(mapped.truncated, true);
  assert.equal(mapped.bytes[8191], 7);
  assert.equal(mapped.bytes[999_999], 0);
  assert.equal(
    mapped.bytes.subarray(8192).every((byte) => byte === 0),
    true,
  );
  mapped.close();
  assert.equal(mapped.truncated, true, 'the answer outlives the mapping');
});

test('a file truncated to nothing, read backwards by page, stays one mapping or two', () => {
  const path = file('vanishes', new Uint8Array(4_000_000).fill(7));
  const mapped = native().mapFile(path);
  const maps = () => readFileSync('/proc/self/maps', 'utf8').split('\n').length;
  const before = maps();
  truncateSync(path, 0);
  for (let at = 3_999_999; at >= 0; at -= 4096) assert.equal(mapped.bytes[at], 0);
  assert(maps() - before < 100, `${maps() - before} mappings more`);
  mapped.close();
});

test('a fault elsewhere still ends the process', () => {
  const script = `
    require(process.argv[1]).mapFile(process.argv[2]);
    process.kill(process.pid, 'SIGBUS');
    setTimeout(() => {}, 60000);`;
  const child = spawnSync(process.execPath, ['-e', script, addon, file('other', 'x')]);
  assert.equal(child.signal, 'SIGBUS');
});

test('close empties every view, twice is once', () => {
  const mapped = native().mapFile(file('closed', 'content'));
  const view = mapped.bytes.subarray(2, 5);
  const data = new DataView(mapped.bytes.buffer);
  mapped.close();
  mapped.close();
  assert.equal(mapped.bytes.length, 0);
  assert.equal(view.length, 0);
  assert.equal(view[0], undefined);
  assert.throws(() => data.getUint8(0), TypeError);
  assert.equal(readFileSync('/proc/self/maps', 'utf8').includes(join(folder, 'closed')), false);
});

test('the bytes stay here, whoever asks to move them', () => {
  const mapped = native().mapFile(file('moved', 'content'));
  const { port1, port2 } = new MessageChannel();
  const buffer = mapped.bytes.buffer as ArrayBuffer;
  // Node.js 20 sends a copy, later ones throw.
  const attempt = (move: () => unknown) => {
    try {
      move();
    } catch (error) {
      assert.equal((error as Error).name, 'DataCloneError');
    }
  };
  attempt(() => port1.postMessage(buffer, [buffer]));
  attempt(() => structuredClone(buffer, { transfer: [buffer] }));
  port1.close();
  port2.close();
  assert.equal(mapped.bytes.length, 7);
  assert.equal(mapped.bytes[0], 99);
  mapped.close();
});

test('bytes that were handed on within the thread are not unmapped by close', () => {
  const mapped = native().mapFile(file('handed', 'content'));
  const buffer = mapped.bytes.buffer as ArrayBuffer & { transfer?: () => ArrayBuffer };
  // ArrayBuffer.prototype.transfer() came with Node.js 21: before, there is no way to hand them on.
  const moved = buffer.transfer?.() ?? buffer;
  mapped.close();
  assert.equal(mapped.bytes.length, 0);
  assert.equal(moved.byteLength ? new Uint8Array(moved)[0] : undefined, moved === buffer ? undefined : 99);
});

test('64 files at a time', () => {
  const path = file('many', 'x');
  const mapped: MappedFile[] = [];
  for (let i = 0; i < 64; i++) mapped.push(native().mapFile(path));
  assert.throws(() => native().mapFile(path), { name: 'PlainsightError', code: 'FILE', errno: 24 });
  mapped.pop()!.close();
  native().mapFile(path).close();
  for (const one of mapped) one.close();
});

test('what is collected is unmapped, and bytes outlive the object they came from', () => {
  const script = `
    const addon = require(process.argv[1]);
    const path = process.argv[2];
    const count = () => require('fs').readFileSync('/proc/self/maps', 'utf8').split(path).length - 1;
    const settle = async () => { for (let i = 0; i < 10; i++) { gc(); await new Promise(setImmediate); } };
    (async () => {
      for (let i = 0; i < 30; i++) addon.mapFile(path);
      const kept = addon.mapFile(path).bytes;
      await settle();
      console.log(count(), kept[0]);
      for (let i = 0; i < 30; i++) addon.mapFile(path).close();
      await settle();
      console.log(count(), kept[0]);
    })();`;
  const child = spawnSync(process.execPath, ['--expose-gc', '-e', script, addon, file('collected', 'x')], {
    encoding: 'utf8',
  });
  assert.equal(child.stdout, '1 120\n1 120\n', child.stderr);
  assert.equal(child.status, 0);
});

test('accessors of one class refuse the objects of another', () => {
  const mapped = native().mapFile(file('class', 'x'));
  const getter = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(mapped), 'truncated')!.get!;
  assert.equal(getter.call(mapped), false);
  assert.throws(() => getter.call({}));
  mapped.close();
});
