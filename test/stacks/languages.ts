/** Interpreters and run times, by small servers and clients of fixtures/servers/. */

import { PYTHON, readCounts } from '../kernel/harness.ts';
import { runInUnit } from '../kernel/unit.ts';
import { fixture, startReady } from './scenario.ts';
import type { Stack } from './stack.ts';

interface Language {
  readonly name: string;
  readonly packages: readonly string[];
  readonly interpreter: string;
  /** Files of fixtures/servers/. */
  readonly server?: string;
  readonly client?: string;
  readonly version?: () => Promise<string>;
  readonly gaps?: Stack['gaps'];
}

function language({ name, packages, interpreter, server, client, version, gaps }: Language): Stack {
  return {
    name,
    library: 'openssl',
    packages,
    ...(gaps && { gaps }),
    ...(version && { version }),
    ...(server !== undefined && {
      async server({ t, unit, certificate: { certificate, key } }, port) {
        await startReady(t, unit, [interpreter, fixture(server), String(port), certificate, key]);
      },
    }),
    ...(client !== undefined && {
      async client({ unit }, port, count) {
        const program: [string, ...string[]] = [interpreter, fixture(client), String(port), String(count), '1'];
        return readCounts(await runInUnit(unit, program));
      },
    }),
  };
}

/** The client of the standard library takes an address instead of a port. */
const python: Stack = {
  ...language({
    name: 'Python http.server, http.client',
    packages: ['python3'],
    interpreter: PYTHON,
    server: 'server.py',
  }),
  async client({ unit }, port, count) {
    const program: [string, ...string[]] = [
      PYTHON,
      fixture('client.py'),
      `https://127.0.0.1:${port}`,
      String(count),
      '1',
    ];
    return readCounts(await runInUnit(unit, program));
  },
};

const asyncio = language({
  name: 'Python asyncio (memory BIO)',
  packages: ['python3'],
  interpreter: PYTHON,
  server: 'asyncio-server.py',
  client: 'asyncio-client.py',
});

const node = language({
  name: 'Node.js https (static, memory BIO)',
  packages: [],
  interpreter: process.execPath,
  server: 'node-server.mjs',
  client: 'node-client.mjs',
  version: async () => `${process.versions.node} (${process.versions.openssl})`,
});

const ruby = language({
  name: 'Ruby WEBrick, Net::HTTP',
  packages: ['ruby', 'ruby-webrick'],
  interpreter: '/usr/bin/ruby',
  server: 'server.rb',
  client: 'client.rb',
});

const php = language({
  name: 'PHP streams',
  packages: ['php-cli'],
  interpreter: '/usr/bin/php',
  client: 'client.php',
  gaps: { server: "PHP's own server speaks no TLS" },
});

export const LANGUAGES: readonly Stack[] = [python, asyncio, node, ruby, php];
