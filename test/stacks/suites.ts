/** Our own server and client with the libraries of other Debian suites, as in a container: chroot and mount namespace. */

import { dirname, join } from 'node:path';
import { readCounts, run } from '../kernel/harness.ts';
import { runInUnit } from '../kernel/unit.ts';
import type { Variant } from './roots.ts';
import { startReady } from './scenario.ts';
import type { Stack } from './stack.ts';

interface Program {
  readonly name: string;
  readonly suite: string;
  readonly variant: Variant;
  readonly library: string;
  readonly unsupported?: string;
}

function inSuite({ name, suite, variant, library, unsupported }: Program): Stack {
  return {
    name: `${name}, ${suite}`,
    library,
    packages: [],
    suite,
    ...(unsupported !== undefined && { unsupported }),
    async version({ root }) {
      const { stdout } = await run('chroot', [root!.path, await root!.program(variant), 'version']);
      return stdout.trim();
    },
    async server({ t, unit, root, certificate }, port) {
      const files = ['cert.pem', 'key.pem'].map((file) => join('/mnt', file));
      const program = await root!.program(variant);
      const folder = dirname(certificate.certificate);
      await startReady(t, unit, root!.command(folder, program, 'server', String(port), ...files));
    },
    async client({ unit, root, folder }, port, count) {
      const program = await root!.program(variant);
      return readCounts(
        await runInUnit(unit, root!.command(folder, program, 'client', String(port), String(count), '1')),
      );
    },
  };
}

const OPENSSL = { bullseye: '1.1.1', bookworm: '3.0', trixie: '3.5', sid: '3.6' } as const;
const SUITES = Object.keys(OPENSSL) as (keyof typeof OPENSSL)[];

const openssl = SUITES.map((suite) =>
  inSuite({ name: `OpenSSL ${OPENSSL[suite]}`, suite, variant: 'openssl', library: 'openssl' }),
);
const linked = SUITES.map((suite) =>
  inSuite({ name: `OpenSSL ${OPENSSL[suite]} static`, suite, variant: 'openssl-static', library: 'openssl' }),
);
const gnutls = SUITES.map((suite) => inSuite({ name: 'GnuTLS', suite, variant: 'gnutls', library: 'gnutls' }));
const boringssl = SUITES.filter((suite) => suite !== 'bullseye').map((suite) =>
  inSuite({ name: 'BoringSSL (android-libboringssl)', suite, variant: 'boringssl', library: 'boringssl' }),
);

/** Without symbols nothing tells where its functions are. */
const stripped = inSuite({
  name: 'OpenSSL 3.5 static and stripped',
  suite: 'trixie',
  variant: 'openssl-stripped',
  library: '',
  unsupported: 'no known TLS library',
});

export const SUITE_PROGRAMS: readonly Stack[] = [...openssl, ...linked, ...boringssl, ...gnutls, stripped];
