/** Installs the Debian packages of this system that stacks need, and says which. Starts no service of theirs. */

import { existsSync } from 'node:fs';
import { fetched, must, run, say } from '../vm/host.ts';

/** What dpkg-query replaces: its words in braces behind a dollar sign. */
const STATUS_FORMAT = `$${'{db:Status-Status}'}`;
const VERSION_FORMAT = `$${'{Version}'}`;

export async function isInstalled(name: string): Promise<boolean> {
  const { stdout } = await run('dpkg-query', ['-W', '-f', STATUS_FORMAT, name]);
  return stdout === 'installed';
}

export async function versionOf(name: string): Promise<string> {
  return (await run('dpkg-query', ['-W', '-f', VERSION_FORMAT, name])).stdout;
}

/** Packages that could not be installed -> why. */
export async function installPackages(names: readonly string[]): Promise<Map<string, string>> {
  const missing: string[] = [];
  for (const name of names) if (!(await isInstalled(name))) missing.push(name);
  const failures = new Map<string, string>();
  if (missing.length === 0) return failures;
  // Without systemd, invoke-rc.d starts nothing in runlevel 1; with it, these packages' units are masked meanwhile.
  const env = { ...process.env, RUNLEVEL: '1', DEBIAN_FRONTEND: 'noninteractive' };
  const units = existsSync('/run/systemd/system')
    ? ['apache2', 'caddy', 'etcd', 'haproxy', 'stunnel4'].map((unit) => `${unit}.service`)
    : [];
  const unknown: string[] = [];
  for (const unit of units) if ((await run('systemctl', ['cat', unit])).status !== 0) unknown.push(unit);
  if (unknown.length > 0) await must('systemctl', ['mask', '--quiet', ...unknown]);
  try {
    say(`installs the Debian packages ${missing.join(' ')} and what they depend on`);
    await fetched('the package lists', () => must('apt-get', ['update', '-qq'], { env })).catch((error: Error) =>
      say(error.message),
    );
    for (const name of missing) {
      const options = ['-y', '-qq', '--no-install-recommends', '-o', 'Dpkg::Use-Pty=0'];
      await fetched(name, () => must('apt-get', ['install', ...options, name], { env })).catch((error: Error) =>
        failures.set(name, error.message),
      );
    }
  } finally {
    if (unknown.length > 0) {
      await run('systemctl', ['unmask', '--quiet', ...unknown]);
      await run('systemctl', ['disable', '--quiet', ...unknown]);
    }
  }
  return failures;
}
