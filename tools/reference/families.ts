/**
 * Finds every metric family that the agent can show, without a kernel: what the modules of src/metrics/ export, and what
 * their exported functions and classes make of sample options. No list of names is kept here. A family whose name is
 * written in a module and is not found this way is an error, so that none is missing from the reference.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { collectDefaultMetrics, Registry } from 'prom-client';
import type { Family } from '../../src/metrics/family.ts';
import { DEFAULT_BUCKETS } from '../../src/metrics/metrics.ts';
import { bindSelfFamily, type SelfFamily, type SelfSource } from '../../src/metrics/self.ts';
import { fromRoot } from '../../src/root.ts';

export interface FoundFamily {
  readonly name: string;
  readonly type: string;
  readonly labelNames: readonly string[];
  readonly help: string;
  /** `observed`: only what was observed has series. `quiet`: an idle agent may show none. `always`: it has a sample at any time. */
  readonly presence: 'always' | 'quiet' | 'observed';
}

type AnyFamily = Pick<Family, 'name' | 'help' | 'type' | 'labelNames'> & Partial<Family & SelfFamily>;

/** What the makers of families ask for. They look at no more of it before something is observed. */
const SAMPLE_OPTIONS = { buckets: DEFAULT_BUCKETS, boundsSeconds: DEFAULT_BUCKETS, maxSeries: 1, reasons: [] };

/** An agent that has nothing to tell. What it cannot be asked counts as nothing to tell either. */
const IDLE: Partial<SelfSource> = {
  features: () => [],
  tlsProcesses: () => [],
  eventsByKind: () => ({}),
  lost: () => ({}),
  connections: () => ({}),
  bindings: () => [],
  capturedBytes: () => 0,
};

function isFamily(value: unknown): value is AnyFamily {
  const { name, help, type, labelNames, samples, rows } = (value ?? {}) as Record<string, unknown>;
  return (
    typeof name === 'string' &&
    typeof help === 'string' &&
    ['counter', 'gauge', 'histogram'].includes(type as string) &&
    Array.isArray(labelNames) &&
    (typeof samples === 'function' || typeof rows === 'function')
  );
}

/** What a function or a class makes; undefined when sample options are not what it asks for. */
function make(maker: (options: unknown) => unknown): unknown {
  try {
    const isClass = /^class\b/.test(Function.prototype.toString.call(maker));
    return isClass ? Reflect.construct(maker, [SAMPLE_OPTIONS]) : maker(SAMPLE_OPTIONS);
  } catch {
    return undefined;
  }
}

function* familiesIn(value: unknown): Iterable<AnyFamily> {
  if (isFamily(value)) yield value;
  else if (typeof value === 'object' && value !== null) {
    // A list, an object of families, or one that has them in `families`.
    const { families } = value as { families?: unknown };
    for (const part of [...Object.values(value), ...(Array.isArray(families) ? families : [])]) {
      if (isFamily(part)) yield part;
    }
  }
}

function presenceOf(family: AnyFamily): FoundFamily['presence'] {
  if (family.rows === undefined) return 'observed';
  const build = { version: '', kernel: '', arch: '' };
  const context = { self: IDLE as SelfSource, build, maxSeries: 1, capped: [] };
  const bound = bindSelfFamily(family as SelfFamily, context, () => {});
  return [...bound.samples()].length > 0 ? 'always' : 'quiet';
}

/** Names as they are written in a module, `name: '...'`. */
function namesWritten(module: string): string[] {
  const source = readFileSync(fromRoot(`src/metrics/${module}.ts`), 'utf8');
  return [...source.matchAll(/\bname: '([a-z]+(?:_[a-z]+)+)'/g)].map(([, name]) => name!);
}

/** All families, those of the registry first and in its order. */
export async function findFamilies(): Promise<readonly FoundFamily[]> {
  const modules = readdirSync(fromRoot('src/metrics'))
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
    .map((file) => file.slice(0, -3))
    .sort((a, b) => Number(b === 'registry') - Number(a === 'registry') || (a < b ? -1 : 1));
  const found = new Map<string, FoundFamily>();
  for (const module of modules) {
    const exported: Record<string, unknown> = await import(`../../src/metrics/${module}.js`);
    for (const value of Object.values(exported)) {
      const made = typeof value === 'function' ? make(value as (options: unknown) => unknown) : value;
      for (const family of familiesIn(made)) {
        const { name, type, labelNames, help } = family;
        if (!found.has(name)) found.set(name, { name, type, labelNames, help, presence: presenceOf(family) });
      }
    }
  }
  for (const module of modules) {
    const missing = namesWritten(module).find((name) => !found.has(name));
    if (missing === undefined) continue;
    throw new Error(`src/metrics/${module}.ts names ${missing}, but nothing that src/metrics/ exports has or makes it`);
  }
  return [...found.values()];
}

/** What prom-client adds about the agent's own process. */
export function processMetrics(): readonly { readonly name: string; readonly type: string; readonly help: string }[] {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry.getMetricsAsArray().map(({ name, type, help }) => ({ name, type: String(type), help }));
}
