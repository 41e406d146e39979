/**
 * Checks the C of bpf/ and the C++ of native/ against .clang-format; `--write` formats them instead. Exit 0 clean or
 * written, 1 not clean. The output of clang-format changes between versions, so only version 19 counts: where it is not
 * installed this says so and checks nothing. Plain JavaScript, so that `npm run format` needs no build.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const VERSION = 19;
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FOLDERS = ['bpf', 'native'];
const SUFFIXES = ['.c', '.cc', '.h'];

/** @returns {string | undefined} the program of the right version */
function findFormatter() {
  for (const program of [`clang-format-${VERSION}`, 'clang-format']) {
    const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
    if (stdout?.includes(`version ${VERSION}.`)) return program;
  }
  return undefined;
}

/** @returns {string[]} */
function sources() {
  return FOLDERS.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((path) => SUFFIXES.some((suffix) => path.endsWith(suffix)))
      .map((path) => join(folder, path))
      .sort(),
  );
}

/** @param {string[]} args */
function main(args) {
  const formatter = findFormatter();
  if (!formatter) {
    console.log(`clang-format ${VERSION} is not installed: bpf/ and native/ were NOT checked`);
    return 0;
  }
  if (!existsSync(join(ROOT, '.clang-format'))) throw new Error('.clang-format is missing: nothing can be checked');
  const files = sources();
  const mode = args.includes('--write') ? ['-i'] : ['--dry-run', '--Werror'];
  const { status } = spawnSync(formatter, ['--style=file', '--fallback-style=none', ...mode, ...files], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  if (status === 0) console.log(`${files.length} files of ${FOLDERS.join('/ and ')}/ are formatted`);
  else console.error('bpf/ or native/ is not formatted; run: npm run format');
  return status === 0 ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
