/** Our own server and client with the libraries of other Debian suites, as in a container: chroot and mount namespace. */

import { dirname, join } from 'node:path';
import { freePort, readCounts, run, start, until } from '../kernel/harness.ts';
import { runInUnit } from '../kernel/unit.ts';
import type { Variant } from './roots.ts';
import { startReady } from './scenario.ts';
import type { Counts, Stack, Stage } from './stack.ts';

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

/** TLS 1.3 with early data, which takes our own program on both sides. */
function withEarlyData(program: Program): Stack {
  const stack = inSuite(program);
  const command = async ({ root, folder }: Stage, ...args: string[]) =>
    root!.command(folder, await root!.program(program.variant), ...args);
  const clientArgs = (port: number, count: number) => ['client', String(port), String(count), '1', 'early'];
  return {
    ...stack,
    async traffic(stage, port, count): Promise<Counts> {
      const [name, ...args] = await command(stage, ...clientArgs(port, count));
      return readCounts((await run(name, args)).stdout);
    },
    async client(stage, _port, count) {
      const port = await freePort();
      const [name, ...args] = await command(stage, 'server', String(port), '/mnt/cert.pem', '/mnt/key.pem');
      const server = start(stage.t, name, args);
      await until('the server is ready', () => server.stdout().includes('ready') || undefined);
      return readCounts(await runInUnit(stage.unit, await command(stage, ...clientArgs(port, count))));
    },
  };
}

const OPENSSL = { bullseye: '1.1.1', bookworm: '3.0', trixie: '3.5', sid: '3.6' } as const;
const SUITES = Object.keys(OPENSSL) as (keyof typeof OPENSSL)[];

const openssl = SUITES.map((suite) =>
  inSuite({ name: `OpenSSL ${OPENSSL[suite]}`, suite, variant: 'openssl', library: 'openssl' }),
);
const early = SUITES.map((suite) =>
  withEarlyData({ name: `OpenSSL ${OPENSSL[suite]} early data`, suite, variant: 'openssl', library: 'openssl' }),
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

export const SUITE_PROGRAMS: readonly Stack[] = [...openssl, ...early, ...linked, ...boringssl, ...gnutls, stripped];
