/**
 * What the image holds of the agent, as a folder: build/image/app/. The sources and the npm packages they use become one
 * tree-shaken bundle, with a part of its own for each subcommand. Beside it lie the BPF objects of one architecture, the
 * addon, the page, the tables of offsets, and what npm says the bundle was made of. Needs the build (tools/setup.sh).
 */

import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { ALIAS, TREESHAKE } from '../client-node.ts';

// This file runs as build/tools/image/bundle.js.
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const APP = join(ROOT, 'build/image/app');
/** Read as it is, by its path: WebAssembly in a string, which a bundle would only copy. */
const LLHTTP = 'node_modules/undici/lib/llhttp/llhttp_simd-wasm.js';

/** As the sources find them from the root of the package. */
const DATA = [
  ...['bin/plainsight', `build/bpf/${process.arch}`, 'build/native/plainsight.node'],
  ...['build/web', 'offsets', 'LICENSE', 'bpf/LICENSE'],
];

async function bundle(): Promise<void> {
  for (const path of DATA) {
    if (!existsSync(join(ROOT, path))) throw new Error(`${path} is missing; run: npm run setup`);
  }
  rmSync(APP, { recursive: true, force: true });
  const built = await build({
    root: ROOT,
    configFile: false,
    envDir: false,
    publicDir: false,
    logLevel: 'warn',
    resolve: { alias: ALIAS },
    ssr: { noExternal: true, target: 'node' },
    build: {
      ssr: join(ROOT, 'src/main.ts'),
      outDir: join(APP, 'build/src'),
      target: 'node24',
      minify: true,
      reportCompressedSize: false,
      rolldownOptions: { treeshake: TREESHAKE },
    },
  });
  if (!('output' in built)) throw new Error('vite built more than one bundle');
  const modules = built.output.flatMap((part) => (part.type === 'chunk' ? Object.keys(part.modules) : []));
  const packages = packagesOf([...modules, join(ROOT, LLHTTP)]);
  for (const path of [...DATA, LLHTTP, ...licenses(packages)])
    cpSync(join(ROOT, path), join(APP, path), { recursive: true });
  const { name, version, license, type } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  writeFileSync(join(APP, 'package.json'), `${JSON.stringify({ name, version, license, type }, undefined, 2)}\n`);
  writeFileSync(join(APP, 'sbom.cdx.json'), billOfMaterials(packages));
}

interface Materials {
  readonly components: readonly { readonly 'bom-ref': string }[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

interface Package {
  /** From the root, as package-lock.json has it. */
  readonly folder: string;
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly reference: string;
}

/** The npm packages that these files are of. */
function packagesOf(files: readonly string[]): readonly Package[] {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { version: string; license: string }>;
  };
  const folders = files.map((file) => /.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file.slice(ROOT.length))?.[0]);
  const known = [...new Set(folders)].filter((folder) => folder !== undefined && Object.hasOwn(packages, folder));
  return (known.sort() as string[]).map((folder) => {
    const { version, license } = packages[folder]!;
    const name = folder.slice(folder.lastIndexOf('node_modules/') + 'node_modules/'.length);
    return { folder, name, version, license, reference: `${name}@${version}` };
  });
}

/**
 * CycloneDX of the npm packages that the bundle is made of; Debian's are listed below /var/lib/dpkg/status.d of the image.
 * npm leaves a package out that a development dependency needs in the same version, so package-lock.json says which.
 */
function billOfMaterials(packages: readonly Package[]): string {
  const text = execFileSync('npm', ['sbom', '--sbom-format=cyclonedx'], { cwd: ROOT, encoding: 'utf8' });
  const all = JSON.parse(text) as Materials;
  const { name, version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const kept = new Set([...packages.map(({ reference }) => reference), `${name}@${version}`]);
  const listed = all.components.filter((component) => kept.has(component['bom-ref']));
  const components = packages.map(
    ({ reference, name, version, license }) =>
      listed.find((component) => component['bom-ref'] === reference) ?? {
        ...{ 'bom-ref': reference, type: 'library', name, version, purl: `pkg:npm/${reference.replace(/^@/, '%40')}` },
        licenses: [{ license: { id: license } }],
      },
  );
  const dependencies = all.dependencies
    .filter(({ ref }) => kept.has(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((other) => kept.has(other)) }));
  return `${JSON.stringify({ ...all, components, dependencies }, undefined, 2)}\n`;
}

function licenses(packages: readonly Package[]): string[] {
  return packages.map(({ folder }) => {
    const file = readdirSync(join(ROOT, folder)).find((name) => /^licen[cs]e/i.test(name));
    // The manifest names the license where the package has no text of it.
    return join(folder, file ?? 'package.json');
  });
}

await bundle();
