/**
 * One suite of the Debian archive, for one architecture, through an apt configuration of its own in the cache folder.
 * Nothing of it touches the system's package lists or packages: it lists names, downloads files, unpacks them.
 */

import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DebianArchitecture } from './architecture.ts';
import { CACHE, fetched, must, NotFetched, run, say, withTemporary } from './host.ts';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
/** Package lists are read again after a day. */
const LISTS_MAX_AGE_MS = 24 * 3600 * 1000;

/** The mirror of Debian that this host uses. @throws NotFetched when it uses none. */
async function findMirror(): Promise<string> {
  const { stdout } = await run('apt-get', [
    'indextargets',
    '--format',
    '$(REPO_URI)',
    'Label: Debian',
    'Created-By: Packages',
  ]);
  const mirror = stdout.split('\n').find((line) => /^https?:/.test(line));
  if (mirror === undefined) throw new NotFetched('apt on this host knows no mirror of Debian; add one to its sources');
  return mirror;
}

export interface AptConfiguration {
  /** A line for sources.list. */
  readonly source: string;
  /** The same for source packages. */
  readonly sourcePackages: string;
  /** How this host reaches its archive (proxies, checks of dates): lines of apt.conf. */
  readonly transport: string;
}

export async function configureApt(suite: string, architecture: DebianArchitecture): Promise<AptConfiguration> {
  const { stdout } = await run('apt-config', ['dump']);
  const transport = stdout.split('\n').filter((line) => /^Acquire::(http|https|Check)/.test(line));
  const keyring = existsSync(KEYRING) ? ` signed-by=${KEYRING}` : '';
  const rest = `[arch=${architecture}${keyring}] ${await findMirror()} ${suite} main`;
  return {
    source: `deb ${rest}`,
    sourcePackages: `deb-src ${rest}`,
    transport: `${transport.join('\n')}\n`,
  };
}

export class Archive {
  readonly suite: string;
  /** For programs that call apt themselves. */
  readonly env: NodeJS.ProcessEnv;

  private constructor(suite: string, folder: string) {
    this.suite = suite;
    this.env = { ...process.env, APT_CONFIG: join(folder, 'apt.conf'), LC_ALL: 'C' };
  }

  /** With package lists not older than a day. @throws NotFetched */
  static async open(suite: string, architecture: DebianArchitecture): Promise<Archive> {
    const { source, transport } = await configureApt(suite, architecture);
    return Archive.#open(`${suite}-${architecture}`, suite, architecture, source, transport);
  }

  /** Of the suite's source packages. @throws NotFetched */
  static async openSources(suite: string): Promise<Archive> {
    const { sourcePackages, transport } = await configureApt(suite, 'amd64');
    return Archive.#open(`${suite}-source`, suite, 'amd64', sourcePackages, transport);
  }

  static async #open(
    name: string,
    suite: string,
    architecture: DebianArchitecture,
    source: string,
    transport: string,
  ): Promise<Archive> {
    const folder = join(CACHE, 'apt', name);
    for (const part of ['lists/partial', 'cache/archives/partial']) mkdirSync(join(folder, part), { recursive: true });
    writeFileSync(join(folder, 'sources.list'), `${source}\n`);
    writeFileSync(join(folder, 'status'), '');
    writeFileSync(
      join(folder, 'apt.conf'),
      `Dir::Etc::Main "/dev/null";
Dir::Etc::Parts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::SourceList "${folder}/sources.list";
Dir::State "${folder}";
Dir::State::Lists "${folder}/lists";
Dir::State::Status "${folder}/status";
Dir::Cache "${folder}/cache";
APT::Architecture "${architecture}";
APT::Architectures { "${architecture}"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
${transport}`,
    );
    const archive = new Archive(suite, folder);
    const stamp = join(folder, 'updated');
    if (!existsSync(stamp) || Date.now() - statSync(stamp).mtimeMs > LISTS_MAX_AGE_MS) {
      say(`reads the package lists of ${suite}`);
      await fetched(`the package lists of ${suite}`, () =>
        must('apt-get', ['update', '-qq', '-o', 'APT::Update::Error-Mode=any'], { env: archive.env }),
      );
      writeFileSync(stamp, '');
    }
    return archive;
  }

  /** Names that match as a whole, oldest first by their numbers. */
  async find(pattern: string): Promise<string[]> {
    const whole = new RegExp(`^(?:${pattern})$`);
    const names = await must('apt-cache', ['pkgnames'], { env: this.env });
    const compare = new Intl.Collator('en', { numeric: true }).compare;
    return names
      .split('\n')
      .filter((name) => whole.test(name))
      .sort(compare);
  }

  /** Version of the package that would be downloaded. */
  async version(name: string): Promise<string> {
    const text = await must('apt-cache', ['show', '--no-all-versions', name], { env: this.env });
    return /^Version: (\S+)$/m.exec(text)?.[1] ?? 'unknown';
  }

  /**
   * Downloads a source package and unpacks it, patched, as the folder: the newest that the mirror still holds, for one may
   * be listed that is not there yet. Returns its version. @throws NotFetched
   */
  async unpackSource(name: string, folder: string): Promise<string> {
    const text = await must('apt-cache', ['showsrc', '--only-source', name], { env: this.env });
    const listed = [...text.matchAll(/^Version: (\S+)$/gm)].map(([, version]) => version!);
    const compare = new Intl.Collator('en', { numeric: true }).compare;
    let failure: unknown = new NotFetched(`${this.suite} lists no source of ${name}`);
    for (const version of listed.sort(compare).reverse()) {
      try {
        await withTemporary(join(CACHE, 'download'), async (downloads) => {
          mkdirSync(downloads, { recursive: true });
          const wanted = ['source', '--download-only', '-qq', `${name}=${version}`];
          await fetched(`the source of ${name} ${version}`, () =>
            must('apt-get', wanted, { env: this.env, cwd: downloads }),
          );
          const description = readdirSync(downloads).find((file) => file.endsWith('.dsc'))!;
          await must('dpkg-source', ['--no-check', '--no-copy', '--extract', join(downloads, description), folder]);
        });
        return version;
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  /** Downloads the packages and unpacks them below the folder. @throws NotFetched */
  async unpack(names: readonly string[], folder: string): Promise<void> {
    await withTemporary(join(CACHE, 'download'), async (downloads) => {
      mkdirSync(downloads, { recursive: true });
      mkdirSync(folder, { recursive: true });
      await fetched(names.join(' '), () =>
        must('apt-get', ['download', '-qq', ...names], { env: this.env, cwd: downloads }),
      );
      for (const file of readdirSync(downloads)) await must('dpkg', ['-x', join(downloads, file), folder]);
    });
  }
}
