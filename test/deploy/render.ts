/** The manifests as objects: by kustomize, which kubectl has built in, and by the Helm chart's templates. */

import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { load, loadAll } from 'js-yaml';
import { fromRoot } from '../../src/root.ts';
import { goToolchain } from '../go/toolchains.ts';
import { debianProgram } from './debian.ts';

const run = promisify(execFile);

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly [key: string]: unknown;
}

/** By kind and name, which are enough here. */
export type Manifests = ReadonlyMap<string, Manifest>;

function byName(text: string): Manifests {
  const all = (loadAll(text) as (Manifest | null)[]).filter((manifest) => manifest !== null);
  return new Map(all.map((manifest) => [`${manifest.kind} ${manifest.metadata.name}`, manifest]));
}

/** `folder` below deploy/kustomize. */
export async function kustomize(folder: string): Promise<Manifests> {
  const { stdout } = await run(await debianProgram('kubectl'), ['kustomize', fromRoot(`deploy/kustomize/${folder}`)]);
  return byName(stdout);
}

const CHART = fromRoot('deploy/chart/plainsight');

export type Values = { readonly [key: string]: unknown };

export function defaultValues(): Values {
  return load(readFileSync(join(CHART, 'values.yaml'), 'utf8')) as Values;
}

/** The chart with values over its own, key by key at the top as far as these go. */
export async function chart(values: Values = {}): Promise<Manifests> {
  const folder = mkdtempSync(join(tmpdir(), 'plainsight-chart-'));
  try {
    const file = join(folder, 'values.json');
    writeFileSync(file, JSON.stringify({ ...defaultValues(), ...values }));
    const { command } = await goToolchain('1.23');
    const { stdout } = await run(command, ['run', fromRoot('test/deploy/render.go'), CHART, file, 'plainsight'], {
      env: { ...process.env, GOCACHE: fromRoot('.cache/go/build'), GOFLAGS: '-mod=mod', GO111MODULE: 'off' },
    });
    return byName(stdout);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
