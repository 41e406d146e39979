/** Programs of the command line. Each is there, and looked at, a second before it is told what to send. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { PYTHON, readCounts, run, sleep, until } from '../kernel/harness.ts';
import { runInUnit, type Unit } from '../kernel/unit.ts';
import { fixture, listens, type Request, requests, startIn } from './scenario.ts';
import type { Counts, Stack } from './stack.ts';

const PATIENCE_MS = 1000;

function count(keys: Iterable<string>): Counts {
  const counts: Counts = new Map();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}

const head = ({ method, status, body }: Request, last: boolean) => {
  const length = body === '' ? '' : `Content-Length: ${body.length}\r\n`;
  return `${method} /status/${status} HTTP/1.1\r\nHost: localhost\r\n${last ? 'Connection: close\r\n' : ''}${length}\r\n${body}`;
};

/** As many as fit into one write of any of them. */
const BATCH = 10;

/** Sends requests, some at a time, through a program that makes a TLS connection for its input and output. */
async function pipe(unit: Unit, program: [string, ...string[]], total: number): Promise<Counts> {
  const sent = requests(total);
  const [command, ...args] = unit.command(...program);
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  let stdout = '';
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  child.stdin.on('error', () => {});
  const closed = once(child, 'close');
  const statuses = () => [...stdout.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status!);
  await sleep(PATIENCE_MS);
  for (let i = 0; i < total; i += BATCH) {
    const batch = sent.slice(i, i + BATCH);
    child.stdin.write(batch.map((request, j) => head(request, i + j === total - 1)).join(''));
    await until(`${program[0]} has passed on the responses to ${i + batch.length} requests`, () => {
      const ended = child.exitCode !== null || child.signalCode !== null;
      return ended || statuses().length >= i + batch.length || undefined;
    });
  }
  child.stdin.end();
  await closed;
  return count(statuses().map((status, i) => `${sent[i]!.method} ${status}`));
}

const curl: Stack = {
  name: 'curl',
  library: 'openssl',
  packages: ['curl'],
  async client({ unit }, port, total) {
    const blocks = requests(total).map(({ method, status, body }) => {
      const data = body === '' ? '' : `data = "${body}"\n`;
      const how = method === 'HEAD' ? 'head\n' : `request = "${method}"\n`;
      return `url = "https://127.0.0.1:${port}/status/${status}"\n${how}${data}insecure\nsilent\noutput = "/dev/null"\nwrite-out = "%{method} %{http_code}\\n"\n`;
    });
    // Its configuration comes by its input, so it is there before it knows what to ask for.
    const stdout = await runInUnit(unit, ['/usr/bin/curl', '--config', '-'], {
      text: blocks.join('next\n'),
      afterMs: PATIENCE_MS,
    });
    return count(stdout.trim().split('\n'));
  },
  gaps: { server: 'curl is a client' },
};

const wget: Stack = {
  name: 'wget',
  library: 'gnutls',
  packages: ['wget'],
  async client({ unit }, port, total) {
    const byMethod = new Map<string, number[]>();
    for (const { method, status } of requests(total)) byMethod.set(method, [...(byMethod.get(method) ?? []), status]);
    const running = [...byMethod].map(async ([method, statuses]) => {
      const text = statuses.map((status) => `https://127.0.0.1:${port}/status/${status}\n`).join('');
      const options = [
        '--no-check-certificate',
        '--tries=1',
        '--max-redirect=0',
        '--no-config',
        '--quiet',
        '-O',
        '/dev/null',
      ];
      const data = method === 'POST' || method === 'PUT' ? ['--body-data=b'] : [];
      await runInUnit(unit, ['/usr/bin/wget', ...options, `--method=${method}`, ...data, '--input-file=-'], {
        text,
        afterMs: PATIENCE_MS,
      });
      return statuses.map((status) => `${method} ${status}`);
    });
    return count((await Promise.all(running)).flat());
  },
  gaps: { server: 'wget is a client' },
};

const gnutlsTools: Stack = {
  name: 'gnutls-cli and gnutls-serv',
  library: 'gnutls',
  packages: ['gnutls-bin'],
  client: ({ unit }, port, total) =>
    pipe(unit, ['/usr/bin/gnutls-cli', '--insecure', '--logfile=/dev/null', '-p', String(port), '127.0.0.1'], total),
  async server({ t, unit, certificate }, port) {
    const files = [`--x509certfile=${certificate.certificate}`, `--x509keyfile=${certificate.key}`];
    await startIn(t, unit, ['/usr/bin/gnutls-serv', '--http', '--quiet', ...files, '-p', String(port)]);
    await listens(port);
  },
  // It answers one request of a connection: GET with a page, anything else with 501 or by closing.
  async traffic(_stage, port, total) {
    const { stdout } = await run(PYTHON, [fixture('each-connection.py'), String(port), String(total), '1']);
    return readCounts(stdout);
  },
};

const opensslTools: Stack = {
  name: 'openssl s_client',
  library: 'openssl',
  packages: ['openssl'],
  client: ({ unit }, port, total) =>
    pipe(unit, ['/usr/bin/openssl', 's_client', '-quiet', '-connect', `127.0.0.1:${port}`], total),
  gaps: { server: 'openssl s_server writes through BIO_f_ssl(), whose functions have no symbol' },
};

const libcurlGnutls: Stack = {
  name: 'libcurl3-gnutls (pycurl)',
  library: 'gnutls',
  packages: ['libcurl3-gnutls', 'python3-pycurl'],
  client: async ({ unit }, port, total) =>
    readCounts(await runInUnit(unit, [PYTHON, fixture('curl-client.py'), String(port), String(total), '1'])),
  gaps: { server: 'libcurl is a client' },
};

const nssTools: Stack = {
  name: 'NSS (tstclnt)',
  library: 'nss',
  packages: ['libnss3', 'libnss3-tools'],
  async client({ unit, folder }, port, total) {
    const database = join(folder, 'db');
    await run('sh', ['-c', 'mkdir "$0" && certutil -N --empty-password -d "sql:$0"', database]);
    return pipe(
      unit,
      ['/usr/bin/tstclnt', '-h', '127.0.0.1', '-p', String(port), '-d', `sql:${database}`, '-o'],
      total,
    );
  },
  gaps: { server: 'selfserv would be as unsupported as the client is' },
  unsupported: 'no read or write function',
};

export const CLIENTS: readonly Stack[] = [curl, wget, gnutlsTools, opensslTools, libcurlGnutls, nssTools];
