/**
 * A reader of BTF (Documentation/bpf/btf.rst in the kernel tree): the struct layouts and enum values that clang leaves
 * in a BPF object. It reads 64-bit little-endian objects of our own build, refuses bit-fields and anything it does not
 * know, and is no reader for files of others.
 */

export interface Field {
  readonly name: string;
  readonly offset: number;
  readonly sizeBytes: number;
  /** Name of the struct that this field holds by value. */
  readonly struct: string | undefined;
  /** Elements of an array, undefined for anything else. */
  readonly elements: number | undefined;
}

export interface Struct {
  readonly name: string;
  readonly sizeBytes: number;
  readonly fields: readonly Field[];
}

export interface Enumeration {
  readonly name: string;
  readonly values: readonly { readonly name: string; readonly value: number }[];
}

export interface Layouts {
  readonly structs: ReadonlyMap<string, Struct>;
  readonly enums: ReadonlyMap<string, Enumeration>;
}

const KIND = {
  INT: 1,
  PTR: 2,
  ARRAY: 3,
  STRUCT: 4,
  UNION: 5,
  ENUM: 6,
  TYPEDEF: 8,
  VOLATILE: 9,
  CONST: 10,
  RESTRICT: 11,
  FUNC_PROTO: 13,
  VAR: 14,
  DATASEC: 15,
  FLOAT: 16,
  DECL_TAG: 17,
  TYPE_TAG: 18,
  ENUM64: 19,
} as const;

const ENTRY_BYTES = 12;
const LAST_KIND = KIND.ENUM64;

interface Type {
  readonly kind: number;
  readonly name: string;
  readonly members: number;
  readonly flag: boolean;
  /** Size in bytes or id of a type: which of the two depends on the kind. */
  readonly sizeOrType: number;
  /** Where the kind's own data begin. */
  readonly extra: number;
}

/** @throws Error when the object has no .BTF section or holds what this reader does not know. */
export function readLayouts(object: Uint8Array): Layouts {
  const section = findSection(object, '.BTF');
  if (!section) throw new Error('the object has no .BTF section; compile it with -g');
  return readBtf(section);
}

/** The bytes of a section of an ELF64 little-endian file. */
export function findSection(object: Uint8Array, wanted: string): Uint8Array | undefined {
  const view = new DataView(object.buffer, object.byteOffset, object.byteLength);
  if (view.getUint32(0) !== 0x7f454c46 || view.getUint16(4) !== 0x0201) throw new Error('not an ELF64 file');
  const table = Number(view.getBigUint64(0x28, true));
  const entryBytes = view.getUint16(0x3a, true);
  const range = (index: number) => {
    const entry = table + index * entryBytes;
    const start = Number(view.getBigUint64(entry + 0x18, true));
    return object.subarray(start, start + Number(view.getBigUint64(entry + 0x20, true)));
  };
  const names = range(view.getUint16(0x3e, true));
  for (let index = 1; index < view.getUint16(0x3c, true); index++) {
    if (text(names, view.getUint32(table + index * entryBytes, true)) === wanted) return range(index);
  }
  return undefined;
}

function readBtf(btf: Uint8Array): Layouts {
  const view = new DataView(btf.buffer, btf.byteOffset, btf.byteLength);
  if (view.getUint16(0, true) !== 0xeb9f) throw new Error('.BTF does not begin with its magic number');
  const headerBytes = view.getUint32(4, true);
  const typesStart = headerBytes + view.getUint32(8, true);
  const typesEnd = typesStart + view.getUint32(12, true);
  const strings = btf.subarray(headerBytes + view.getUint32(16, true));
  const types = readTypes(view, typesStart, typesEnd, strings);

  const structs = new Map<string, Struct>();
  const enums = new Map<string, Enumeration>();
  for (const type of types) {
    if (type?.name === undefined || type.name === '') continue;
    if (type.kind === KIND.STRUCT) structs.set(type.name, readStruct(type, types, view, strings));
    if (type.kind === KIND.ENUM) enums.set(type.name, readEnum(type, view, strings));
  }
  return { structs, enums };
}

/** Index = type id; id 0 is void. */
function readTypes(view: DataView, start: number, end: number, strings: Uint8Array): (Type | undefined)[] {
  const types: (Type | undefined)[] = [undefined];
  for (let at = start; at < end; ) {
    const info = view.getUint32(at + 4, true);
    const type = {
      kind: (info >>> 24) & 0x1f,
      name: text(strings, view.getUint32(at, true)),
      members: info & 0xffff,
      flag: info >>> 31 === 1,
      sizeOrType: view.getUint32(at + 8, true),
      extra: at + ENTRY_BYTES,
    };
    types.push(type);
    at = type.extra + extraBytes(type);
  }
  return types;
}

function extraBytes(type: Type): number {
  switch (type.kind) {
    case KIND.INT:
    case KIND.VAR:
    case KIND.DECL_TAG:
      return 4;
    case KIND.ARRAY:
      return 12;
    case KIND.STRUCT:
    case KIND.UNION:
    case KIND.DATASEC:
    case KIND.ENUM64:
      return type.members * 12;
    case KIND.ENUM:
    case KIND.FUNC_PROTO:
      return type.members * 8;
    default:
      if (type.kind === 0 || type.kind > LAST_KIND) throw new Error(`BTF kind ${type.kind} is not known`);
      return 0;
  }
}

function readStruct(type: Type, types: (Type | undefined)[], view: DataView, strings: Uint8Array): Struct {
  const fields: Field[] = [];
  for (let at = type.extra; at < type.extra + type.members * 12; at += 12) {
    const name = text(strings, view.getUint32(at, true));
    const bits = view.getUint32(at + 8, true);
    const held = resolve(types, view.getUint32(at + 4, true));
    // A bit-field sets the flag of the struct and the upper byte; nothing of ours has one, kernel types may.
    const offset = (type.flag ? bits & 0xffffff : bits) / 8;
    fields.push({
      name,
      offset,
      sizeBytes: held ? sizeOf(held, types, view) : 0,
      struct: held?.kind === KIND.STRUCT ? held.name : undefined,
      elements: held?.kind === KIND.ARRAY ? view.getUint32(held.extra + 8, true) : undefined,
    });
  }
  return { name: type.name, sizeBytes: type.sizeOrType, fields };
}

function readEnum(type: Type, view: DataView, strings: Uint8Array): Enumeration {
  const values: { name: string; value: number }[] = [];
  for (let at = type.extra; at < type.extra + type.members * 8; at += 8) {
    values.push({ name: text(strings, view.getUint32(at, true)), value: view.getInt32(at + 4, true) });
  }
  return { name: type.name, values };
}

/** Looks through typedefs and qualifiers. */
function resolve(types: (Type | undefined)[], id: number): Type | undefined {
  const transparent: readonly number[] = [KIND.TYPEDEF, KIND.VOLATILE, KIND.CONST, KIND.RESTRICT, KIND.TYPE_TAG];
  let type = types[id];
  while (type && transparent.includes(type.kind)) type = types[type.sizeOrType];
  return type;
}

function sizeOf(type: Type, types: (Type | undefined)[], view: DataView): number {
  if (type.kind === KIND.PTR) return 8;
  if (type.kind !== KIND.ARRAY) return type.sizeOrType;
  const element = resolve(types, view.getUint32(type.extra, true));
  return view.getUint32(type.extra + 8, true) * (element ? sizeOf(element, types, view) : 0);
}

function text(strings: Uint8Array, start: number): string {
  return Buffer.from(strings.subarray(start, strings.indexOf(0, start))).toString('latin1');
}
