/** IP addresses as text that can be compared: what two sides write differently becomes the same. */

import { isIPv4, isIPv6, SocketAddress } from 'node:net';

const MAPPED = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i;

/** RFC 5952 for v6, a v4-mapped address as v4; '' for what is no address. */
export function canonicalAddress(text: string): string {
  if (isIPv4(text)) return text;
  if (!isIPv6(text) || text.includes('%')) return '';
  const { address } = new SocketAddress({ address: text, family: 'ipv6' });
  const mapped = MAPPED.exec(address)?.[1];
  return mapped !== undefined && isIPv4(mapped) ? mapped : address;
}
