/**
 * `npm run bench [-- pipeline|tcp|memory|capture|overhead|kubernetes|go-symbols|go-tls]`: prints figures, judges nothing. overhead and
 * those of Go install or fetch packages: by name only.
 */

import { benchCapture } from './capture.ts';
import { benchGoSymbols } from './go-symbols.ts';
import { benchGoTls } from './go-tls.ts';
import { benchKubernetes } from './kubernetes.ts';
import { benchMemory } from './memory.ts';
import { benchOverhead } from './overhead.ts';
import { benchPipeline } from './pipeline.ts';
import { benchTcp } from './tcp.ts';

const BENCHES: Readonly<Record<string, () => Promise<void>>> = {
  pipeline: benchPipeline,
  tcp: benchTcp,
  memory: benchMemory,
  overhead: benchOverhead,
  capture: benchCapture,
  kubernetes: benchKubernetes,
  'go-symbols': benchGoSymbols,
  'go-tls': benchGoTls,
};
const USUAL = ['pipeline', 'memory', 'capture', 'kubernetes'];

const names = process.argv.slice(2);
const unknown = names.find((name) => !(name in BENCHES));
if (unknown !== undefined) {
  console.error(`bench: there is no ${unknown}; there are: ${Object.keys(BENCHES).join(', ')}`);
  process.exitCode = 64;
} else {
  for (const name of names.length > 0 ? names : USUAL) await BENCHES[name]!();
}
