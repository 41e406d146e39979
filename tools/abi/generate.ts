/**
 * Writes src/abi/events.ts from the BTF of the objects in build/bpf/ and build/abi/ (`--write`), or says whether the committed file is what they
 * say (no argument): exit 0 clean, 1 not. Needs the objects of both architectures; builds nothing itself.
 */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readLayouts } from './btf.ts';
import { generateEvents, type ObjectLayouts } from './layout.ts';

// This file runs as build/tools/abi/generate.js.
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const TARGET = join(ROOT, 'src/abi/events.ts');
const OBJECTS = ['build/bpf', 'build/abi'];

function readObjects(folder: string): ObjectLayouts[] {
  const names = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' });
  return names
    .filter((name) => name.endsWith('.o'))
    .sort()
    .map((name) => ({ path: join(folder, name), layouts: readLayouts(readFileSync(join(ROOT, folder, name))) }));
}

function main(args: readonly string[]): number {
  const objects = OBJECTS.flatMap(readObjects);
  const text = generateEvents(objects);
  if (args.includes('--write')) {
    writeFileSync(TARGET, text);
    console.log(`src/abi/events.ts: written from ${objects.length} objects`);
    return 0;
  }
  if (readFileSync(TARGET, 'utf8') === text) {
    console.log(`src/abi/events.ts: as ${objects.length} objects say`);
    return 0;
  }
  console.error('src/abi/events.ts is not what the objects of bpf/ say; run: npm run generate');
  return 1;
}

try {
  process.exitCode = main(process.argv.slice(2));
} catch (error) {
  console.error(`src/abi/events.ts cannot be generated: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
