/** Programs of Debian that only these tests want, unpacked below .cache/deploy/ with dpkg -x: nothing is installed. */

import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fromRoot } from '../../src/root.ts';
import { Archive } from '../vm/archive.ts';
import { withTemporary } from '../vm/host.ts';

const CACHE = fromRoot('.cache/deploy');

const PROGRAMS = {
  // Debian 12 has 1.20, whose kustomize is of 2018.
  kubectl: { suite: 'trixie', package: 'kubectl', path: 'usr/bin/kubectl' },
  promtool: { suite: 'bookworm', package: 'prometheus', path: 'usr/bin/promtool' },
  prometheus: { suite: 'bookworm', package: 'prometheus', path: 'usr/bin/prometheus' },
} as const;

/** Where the program is; unpacked when it is not there yet. @throws NotFetched */
export async function debianProgram(name: keyof typeof PROGRAMS): Promise<string> {
  const { suite, package: source, path } = PROGRAMS[name];
  const folder = join(CACHE, `${source}-${suite}`);
  if (!existsSync(folder)) {
    const archive = await Archive.open(suite, 'amd64');
    await withTemporary(join(CACHE, `unpack-${process.pid}-${name}`), async (temporary) => {
      mkdirSync(dirname(folder), { recursive: true });
      await archive.unpack([source], temporary);
      if (!existsSync(folder)) renameSync(temporary, folder);
    });
  }
  return join(folder, path);
}
