/**
 * Turns the layouts that BPF objects were compiled with into the text of src/abi/events.ts. Refuses objects that
 * disagree, implicit padding, bit-fields, and a missing struct or enum.
 */

import type { Enumeration, Layouts, Struct } from './btf.ts';

/** The structs of bpf/events.h, in the order in which they are written. */
export const STRUCTS = [
  'event_header',
  'open_event',
  'data_event',
  'piece',
  'end_event',
  'close_event',
  'bound_event',
  'process_event',
  'tls_process',
  'cgroup_event',
  'settings',
  'owner',
  'flow_key',
  'flow',
  'tcp_tuple',
  'tcp_endpoint',
  'tcp_process',
  'tcp_scan',
] as const;

/** The enums of bpf/events.h with the prefix that their names carry in C. */
export const ENUMS = [
  { name: 'event_kind', prefix: 'EVENT_' },
  { name: 'direction', prefix: '' },
  { name: 'source', prefix: 'SOURCE_' },
  { name: 'scope', prefix: 'SCOPE_' },
  { name: 'counter', prefix: 'COUNTER_' },
  { name: 'role', prefix: 'ROLE_' },
  { name: 'failure', prefix: 'FAILURE_' },
  { name: 'held', prefix: 'HELD_' },
] as const;

const HEADER_STRUCT = 'event_header';
const PADDING_FIELD = 'reserved';

const HEAD = `/**
 * Generated from the BTF of the objects of bpf/ (bpf/events.h): field offsets and sizes in bytes from the start of the
 * record, numbers little-endian. Do not edit: change bpf/events.h, then run: npm run generate
 */
`;

export interface ObjectLayouts {
  /** Named in messages. */
  readonly path: string;
  readonly layouts: Layouts;
}

/** @throws Error with all reasons, one per line. */
export function generateEvents(objects: readonly ObjectLayouts[]): string {
  const problems: string[] = [];
  const blocks: string[] = [];
  for (const { name, prefix } of ENUMS) {
    const found = agreed(name, objects, (layouts) => layouts.enums.get(name), problems);
    if (found) blocks.push(writeEnum(found, prefix));
  }
  for (const name of STRUCTS) {
    const found = agreed(name, objects, (layouts) => layouts.structs.get(name), problems);
    if (!found) continue;
    checkPadding(found, problems);
    blocks.push(writeStruct(found));
  }
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return [HEAD, ...blocks].join('\n');
}

function agreed<T>(
  name: string,
  objects: readonly ObjectLayouts[],
  find: (layouts: Layouts) => T | undefined,
  problems: string[],
): T | undefined {
  let first: { path: string; layout: T } | undefined;
  for (const { path, layouts } of objects) {
    const layout = find(layouts);
    if (layout === undefined) continue;
    first ??= { path, layout };
    if (JSON.stringify(layout) === JSON.stringify(first.layout)) continue;
    problems.push(`${name} differs between ${first.path} and ${path}; rebuild both: bash tools/build-bpf.sh`);
  }
  if (!first) problems.push(`${name} is in the BTF of no object: name it in tools/abi/events.c`);
  return first?.layout;
}

function checkPadding(struct: Struct, problems: string[]): void {
  let end = 0;
  for (const field of struct.fields) {
    if (!Number.isInteger(field.offset)) problems.push(`${struct.name}.${field.name} is a bit-field`);
    else if (field.offset !== end) problems.push(`${struct.name} has padding before ${field.name}: make it explicit`);
    end = field.offset + field.sizeBytes;
  }
  if (end !== struct.sizeBytes) problems.push(`${struct.name} has padding at its end: make it explicit`);
}

function writeEnum(enumeration: Enumeration, prefix: string): string {
  const lines = enumeration.values.map(({ name, value }) => {
    if (!name.startsWith(prefix)) throw new Error(`${name} of enum ${enumeration.name} does not begin with ${prefix}`);
    return [name.slice(prefix.length), value] as const;
  });
  return writeObject(enumeration.name, lines);
}

function writeStruct(struct: Struct): string {
  const lines: (readonly [string, number])[] = [['sizeBytes', struct.sizeBytes]];
  for (const field of struct.fields) {
    if (field.struct === HEADER_STRUCT || field.name === PADDING_FIELD) continue;
    if (field.struct !== undefined)
      throw new Error(`${struct.name}.${field.name} is a struct of its own: not supported`);
    lines.push([camelCase(field.name), field.offset]);
    if (field.elements !== undefined) lines.push([`${camelCase(field.name)}Bytes`, field.sizeBytes]);
  }
  return writeObject(struct.name, lines);
}

function writeObject(name: string, lines: readonly (readonly [string, number])[]): string {
  const names = lines.map(([key]) => key);
  const repeated = names.find((key, index) => names.indexOf(key) !== index);
  if (repeated !== undefined) throw new Error(`${name} would have two entries called ${repeated}`);
  const body = lines.map(([key, value]) => `  ${key}: ${value},\n`).join('');
  return `export const ${name.toUpperCase()} = {\n${body}} as const;\n`;
}

function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
