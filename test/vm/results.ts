/** Reads what a guest of the matrix has left in its folder of results. A file that is missing or cut reads as nothing. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface ProgramStats {
  readonly object: string;
  readonly program: string;
  readonly section: string;
  /** BPF instructions as compiled. */
  readonly compiled: number;
  /** `unavailable`: this kernel has no such tracepoint or BPF function. `refused`: the verifier says no. */
  readonly state: 'loaded' | 'unavailable' | 'refused';
  /** What the verifier processed, null unless loaded. */
  readonly instructions: number | null;
  readonly stackBytes: number | null;
  /** Name of the errno, null when loaded. */
  readonly error: string | null;
  /** Why, when it is not loaded. */
  readonly log?: string;
}

export interface TestOutcome {
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
}

export interface Feature {
  readonly name: string;
  readonly reason: string;
  readonly enabled: boolean;
}

export interface GuestFindings {
  readonly programs: readonly ProgramStats[];
  /** Exit status of `plainsight doctor`. */
  readonly doctor: number | undefined;
  /** Of an agent that was started without any option. */
  readonly features: readonly Feature[];
  readonly tests: readonly TestOutcome[];
}

export function readFindings(folder: string): GuestFindings {
  const read = (name: string) => {
    const path = join(folder, name);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  };
  const doctor = read('doctor-exit').trim();
  return {
    programs: parseStats(read('bpf-stats.jsonl')),
    doctor: doctor === '' ? undefined : Number(doctor),
    features: parseFeatures(read('metrics')),
    tests: parseTap(read('tests.tap')),
  };
}

export function parseStats(text: string): ProgramStats[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as ProgramStats);
}

/** plainsight_feature_enabled of an exposition. */
export function parseFeatures(exposition: string): Feature[] {
  const line = /^plainsight_feature_enabled\{feature="([^"]*)",reason="([^"]*)"\} ([01])$/gm;
  return [...exposition.matchAll(line)].map(([, name = '', reason = '', value]) => ({
    name,
    reason,
    enabled: value === '1',
  }));
}

/** Tests of a report in TAP, without the suites and files that they stand in. */
export function parseTap(text: string): TestOutcome[] {
  const point = /^ *(not ok|ok) \d+ - (.*?)( # (?:SKIP|TODO)\b.*)?\n(?: *---\n((?:.*\n)*?) *\.\.\.\n)?/gm;
  return [...text.matchAll(point)]
    .filter(([, , , , details = '']) => !/^ *type: 'suite'$/m.test(details))
    .map(([, result, name = '', skipped]) => ({
      // TAP escapes what would begin a directive.
      name: name.replaceAll('\\#', '#').replaceAll('\\\\', '\\'),
      outcome: skipped !== undefined ? 'skipped' : result === 'ok' ? 'passed' : 'failed',
    }));
}
