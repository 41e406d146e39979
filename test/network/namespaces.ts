/** Two network namespaces with a pair of virtual interfaces between them. Needs root, iproute2 and nftables. */

import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { run } from '../kernel/harness.ts';

export interface End {
  readonly v4: string;
  readonly v6: string;
  /** Put before a command, it runs there. */
  readonly enter: readonly ['ip', 'netns', 'exec', string];
  run(command: string): Promise<string>;
  /** Of the kernel's own counters (RFC 4022), since the namespace was made. */
  counter(name: 'RetransSegs'): Promise<number>;
  /** Drops so much of what arrives, at random. Replaces what was said before. */
  lose(percent: number): Promise<void>;
}

let made = 0;

export async function makeNetwork(t: TestContext): Promise<{ near: End; far: End }> {
  const id = `${process.pid}-${made++}`;
  const net = (made * 8) % 250;
  const [near, far] = [end(`plainsight-${id}-near`, net, 1), end(`plainsight-${id}-far`, net, 2)];
  t.after(async () => {
    for (const { enter } of [near, far]) await run('ip', ['netns', 'delete', enter[3]]).catch(() => {});
  });
  for (const { enter } of [near, far]) await run('ip', ['netns', 'add', enter[3]]);
  const peer = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', far.enter[3]];
  await run('ip', ['link', 'add', 'eth0', 'netns', near.enter[3], ...peer]);
  for (const { v4, v6, run: inside } of [near, far]) {
    await inside('ip link set lo up');
    await inside(`ip address add ${v4}/24 dev eth0`);
    await inside(`ip address add ${v6}/64 dev eth0 nodad`);
    await inside('ip link set eth0 up');
  }
  return { near, far };
}

function end(name: string, net: number, host: number): End {
  return { v4: `10.99.${net}.${host}`, v6: `fd99:${net}::${host}`, ...insideOf(name) };
}

/** What can be done in a network namespace. */
export function insideOf(name: string): Omit<End, 'v4' | 'v6'> {
  const enter = ['ip', 'netns', 'exec', name] as const;
  const inside = async (command: string) => (await run('ip', ['netns', 'exec', name, 'sh', '-c', command])).stdout;
  return {
    enter,
    run: inside,
    async counter(wanted) {
      const [names = '', values = ''] = (await inside('grep ^Tcp: /proc/net/snmp')).split('\n');
      return Number(values.split(' ')[names.split(' ').indexOf(wanted)]);
    },
    async lose(percent) {
      const rule = `meta l4proto tcp numgen random mod 100 < ${percent} drop`;
      await inside(
        `nft 'flush ruleset; table inet loss { chain arrive { type filter hook input priority 0; ${rule}; }; }'`,
      );
    },
  };
}

/** VmRSS in bytes. */
export function residentBytes(pid: number): number {
  const kib = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) * 1024;
}
