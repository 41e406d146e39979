/**
 * Builds the programs of fixtures/go with a toolchain, in the forms that Go programs come in, into .cache/go/. What was
 * built once from the same sources is used again. No module is fetched: only the standard library is imported.
 */

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fromRoot } from '../../src/root.ts';
import { must, withTemporary } from '../vm/host.ts';
import { GO_CACHE, type Toolchain } from './toolchains.ts';

export const SOURCES = fromRoot('fixtures/go');

export type GoProgram = 'server' | 'client';

interface Variant {
  readonly flags: readonly string[];
  readonly linker: readonly string[];
  readonly cgo: boolean;
}

/** How a program is linked. Each exists with its symbols and, by `-s -w`, without. */
const VARIANTS = {
  plain: { flags: [], linker: [], cgo: false },
  pie: { flags: ['-buildmode=pie'], linker: [], cgo: false },
  cgo: { flags: [], linker: ['-linkmode', 'external'], cgo: true },
  'cgo-pie': { flags: ['-buildmode=pie'], linker: ['-linkmode', 'external'], cgo: true },
} as const satisfies Record<string, Variant>;

export type GoVariant = keyof typeof VARIANTS;
export type GoMachine = 'x64' | 'arm64';

export const GO_VARIANTS = Object.keys(VARIANTS) as readonly GoVariant[];

export interface BuildOptions {
  readonly variant: GoVariant;
  /** Without symbol table and debug information. */
  readonly stripped: boolean;
  /** `arm64` cannot be linked by a C linker here. Default: x64. */
  readonly machine?: GoMachine;
}

/** Path of the program. */
export async function buildGo(toolchain: Toolchain, program: GoProgram, options: BuildOptions): Promise<string> {
  const { flags, linker, cgo }: Variant = VARIANTS[options.variant];
  const ldflags = [...linker, ...(options.stripped ? ['-s', '-w'] : [])];
  const args = ['-trimpath', '-buildvcs=false', ...flags, `-ldflags=${ldflags.join(' ')}`];
  const machine = options.machine ?? 'x64';
  const name = `${program}-${machine}-${options.variant}${options.stripped ? '-stripped' : ''}`;
  const key = createHash('sha256')
    .update(`${args.join('\0')}\0${sourcesHash()}`)
    .digest('hex')
    .slice(0, 12);
  return build(
    toolchain,
    SOURCES,
    `./${program}`,
    join('bin', toolchain.release, `${name}-${key}`),
    args,
    goEnvironment(toolchain, cgo, machine),
  );
}

/** Builds the package `.` of a folder that lies elsewhere, as small programs of tests and tools do. */
export async function buildGoFolder(toolchain: Toolchain, folder: string, output: string): Promise<void> {
  await must(toolchain.command, ['build', '-trimpath', '-buildvcs=false', '-o', output, '.'], {
    cwd: folder,
    env: goEnvironment(toolchain),
  });
}

async function build(
  toolchain: Toolchain,
  folder: string,
  target: string,
  name: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const path = join(GO_CACHE, name);
  if (existsSync(path)) return path;
  mkdirSync(dirname(path), { recursive: true });
  await withTemporary(`${path}.${process.pid}`, async (temporary) => {
    await must(toolchain.command, ['build', ...args, '-o', temporary, target], {
      cwd: folder,
      env,
    });
    renameSync(temporary, path);
  });
  return path;
}

/** Of what the caller has set only the path is passed on. */
export function goEnvironment(toolchain: Toolchain, cgo = false, machine: GoMachine = 'x64'): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH,
    HOME: GO_CACHE,
    GOROOT: toolchain.root,
    GOCACHE: join(GO_CACHE, 'build'),
    GOPATH: join(GO_CACHE, 'path'),
    GOENV: 'off',
    GOFLAGS: '-mod=mod',
    GOPROXY: 'off',
    GOSUMDB: 'off',
    GOTOOLCHAIN: 'local',
    GOTELEMETRY: 'off',
    GOOS: 'linux',
    GOARCH: machine === 'x64' ? 'amd64' : machine,
    CGO_ENABLED: cgo ? '1' : '0',
  };
}

function sourcesHash(): string {
  const hash = createHash('sha256');
  const names = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).sort();
  for (const name of names.filter((path) => /\.go$|^go\.mod$/.test(path))) {
    hash.update(`${name}\0`).update(readFileSync(join(SOURCES, name)));
  }
  return hash.digest('hex');
}
