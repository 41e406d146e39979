/** The address to listen on, to and from text. */

import { isIPv6 } from 'node:net';
import { PlainsightError } from '../errors.ts';

export interface ListenAddress {
  /** undefined: all addresses, IPv6 and IPv4. */
  readonly host: string | undefined;
  /** 0: any free port. */
  readonly port: number;
}

const HOST_PORT = /^(?:\[(?<v6>[^\]]*)\]|(?<name>[A-Za-z0-9._-]*)):(?<port>\d{1,5})$/;

/** `127.0.0.1:9090`, `localhost:9090`, `[::1]:9090`, `:9090`. Throws USAGE for anything else. */
export function parseListen(text: string): ListenAddress {
  const { v6, name, port } = HOST_PORT.exec(text)?.groups ?? {};
  if (port === undefined || Number(port) > 65_535 || (v6 !== undefined && !isIPv6(v6))) {
    throw new PlainsightError(
      'USAGE',
      `Cannot listen on ${JSON.stringify(text)}: give HOST:PORT, such as 127.0.0.1:9090, [::1]:9090 or :9090.`,
    );
  }
  return { host: v6 ?? (name === '' ? undefined : name), port: Number(port) };
}

export function formatListen({ host = '', port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
