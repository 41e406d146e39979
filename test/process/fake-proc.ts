/**
 * A proc tree in a temporary folder, made from fixtures/proc: in a maps file `{/path}` stands for the device and inode of
 * that file under PID/root, `{deleted:/path}` for those of a file that only map_files still leads to.
 */

import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { fromRoot } from '../../src/root.ts';

/** @param library The contents of every file that is called libssl something. */
export function makeFakeProc(context: TestContext, library: Uint8Array = Buffer.from('no library')): string {
  const root = mkdtempSync(join(tmpdir(), 'plainsight-proc-'));
  context.after(() => rmSync(root, { recursive: true, force: true }));
  cpSync(fromRoot('fixtures/proc'), root, { recursive: true });
  for (const pid of readdirSync(root)) fillIn(join(root, pid), library);
  return root;
}

/** Fills in the maps file of one process. */
export function fillIn(folder: string, library: Uint8Array): void {
  const maps = readFileSync(join(folder, 'maps'), 'utf8');
  const lines = maps.split('\n').map((line) =>
    line.replace(/\{(deleted:)?([^}]+)\}/, (_, deleted: string | undefined, path: string) => {
      const name = join(folder, 'root', path);
      if (!existsSync(name)) writeNew(name, basename(path).startsWith('libssl') ? library : Buffer.from('no ELF file'));
      if (deleted === undefined) return deviceAndInode(name);
      const range = /^0*([0-9a-f]+)-0*([0-9a-f]+)/.exec(line)!;
      const mapped = join(folder, 'map_files', `${range[1]}-${range[2]}`);
      writeNew(mapped, library);
      return deviceAndInode(mapped);
    }),
  );
  writeFileSync(join(folder, 'maps'), lines.join('\n'));
  const executable = /\/\S+$/.exec(lines[0] ?? '')?.[0];
  if (executable !== undefined && !existsSync(join(folder, 'exe'))) symlinkSync(executable, join(folder, 'exe'));
}

export function deviceAndInode(path: string): string {
  const { dev, ino } = statSync(path, { bigint: true });
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  return `${major.toString(16).padStart(2, '0')}:${minor.toString(16).padStart(2, '0')} ${ino}`;
}

function writeNew(path: string, bytes: Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
}
