/**
 * The direction of imports in src/, and the shape of the tree. LAYERS is the one place that says who may import whom.
 * What a file may not import, it gets passed by agent.ts.
 */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, posix } from 'node:path';
import { describe, test } from 'node:test';
import { fromRoot } from '../src/root.ts';

interface Layer {
  /** Layers whose files it may import. Its own files it always may. */
  readonly imports: readonly string[];
  /** Layers of which it may import types only: no code of theirs runs because of it. */
  readonly types?: readonly string[];
  /** Bytes and a clock in, results out: no file system, network, process or timer. */
  readonly pure?: true;
}

const BELOW_AGENT = [
  ...['errors', 'abi', 'root', 'log', 'config', 'native'],
  ...[
    'elf',
    'process',
    'tls',
    'probes',
    'stream',
    'http',
    'graph',
    'metrics',
    'summary',
    'capture',
    'tcp',
    'kubernetes',
    'web',
  ],
];

/** A layer is a folder of src/, or a file in src/ itself (without .ts). */
const LAYERS: Readonly<Record<string, Layer>> = {
  errors: { imports: [], pure: true },
  abi: { imports: [], pure: true },
  root: { imports: [] },
  log: { imports: ['errors'] },
  config: { imports: ['errors', 'abi', 'log'] },

  elf: { imports: ['errors', 'abi'], types: ['native'] },
  // A process is the owner of connections: the contract says what an owner is.
  process: { imports: ['errors', 'abi'], types: ['native', 'stream'] },
  tls: { imports: ['errors', 'abi', 'elf', 'process'], types: ['native', 'probes'] },
  probes: { imports: ['errors', 'abi', 'elf', 'process'], types: ['native'] },

  stream: { imports: ['errors', 'abi'], pure: true },
  http: { imports: ['errors', 'abi', 'stream'], pure: true },
  graph: { imports: ['errors', 'abi', 'stream'], pure: true },
  metrics: { imports: ['errors', 'abi', 'stream', 'http'], types: ['graph'] },
  summary: { imports: ['errors', 'stream', 'metrics'] },

  // Redaction of a recording is handed in behind an interface.
  capture: { imports: ['errors', 'abi', 'stream'], types: ['http', 'native'] },

  tcp: { imports: ['errors', 'abi', 'stream', 'capture'], types: ['config', 'native', 'process'] },

  // Leaves: only the composition root and main use them.
  native: { imports: ['errors', 'root'] },
  kubernetes: { imports: ['errors'], types: ['stream', 'process'] },
  web: { imports: ['errors'], types: ['stream', 'metrics', 'summary'] },

  // The composition root and its parts.
  'fan-out': { imports: [], types: ['stream'], pure: true },
  libraries: { imports: ['errors', 'abi', 'elf', 'probes', 'root', 'tls'] },
  programs: { imports: ['errors', 'abi', 'probes', 'root'], types: ['config', 'log', 'native', 'tls'] },
  workloads: { imports: [...BELOW_AGENT], types: ['programs'] },
  topology: { imports: ['abi', 'graph', 'metrics', 'tcp'], types: ['config', 'log', 'native', 'process', 'stream'] },
  agent: {
    imports: [...BELOW_AGENT, 'fan-out', 'libraries', 'programs', 'topology', 'workloads'],
    types: ['cli'],
  },
  cli: { imports: [...BELOW_AGENT, 'fan-out', 'libraries', 'agent'] },
  main: { imports: [...BELOW_AGENT, 'agent', 'cli'] },
};

/** Modules of Node.js by which bytes and time come in on their own. */
const IMPURE = /^node:(fs|net|http|https|http2|dgram|dns|tls|timers|child_process|worker_threads|process|os)(\/|$)/;

const FORBIDDEN_FOLDERS = ['utils', 'common', 'helpers', 'lib'];
const MAX_LINES = 450;
const FOLDERS = ['src', 'test', 'tools', 'bench', 'bpf', 'native', 'offsets', 'deploy'];

interface Import {
  readonly target: string;
  readonly typeOnly: boolean;
}

function readImports(source: string): Import[] {
  const statements = /^(?:import|export)\s+(type\s+)?(?:[\w*{}\s,$]*?\sfrom\s+)?['"]([^'"]+)['"]/gm;
  const calls = /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;
  return [
    ...[...source.matchAll(statements)].map((found) => ({ target: found[2]!, typeOnly: found[1] !== undefined })),
    ...[...source.matchAll(calls)].map((found) => ({ target: found[1]!, typeOnly: false })),
  ];
}

/** `tls/openssl.ts` -> `tls`, `agent.ts` -> `agent`. */
function layerOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : basename(path, '.ts');
}

/** What is wrong with one import, undefined when nothing is. `path` is relative to src/. */
function violation(path: string, { target, typeOnly }: Import): string | undefined {
  const from = layerOf(path);
  const layer = LAYERS[from];
  if (!layer) return `src/${path}: ${from} is in no layer: give it a line in LAYERS`;
  if (!target.startsWith('.')) {
    return layer.pure && IMPURE.test(target) ? `src/${path}: ${from} is pure, it may not import ${target}` : undefined;
  }
  const resolved = posix.normalize(posix.join(dirname(path), target));
  if (resolved.startsWith('..')) return `src/${path}: imports ${target}, which is outside of src/`;
  const to = layerOf(resolved);
  if (to === from || layer.imports.includes(to)) return undefined;
  if (typeOnly && layer.types?.includes(to)) return undefined;
  const how = layer.types?.includes(to) ? 'only types of' : 'nothing of';
  return `src/${path}: ${from} may import ${how} ${to} (${target})`;
}

/** The first cycle of files, as the files along it; undefined when there is none. */
function findCycle(graph: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    for (const next of graph.get(file) ?? []) {
      const cycle = visit(next, [...path, file]);
      if (cycle) return cycle;
    }
    done.add(file);
    return undefined;
  };
  for (const file of graph.keys()) {
    const cycle = visit(file, []);
    if (cycle) return cycle;
  }
  return undefined;
}

function listFiles(folder: string, wanted: RegExp): string[] {
  if (!existsSync(fromRoot(folder))) return [];
  return readdirSync(fromRoot(folder), { recursive: true, encoding: 'utf8', withFileTypes: true })
    .filter((entry) => entry.isFile() && wanted.test(entry.name))
    .map((entry) => posix.relative(fromRoot(folder), join(entry.parentPath, entry.name)))
    .sort();
}

const sources = listFiles('src', /\.ts$/).map((path) => ({
  path,
  imports: readImports(readFileSync(fromRoot(`src/${path}`), 'utf8')),
}));

describe('the tree', () => {
  test('imports point one way', () => {
    assert.notEqual(sources.length, 0);
    const violations = sources.flatMap(({ path, imports }) => imports.map((found) => violation(path, found)));
    assert.deepEqual(
      violations.filter((found) => found !== undefined),
      [],
    );
  });

  test('no file imports itself through others', () => {
    const graph = new Map(
      sources.map(({ path, imports }) => [
        path,
        imports
          .filter(({ target }) => target.startsWith('.'))
          .map(({ target }) => posix.normalize(posix.join(dirname(path), target))),
      ]),
    );
    assert.equal(findCycle(graph)?.join(' -> '), undefined);
  });

  test('every layer that exists is a line of the table', () => {
    const layers = new Set(sources.map(({ path }) => layerOf(path)));
    assert.deepEqual(
      [...layers].filter((layer) => !(layer in LAYERS)),
      [],
    );
  });

  test('no folder is a drawer for what has no home', () => {
    const folders = FOLDERS.flatMap((folder) => listFiles(folder, /./).map((path) => dirname(join(folder, path))));
    const names = new Set(folders.flatMap((folder) => folder.split('/')));
    assert.deepEqual(
      FORBIDDEN_FOLDERS.filter((name) => names.has(name)),
      [],
    );
  });

  test('names are kebab-case and no file has two subjects', () => {
    for (const folder of FOLDERS) {
      for (const path of listFiles(folder, /\.(ts|js|c|cc|h|sh)$/)) {
        const lines = readFileSync(fromRoot(join(folder, path)), 'utf8').split('\n').length - 1;
        assert.ok(lines < MAX_LINES, `${folder}/${path} has ${lines} lines, ${MAX_LINES - 1} are allowed: split it`);
        assert.match(path, /^([a-z0-9]+(-[a-z0-9]+)*\/)*[a-z0-9]+([-.][a-z0-9]+)*$/, `${folder}/${path}`);
      }
    }
  });
});

describe('the rules themselves', () => {
  test('all forms of an import are read', () => {
    const source = `import '../a.ts';
import b, { type B } from './b.ts';
import type { C } from '../c.ts';
import {
  d,
  e as f,
} from '../d.ts';
export * from "../e.ts";
export type { F } from './f.ts';
export const text = 'import';
const g = await import('./g.ts');
`;
    assert.deepEqual(readImports(source), [
      { target: '../a.ts', typeOnly: false },
      { target: './b.ts', typeOnly: false },
      { target: '../c.ts', typeOnly: true },
      { target: '../d.ts', typeOnly: false },
      { target: '../e.ts', typeOnly: false },
      { target: './f.ts', typeOnly: true },
      { target: './g.ts', typeOnly: false },
    ]);
  });

  test('an import against the direction is found', () => {
    const check = (path: string, target: string, typeOnly = false) => violation(path, { target, typeOnly });
    assert.equal(check('http/session.ts', '../stream/contract.ts'), undefined);
    assert.equal(check('http/http1/parser.ts', '../registry.ts'), undefined);
    assert.equal(check('elf/reader.ts', '../native.ts', true), undefined);
    assert.equal(
      check('elf/reader.ts', '../native.ts'),
      'src/elf/reader.ts: elf may import only types of native (../native.ts)',
    );
    assert.equal(
      check('stream/table.ts', '../http/registry.ts', true),
      'src/stream/table.ts: stream may import nothing of http (../http/registry.ts)',
    );
    assert.equal(
      check('http/clock.ts', 'node:timers/promises'),
      'src/http/clock.ts: http is pure, it may not import node:timers/promises',
    );
    assert.equal(
      check('web/server.ts', '../../tools/test.ts'),
      'src/web/server.ts: imports ../../tools/test.ts, which is outside of src/',
    );
    assert.equal(check('misc/x.ts', './y.ts'), 'src/misc/x.ts: misc is in no layer: give it a line in LAYERS');
  });

  test('a cycle is found wherever it begins', () => {
    const graph = new Map([
      ['a', ['b']],
      ['b', ['c', 'd']],
      ['c', []],
      ['d', ['b']],
    ]);
    assert.deepEqual(findCycle(graph), ['b', 'd', 'b']);
    assert.equal(
      findCycle(
        new Map([
          ['a', ['b', 'c']],
          ['b', ['c']],
          ['c', []],
        ]),
      ),
      undefined,
    );
  });

  test('the table has no cycle of its own', () => {
    const graph = new Map(Object.entries(LAYERS).map(([name, { imports }]) => [name, imports]));
    assert.equal(findCycle(graph)?.join(' -> '), undefined);
  });
});
