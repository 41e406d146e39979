/** Calls of a TLS library, as probes at their entries and returns see them, beside what script.ts writes. */

import { type CallConvention, encodeCookie, type ProbeOperation } from '../../src/probes/cookie.ts';
import type { Architecture } from './host.ts';
import { Script } from './script.ts';

export const STACK = 0x7fff_0000_1000;

export interface Site {
  readonly convention?: CallConvention;
  readonly uretprobe?: boolean;
  readonly register?: number;
  readonly depthBytes?: number;
  /** By a program for this site instead of a cookie. */
  readonly fixed?: boolean;
  /** Of the function's entry. */
  readonly stack?: number;
}

function cookie(
  operation: ProbeOperation,
  { convention = 'n', uretprobe = false, register = 0, depthBytes = 0 }: Site,
): bigint {
  return encodeCookie({ operation, convention, uretprobe, register, depthBytes });
}

export class TlsScript extends Script {
  readonly #architecture: Architecture;

  constructor(architecture: Architecture) {
    super();
    this.#architecture = architecture;
  }

  override run() {
    return super.run(this.#architecture);
  }

  enter(operation: ProbeOperation, ssl: number, buffer: number, site: Site = {}, countPointer = 0): number {
    const stack = (site.stack ?? STACK) - (site.depthBytes ?? 0);
    return this.add(
      `entry${site.fixed ? '_fixed' : ''} ${cookie(operation, site)} ${stack} ${ssl} ${buffer} ${countPointer}`,
    );
  }

  leave(operation: ProbeOperation, result: number, site: Site = {}): number {
    const popped = site.uretprobe && this.#architecture === 'x86' ? 8 : 0;
    const stack = (site.stack ?? STACK) - (site.depthBytes ?? 0) + popped;
    return this.add(`return${site.fixed ? '_fixed' : ''} ${cookie(operation, site)} ${stack} ${result}`);
  }

  /** A whole call. @returns the index of what its return did */
  call(operation: 'read' | 'write', ssl: number, bytes: Buffer, site: Site = {}, result = bytes.length): number {
    const { uretprobe: _, ...entry } = site;
    this.enter(operation, ssl, this.place(bytes), entry);
    return this.leave(operation, result, site);
  }
}
