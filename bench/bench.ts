/** `npm run bench [pipeline|memory]`: prints figures, judges nothing. */

import { benchMemory } from './memory.ts';
import { benchPipeline } from './pipeline.ts';

const BENCHES: Readonly<Record<string, () => Promise<void>>> = { pipeline: benchPipeline, memory: benchMemory };

const names = process.argv.slice(2);
const unknown = names.find((name) => !(name in BENCHES));
if (unknown !== undefined) {
  console.error(`bench: there is no ${unknown}; there are: ${Object.keys(BENCHES).join(', ')}`);
  process.exitCode = 64;
} else {
  for (const name of names.length > 0 ? names : Object.keys(BENCHES)) await BENCHES[name]!();
}
