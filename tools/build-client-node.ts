/** Builds into build/client-node/ what the sources import as `#client-node` (package.json says so). */

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { ALIAS, CLIENT_NODE, TREESHAKE } from './client-node.ts';

// This file runs as build/tools/build-client-node.js.
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

await build({
  root: ROOT,
  configFile: false,
  envDir: false,
  publicDir: false,
  logLevel: 'warn',
  resolve: { alias: ALIAS },
  ssr: { noExternal: true, external: ['js-yaml'], target: 'node' },
  build: {
    ssr: CLIENT_NODE,
    outDir: join(ROOT, 'build/client-node'),
    target: 'node20',
    minify: true,
    reportCompressedSize: false,
    rolldownOptions: { treeshake: TREESHAKE, output: { entryFileNames: 'client-node.js' } },
  },
});
