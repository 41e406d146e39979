/**
 * Source packages of Debian that the tables for OpenSSL and BoringSSL are made from, unpacked below .cache/offsets/, and
 * what the compilers for both machines say of their structures. Nothing of them is built but generated headers.
 */

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { fromRoot } from '../../../src/root.ts';
import { ARCHITECTURES, type DebianArchitecture } from '../../../test/vm/architecture.ts';
import { Archive } from '../../../test/vm/archive.ts';
import { must, NotPossible, withTemporary } from '../../../test/vm/host.ts';

const CACHE = fromRoot('.cache/offsets');
const PROGRAMS = fromRoot('tools/offsets/tls');

export interface SourceTree {
  readonly path: string;
  /** Of the source package, as Debian numbers it. */
  readonly release: string;
}

/** The newest source package of a suite that the archive still holds, unpacked once. @throws NotFetched */
export async function sourceTree(suite: string, name: string): Promise<SourceTree> {
  const folder = join(CACHE, 'sources', `${name}-${suite}`);
  if (!existsSync(folder)) {
    const archive = await Archive.openSources(suite);
    await withTemporary(join(CACHE, `unpack-${name}-${suite}`), async (temporary) => {
      mkdirSync(join(folder, '..'), { recursive: true });
      mkdirSync(temporary, { recursive: true });
      const release = await archive.unpackSource(name, join(temporary, 'tree'));
      renameSync(join(temporary, 'tree'), join(temporary, release));
      renameSync(temporary, folder);
    });
  }
  const [release] = readdirSync(folder);
  return { path: join(folder, release!), release: release! };
}

/** The lines `->name number` that a program of tools/offsets/tls/ leaves, compiled for one architecture. */
export async function compiledNumbers(
  program: 'openssl.c' | 'boringssl.cc',
  architecture: DebianArchitecture,
  includes: readonly string[],
): Promise<Map<string, number>> {
  const { triplet, compilerPackage } = ARCHITECTURES[architecture];
  const compiler = `${triplet}-${program.endsWith('.cc') ? 'g++' : 'gcc'}`;
  const standard = program.endsWith('.cc') ? ['-std=c++17', '-Wno-invalid-offsetof'] : [];
  const flags = ['-S', '-o', '-', '-w', ...standard, ...[PROGRAMS, ...includes].flatMap((path) => ['-I', path])];
  let assembly: string;
  try {
    assembly = await must(compiler, [...flags, join(PROGRAMS, program)]);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    throw new NotPossible(`${compiler} is missing; run: apt-get install --no-install-recommends ${compilerPackage}`);
  }
  const numbers = [...assembly.matchAll(/->(\w+) (\d+)/g)].map(([, name, number]): [string, number] => [
    name!,
    Number(number),
  ]);
  return new Map(numbers.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The headers that OpenSSL's build writes, as Debian configures it for that architecture. */
export async function withOpensslHeaders<T>(
  tree: SourceTree,
  architecture: DebianArchitecture,
  action: (includes: readonly string[]) => Promise<T>,
): Promise<T> {
  const rules = readFileSync(join(tree.path, 'debian/rules'), 'utf8').replaceAll('\\\n', ' ');
  const words = /^CONFARGS\s*=(.*)$/m.exec(rules)?.[1]?.split(/\s+/) ?? [];
  const options = words.filter((word) => /^(?:no|enable)-[a-z0-9_-]+$/.test(word));
  if (options.length === 0) throw new Error(`${tree.path}/debian/rules says nothing of how OpenSSL is configured`);
  return withTemporary(join(CACHE, `build-${tree.release}-${architecture}`), async (folder) => {
    mkdirSync(folder, { recursive: true });
    const prefix = `--cross-compile-prefix=${ARCHITECTURES[architecture].triplet}-`;
    const configure = [join(tree.path, 'Configure'), `debian-${architecture}`, prefix, ...options];
    await must('perl', configure, { cwd: folder, env: { ...process.env, LC_ALL: 'C' } });
    await must('make', ['build_generated'], { cwd: folder });
    const own = [folder, join(folder, 'include')];
    return action([...own, tree.path, join(tree.path, 'include'), join(tree.path, 'ssl')]);
  });
}
