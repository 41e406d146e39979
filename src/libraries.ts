/**
 * What the agent and `inspect` both know of TLS libraries: the registry with Go's, and the tables of offsets/, read from
 * their files. The one place that hands parts of src/probes/ to src/tls/.
 */

import { readFileSync } from 'node:fs';
import type { ElfMachine } from './elf/elf-file.ts';
import { encodeSocketFields } from './probes/cookie.ts';
import { readResults } from './probes/getter.ts';
import { encodeGoCookie } from './probes/go-cookie.ts';
import { planGoFunction } from './probes/go-plan.ts';
import { fromRoot } from './root.ts';
import { goLibrary } from './tls/go.ts';
import { type GoOffsets, parseGoOffsets } from './tls/go-offsets.ts';
import type { TlsLibrary } from './tls/library.ts';
import { type OffsetTable, parseOffsetTable } from './tls/offset-table.ts';
import { TLS_LIBRARIES } from './tls/registry.ts';
import { SocketLayouts } from './tls/socket-layout.ts';

/** Files of offsets/ beside go.json. */
const TABLES = ['openssl', 'boringssl'] as const;

export function allTlsLibraries(): readonly TlsLibrary[] {
  return [...TLS_LIBRARIES, goLibrary({ offsets: goOffsets(), plan: planGoFunction, encode: encodeGoCookie })];
}

/** @throws PlainsightError BAD_INPUT */
export function goOffsets(): GoOffsets {
  return parseGoOffsets(readTable('go'));
}

/** @throws PlainsightError BAD_INPUT */
export function offsetTables(machine: ElfMachine): readonly OffsetTable[] {
  return TABLES.map((name) => parseOffsetTable(readTable(name), machine));
}

/** `attachCookie`: the kernel takes cookies; without them no site can be told of a layout. */
export function socketLayouts(machine: ElfMachine, attachCookie: boolean): SocketLayouts {
  const encode = attachCookie ? encodeSocketFields : () => 0n;
  return new SocketLayouts({ tables: offsetTables(machine), read: readResults, encode });
}

export function hostMachine(): ElfMachine {
  return process.arch === 'x64' || process.arch === 'arm64' ? process.arch : 'other';
}

function readTable(name: string): unknown {
  return JSON.parse(readFileSync(fromRoot(`offsets/${name}.json`), 'utf8'));
}
