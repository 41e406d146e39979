import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { DATA_EVENT, OPEN_EVENT } from '../../src/abi/events.ts';
import { fromRoot } from '../../src/root.ts';
import { type Field, findSection, type Layouts, readLayouts } from '../../tools/abi/btf.ts';
import { generateEvents } from '../../tools/abi/layout.ts';

function field(name: string, offset: number, sizeBytes: number, more: Partial<Field> = {}): Field {
  return { name, offset, sizeBytes, struct: undefined, elements: undefined, ...more };
}

const EVENTS = ['open_event', 'data_event', 'end_event', 'close_event', 'bound_event', 'process_event'];

/** Every type that the generator wants, each as small as it can be. */
function layouts(change: (structs: Map<string, Field[]>) => void = () => {}): Layouts {
  const structs = new Map(
    ['event_header', 'piece', ...EVENTS, 'cgroup_event', 'tls_process', 'settings'].map((name) => [
      name,
      [field('time_ns', 0, 8)],
    ]),
  );
  change(structs);
  const enums = ['event_kind', 'direction', 'source', 'scope', 'counter'].map((name) => {
    const prefix =
      { event_kind: 'EVENT_', direction: '', source: 'SOURCE_', scope: 'SCOPE_', counter: 'COUNTER_' }[name] ?? '';
    return [name, { name, values: [{ name: `${prefix}TLS_SEEN`, value: 7 }] }] as const;
  });
  return {
    enums: new Map(enums),
    structs: new Map([...structs].map(([name, fields]) => [name, { name, sizeBytes: 8, fields }])),
  };
}

function objects(...all: Layouts[]) {
  return all.map((each, index) => ({ path: `object-${index}.o`, layouts: each }));
}

describe('the generated text', () => {
  test('names are camelCase, enums lose their prefix, the header and reserved bytes are left out', () => {
    const header = layouts((structs) =>
      structs.set('end_event', [
        field('header', 0, 4, { struct: 'event_header' }),
        field('comm', 4, 3, { elements: 3 }),
        field('reserved', 7, 1),
      ]),
    );
    const text = generateEvents(objects(header));
    assert.match(text, /^export const EVENT_KIND = \{\n {2}TLS_SEEN: 7,\n\} as const;$/m);
    assert.match(text, /^export const SETTINGS = \{\n {2}sizeBytes: 8,\n {2}timeNs: 0,\n\} as const;$/m);
    assert.match(
      text,
      /^export const END_EVENT = \{\n {2}sizeBytes: 8,\n {2}comm: 4,\n {2}commBytes: 3,\n\} as const;$/m,
    );
  });

  test('objects that disagree are refused', () => {
    const other = layouts((structs) => structs.set('data_event', [field('time_ns', 0, 4), field('length', 4, 4)]));
    assert.throws(() => generateEvents(objects(layouts(), other)), {
      message: 'data_event differs between object-0.o and object-1.o; rebuild both: bash tools/build-bpf.sh',
    });
  });

  test('padding, bit-fields and missing types are refused, all in one message', () => {
    const wrong = layouts((structs) => {
      structs.delete('settings');
      structs.set('open_event', [field('family', 0, 2), field('tls', 4, 4)]);
      structs.set('data_event', [field('direction', 0, 4), field('flag', 4.125, 4)]);
      structs.set('close_event', [field('reset', 0, 1)]);
    });
    assert.throws(() => generateEvents(objects(wrong)), {
      message: [
        'open_event has padding before tls: make it explicit',
        'data_event.flag is a bit-field',
        'data_event has padding at its end: make it explicit',
        'close_event has padding at its end: make it explicit',
        'settings is in the BTF of no object: name it in tools/abi/events.c',
      ].join('\n'),
    });
  });
});

describe('the BTF of a built object', () => {
  const object = readFileSync(fromRoot('build/abi/x64.o'));

  test('gives offsets, sizes and array lengths of bpf/events.h', () => {
    const { structs, enums } = readLayouts(object);
    const data = structs.get('data_event');
    assert.equal(data?.sizeBytes, DATA_EVENT.sizeBytes);
    assert.deepEqual(data?.fields[0], field('header', 0, 32, { struct: 'event_header' }));
    assert.deepEqual(
      data?.fields.find(({ name }) => name === 'position'),
      field('position', DATA_EVENT.position, 8),
    );
    assert.deepEqual(
      structs.get('open_event')?.fields.find(({ name }) => name === 'comm'),
      field('comm', OPEN_EVENT.comm, 16, { elements: 16 }),
    );
    assert.deepEqual(enums.get('direction')?.values, [
      { name: 'INGRESS', value: 0 },
      { name: 'EGRESS', value: 1 },
    ]);
  });

  test('holds no DWARF', () => {
    assert.equal(findSection(object, '.debug_info'), undefined);
    assert.notEqual(findSection(object, '.BTF'), undefined);
  });

  test('a file without BTF is refused', () => {
    assert.throws(() => readLayouts(readFileSync(process.execPath).subarray(0)), /has no \.BTF section/);
    assert.throws(() => readLayouts(new Uint8Array(64)), /not an ELF64 file/);
  });
});
