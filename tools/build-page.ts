/**
 * Builds the page of src/web/page/ into build/web/ with Vite: one script, one style sheet, one icon, no inline code. The
 * types are checked by tsc before (tools/setup.sh). Fails when what a browser loads is 150 kB or more, gzipped.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';

// This file runs as build/tools/build-page.js.
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const OUT = join(ROOT, 'build/web');
const LIMIT_BYTES = 150_000;

await build({
  root: join(ROOT, 'src/web/page'),
  base: './',
  configFile: false,
  envDir: false,
  publicDir: false,
  logLevel: 'warn',
  build: {
    outDir: OUT,
    emptyOutDir: true,
    // Browsers of 2024 and later: light-dark() is used as it is.
    target: ['chrome123', 'firefox120', 'safari17.5'],
    modulePreload: false,
    // Nothing as a data: URL, which the content security policy forbids.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
});

const files = readdirSync(OUT, { recursive: true, encoding: 'utf8' }).filter((path) => path.includes('.'));
const sizeBytes = files.reduce((sum, path) => sum + gzipSync(readFileSync(join(OUT, path)), { level: 9 }).length, 0);
console.log(`the page: ${files.length} files, ${(sizeBytes / 1000).toFixed(1)} kB gzipped`);
if (sizeBytes >= LIMIT_BYTES) {
  console.error(`The page is larger than ${LIMIT_BYTES / 1000} kB gzipped.`);
  process.exitCode = 1;
}
