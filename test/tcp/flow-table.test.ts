import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLOW, FLOW_KEY, ROLE } from '../../src/abi/events.ts';
import type { BpfMap, BpfObject } from '../../src/native.ts';
import type { Owner } from '../../src/stream/contract.ts';
import { type FlowChange, type FlowNames, FlowTable } from '../../src/tcp/flow-table.ts';
import type { TcpOwners } from '../../src/tcp/owners.ts';

const OWNER: Owner = { pid: 1, comm: 'web', namespace: '', pod: '', container: '', service: 'web' };
const MAX = 4096;

/** The kernel's table of flows: by the latin1 text of the key. */
class Kernel {
  readonly flows = new Map<string, Uint8Array>();

  object(): BpfObject {
    const { flows } = this;
    const text = (key: Uint8Array) => Buffer.from(key).toString('latin1');
    const map: Partial<BpfMap> = {
      maxEntries: MAX,
      update: (key, value) => void flows.set(text(key), value.slice()),
      delete: (key) => flows.delete(text(key)),
      batch(cursor = 0, count, keys, values) {
        const part = [...flows].slice(cursor, cursor + count);
        for (const [i, [key, value]] of part.entries()) {
          keys.set(Buffer.from(key, 'latin1'), i * FLOW_KEY.sizeBytes);
          values.set(value, i * FLOW.sizeBytes);
        }
        const next = cursor + part.length;
        return { count: part.length, next: next < flows.size ? next : undefined };
      },
    };
    const other: Partial<BpfMap> = { update: () => {} };
    return {
      map: (name: string) => (name === 'flows' ? map : other) as BpfMap,
      iterate: () => {},
    } as unknown as BpfObject;
  }

  /** The flow of one remote address, with its counts. */
  set(address: number, counts: { opened?: number; sent?: number; rtt?: number }): void {
    const key = new Uint8Array(FLOW_KEY.sizeBytes);
    const view = new DataView(key.buffer);
    view.setBigUint64(FLOW_KEY.owner, 7n, true);
    key.set([0xff, 0xff, 10], FLOW_KEY.peer + 10);
    view.setUint16(FLOW_KEY.peer + 14, address);
    view.setUint16(FLOW_KEY.port, 80, true);
    key[FLOW_KEY.role] = ROLE.CLIENT;
    const value = new DataView(new ArrayBuffer(FLOW.sizeBytes));
    value.setBigUint64(FLOW.opened, BigInt(counts.opened ?? 0), true);
    value.setBigUint64(FLOW.sent, BigInt(counts.sent ?? 0), true);
    value.setUint32(FLOW.rtt, counts.rtt ?? 0, true);
    this.flows.set(Buffer.from(key).toString('latin1'), new Uint8Array(value.buffer));
  }
}

function makeTable() {
  const kernel = new Kernel();
  const clock = { nowMs: 1000 };
  const told: { names: FlowNames; opened: number; sent: number; rtt: number }[] = [];
  const table = new FlowTable({
    object: kernel.object(),
    owners: { owner: () => OWNER } as unknown as TcpOwners,
    peers: { resolvePeer: () => undefined },
    sink: {
      begin: () => void told.splice(0),
      flow: (names: FlowNames, change: FlowChange) =>
        told.push({ names, opened: change.opened, sent: change.sentBytes, rtt: change.rtt[0]! }),
    },
    clock: () => clock.nowMs,
  });
  const sums = () => {
    table.read(false);
    const sum = (of: (one: (typeof told)[number]) => number) => told.reduce((total, one) => total + of(one), 0);
    return [sum(({ opened }) => opened), sum(({ sent }) => sent), sum(({ rtt }) => rtt)];
  };
  return { kernel, clock, told, table, sums };
}

test('each reading tells what came since the last one, once', () => {
  const { kernel, sums } = makeTable();
  kernel.set(1, { opened: 3, sent: 100, rtt: 2 });
  kernel.set(2, { opened: 1 });
  assert.deepEqual(sums(), [4, 100, 2]);
  assert.deepEqual(sums(), [0, 0, 0]);
  kernel.set(1, { opened: 5, sent: 2 ** 40, rtt: 2 });
  assert.deepEqual(sums(), [2, 2 ** 40 - 100, 0]);
});

test('a sum that falls is told no less, and no more when it rises again; buckets of 32 bits go round', () => {
  const { kernel, sums } = makeTable();
  kernel.set(1, { sent: 100, rtt: 0xffff_fffe });
  assert.deepEqual(sums(), [0, 100, 0xffff_fffe]);
  kernel.set(1, { sent: 90, rtt: 3 });
  assert.deepEqual(sums(), [0, 0, 5]);
  kernel.set(1, { sent: 110, rtt: 3 });
  assert.deepEqual(sums(), [0, 10, 0]);
});

test('many addresses, few peers: more flows than a batch, the names are shared', () => {
  const { kernel, told, sums } = makeTable();
  for (let address = 0; address < 1500; address++) kernel.set(address, { opened: 1 });
  assert.deepEqual(sums(), [1500, 0, 0]);
  assert.equal(new Set(told.map(({ names }) => names)).size, 1);
  assert.deepEqual(told[0]!.names.peer, { namespace: '', service: 'external', kind: 'external' });
});

test('what is idle is forgotten, sooner when the table is crowded, and tells nothing twice when it comes again', () => {
  const { kernel, clock, table, sums } = makeTable();
  for (let address = 0; address < 3000; address++) kernel.set(address, { opened: 1 });
  assert.deepEqual(sums(), [3000, 0, 0]);
  clock.nowMs += 30_000;
  kernel.set(5, { opened: 2 });
  assert.deepEqual(sums(), [1, 0, 0]);
  clock.nowMs += 40_000;
  assert.deepEqual(sums(), [0, 0, 0]);
  // The two overflow flows and the one that was busy.
  assert.deepEqual([kernel.flows.size, table.size], [3, 3]);
  kernel.set(5, { opened: 4 });
  kernel.set(6, { opened: 1 });
  assert.deepEqual(sums(), [3, 0, 0]);
  clock.nowMs += 599_000;
  sums();
  assert.equal(table.size, 4);
  clock.nowMs += 2000;
  sums();
  assert.equal(table.size, 2);
});
