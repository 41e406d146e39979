/** A Discovery over a fake proc tree, with an attacher that only takes notes. */

import { readFileSync, statSync } from 'node:fs';
import type { TestContext } from 'node:test';
import type { MappedFile } from '../../src/native.ts';
import { planProbes } from '../../src/probes/plan.ts';
import { ProcFs } from '../../src/process/procfs.ts';
import { Discovery, type DiscoveryOptions } from '../../src/tls/discovery.ts';
import type { TlsSite } from '../../src/tls/library.ts';
import type { ProcessTls } from '../../src/tls/process-tls.ts';
import { buildSample } from '../elf/sample.ts';
import { makeFakeProc } from '../process/fake-proc.ts';

export const sample = buildSample('-s');

export interface Fixture {
  readonly root: string;
  readonly discovery: Discovery;
  /** Paths of the attachments that are open, relative to the tree. */
  readonly attached: string[];
  readonly sites: (readonly TlsSite[])[];
  readonly warnings: string[];
  /** Libraries that were opened; executables are opened for their symbols too. */
  readonly opened: string[];
  openFiles: number;
  /** Called before each attach. */
  onAttach: (path: string) => void;
}

export function start(
  context: TestContext,
  library: Uint8Array = sample,
  options: Partial<DiscoveryOptions> = {},
): Fixture {
  const root = makeFakeProc(context, library);
  const fixture: Fixture = {
    root,
    attached: [],
    sites: [],
    warnings: [],
    opened: [],
    openFiles: 0,
    onAttach: () => {},
    discovery: new Discovery({
      proc: new ProcFs(root),
      // Without the code: what the compiler makes of the sample's functions is not the subject.
      plan: (view, fn, signature) => planProbes({ machine: view.machine }, fn, signature),
      mapFile: (path) => {
        if (path.includes('.so')) fixture.opened.push(path.slice(root.length));
        return mapped(fixture, path);
      },
      attach: {
        attach: (path, sites) => {
          fixture.onAttach(path);
          const name = path.slice(root.length);
          fixture.attached.push(name);
          fixture.sites.push(sites);
          return { close: () => void fixture.attached.splice(fixture.attached.indexOf(name), 1) };
        },
      },
      log: {
        info: () => {},
        warn: (message, fields) => fixture.warnings.push(`${message}: ${fields?.reason ?? fields?.detail}`),
      },
      ...options,
    }),
  };
  return fixture;
}

export function mapped(fixture: Fixture, path: string): MappedFile {
  const stat = statSync(path, { bigint: true });
  fixture.openFiles++;
  return {
    bytes: readFileSync(path),
    device: stat.dev,
    inode: stat.ino,
    truncated: false,
    close: () => fixture.openFiles--,
  };
}

export function states(list: readonly ProcessTls[]): string[] {
  return list.map((one) => `${one.pid} ${one.library} ${one.path} ${one.version} ${one.state} ${one.reason}`.trim());
}
