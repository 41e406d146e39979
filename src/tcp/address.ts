/** Addresses between text and the 16 bytes of the kernel side, where IPv4 is `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2). */

import { isIPv4, isIPv6 } from 'node:net';
import { formatAddress } from '../capture/address.ts';

const AF_INET6 = 10;

/** undefined for what is no address. A zone (`%eth0`) is left out. */
export function addressBytes(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(16);
  if (isIPv4(text)) {
    bytes.set([0xff, 0xff], 10);
    bytes.set(text.split('.').map(Number), 12);
    return bytes;
  }
  const plain = text.split('%', 1)[0]!;
  if (!isIPv6(plain)) return undefined;
  // An IPv4 address at the end is two groups.
  const v4 = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(plain);
  const numbers = v4?.slice(1).map(Number) ?? [];
  const groups = v4
    ? `${plain.slice(0, v4.index)}${hex(numbers[0]!, numbers[1]!)}:${hex(numbers[2]!, numbers[3]!)}`
    : plain;
  const [head = '', tail] = groups.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const all = [...before, ...new Array<string>(8 - before.length - after.length).fill('0'), ...after];
  for (const [index, group] of all.entries()) {
    const value = Number.parseInt(group, 16);
    bytes[2 * index] = value >> 8;
    bytes[2 * index + 1] = value & 0xff;
  }
  return bytes;
}

function hex(high: number, low: number): string {
  return ((high << 8) | low).toString(16);
}

/** The text of 16 bytes; a mapped address as IPv4. */
export function addressText(bytes: Uint8Array): string {
  return formatAddress(AF_INET6, bytes)!;
}

export function isMapped(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
}

/** 127.0.0.0/8 and ::1: of each network namespace its own. */
export function isLoopback(bytes: Uint8Array): boolean {
  if (isMapped(bytes)) return bytes[12] === 127;
  return bytes.subarray(0, 15).every((byte) => byte === 0) && bytes[15] === 1;
}

/** `1.2.3.4:80`, `[2001:db8::1]:80` */
export function splitEndpoint(endpoint: string): { readonly address: string; readonly port: number } {
  const colon = endpoint.lastIndexOf(':');
  const host = endpoint.slice(0, colon);
  return { address: host.startsWith('[') ? host.slice(1, -1) : host, port: Number(endpoint.slice(colon + 1)) };
}
