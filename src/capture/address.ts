/** Addresses as the kernel hands them over, as text. */

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;

/**
 * `1.2.3.4:80`, `[2001:db8::1]:80` (RFC 5952); undefined for any other family. A v4-mapped address is shown as
 * v4. A Unix socket is named by the process that has it: `unix:PID`, undefined where that is not known.
 */
export function formatEndpoint(family: number, address: Uint8Array, port: number): string | undefined {
  if (family === AF_UNIX) {
    const pid = address[0]! + address[1]! * 2 ** 8 + address[2]! * 2 ** 16 + address[3]! * 2 ** 24;
    return pid === 0 ? undefined : `unix:${pid}`;
  }
  const text = formatAddress(family, address);
  return text?.includes(':') ? `[${text}]:${port}` : text && `${text}:${port}`;
}

/** As formatEndpoint, without port and brackets. */
export function formatAddress(family: number, address: Uint8Array): string | undefined {
  if (family === AF_INET) return dotted(address, 0);
  if (family !== AF_INET6) return undefined;
  const mapped = address.subarray(0, 10).every((byte) => byte === 0) && address[10] === 0xff && address[11] === 0xff;
  return mapped ? dotted(address, 12) : groups(address);
}

function dotted(address: Uint8Array, at: number): string {
  return `${address[at]}.${address[at + 1]}.${address[at + 2]}.${address[at + 3]}`;
}

/** RFC 5952 section 4: no leading zeros, lower case, the first of the longest runs of two or more zero groups is `::`. */
function groups(address: Uint8Array): string {
  const words = Array.from({ length: 8 }, (_, i) => (address[2 * i]! << 8) | address[2 * i + 1]!);
  let from = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && words[end] === 0) end++;
    if (end - i > length) {
      from = i;
      length = end - i;
    }
  }
  const text = words.map((word) => word.toString(16));
  if (from < 0) return text.join(':');
  return `${text.slice(0, from).join(':')}::${text.slice(from + length).join(':')}`;
}
