/**
 * How the API server is reached, and as whom: the service account of a pod, or the current context of kubeconfig files, as
 * KubeConfig of @kubernetes/client-node reads and applies them: certificates, tokens, proxies, exec plugins, OpenID Connect.
 * Credentials are read again for each request, as kubelet renews them: a token lives an hour. What a plugin gave is kept as
 * long as it says. They go into requests and nowhere else: no message holds one.
 *
 * Refused with a message: a server without TLS, and the plugins `gcp` and `azure`, which Kubernetes 1.26 removed.
 * Limits: one plugin runs at a time, and is waited for 20 s.
 */

import { readFileSync, statSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { load } from 'js-yaml';
import { KubeConfig } from '#client-node';
import { PlainsightError } from '../errors.ts';
import { field, items, text } from './json-fields.ts';

/** What one request needs. */
export interface Presented {
  /** `https://host:port`, with a path where the server is behind one, without a slash at the end. */
  readonly server: string;
  /** Certificates, headers, and an agent of its own that keeps no connection. */
  readonly options: RequestOptions;
}

type Environment = Readonly<Record<string, string | undefined>>;

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** A kubeconfig with dozens of clusters and their certificates. */
const FILE_LIMIT_BYTES = 4 * 1024 * 1024;
const PLUGIN_MS = 20_000;
/** What the API calls exec plugins by ("client-go credential plugins"), where the file does not say. */
const EXEC_VERSION = 'client.authentication.k8s.io/v1';

export class Access {
  readonly #read: () => KubeConfig;
  /** One whose plugin remembers what it was given. */
  #kept: KubeConfig | undefined;
  #asking: Promise<Presented> | undefined;

  /** `read` is called whenever what it read may have changed; it throws when a file cannot be used. */
  constructor(read: () => KubeConfig) {
    this.#read = read;
  }

  /** Rejects when a file cannot be read, or a plugin gives nothing. */
  async present(): Promise<Presented> {
    // All who ask meanwhile share the answer: a plugin that hangs is not started again by each of them.
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('the plugin gives no credentials in time')), PLUGIN_MS);
    });
    return Promise.race([this.#asking, late]).finally(() => clearTimeout(timer));
  }

  /** The server did not accept what was presented: a plugin is asked anew. */
  refused(): void {
    this.#kept = undefined;
  }

  async #ask(): Promise<Presented> {
    const config = this.#kept ?? this.#read();
    const user = config.getCurrentUser();
    const provider = text(field(user?.authProvider, 'name'));
    const remembers = user?.exec !== undefined || (provider !== undefined && provider !== TOKEN_FILE);
    this.#kept = remembers ? config : undefined;
    // Said outright, lest NODE_TLS_REJECT_UNAUTHORIZED decides.
    const options: RequestOptions = { headers: {}, rejectUnauthorized: true };
    await config.applyToHTTPSOptions(options);
    const headers = options.headers as Record<string, string>;
    // Files end with a line feed.
    if (headers.Authorization !== undefined) headers.Authorization = headers.Authorization.trim();
    return { server: config.getCurrentCluster()!.server, options };
  }
}

/** Whether this process runs in a pod with a service account. */
export function isInCluster(env: Environment, folder = SERVICE_ACCOUNT): boolean {
  if (!env.KUBERNETES_SERVICE_HOST) return false;
  try {
    return statSync(join(folder, 'token')).isFile();
  } catch {
    return false;
  }
}

/** By which KubeConfig knows a token that lies in a file. */
const TOKEN_FILE = 'tokenFile';

/** The service account of this pod. The address is that of the service `kubernetes`, from the environment. */
export function inClusterAccess(env: Environment, folder = SERVICE_ACCOUNT): Access {
  const host = env.KUBERNETES_SERVICE_HOST ?? '';
  const port = env.KUBERNETES_SERVICE_PORT_HTTPS ?? env.KUBERNETES_SERVICE_PORT ?? '443';
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
  // loadFromCluster() would speak plain HTTP where the port is 80, 8080 or 8001.
  return new Access(() => {
    const config = new KubeConfig();
    config.loadFromClusterAndUser(
      { name: 'in-cluster', server, caFile: join(folder, 'ca.crt'), skipTLSVerify: false },
      { name: 'in-cluster', authProvider: { name: TOKEN_FILE, config: { tokenFile: join(folder, 'token') } } },
    );
    return config;
  });
}

/**
 * The current context of the files that KUBECONFIG names, or of ~/.kube/config. Of entries with the same name the first counts.
 * @throws PlainsightError USAGE naming the file and what is wrong with it, FILE when it cannot be read.
 */
export function kubeconfigAccess(env: Environment): Access {
  const named = (env.KUBECONFIG ?? '').split(':').filter((part) => part !== '');
  const paths = named.length > 0 ? named : [join(homedir(), '.kube', 'config')];
  const read = () => readKubeconfig(paths);
  read();
  return new Access(read);
}

function readKubeconfig(paths: readonly string[]): KubeConfig {
  const config = new KubeConfig();
  for (const path of paths) {
    const one = new KubeConfig();
    try {
      one.loadFromString(JSON.stringify(prepare(path)));
    } catch (cause) {
      if (cause instanceof PlainsightError) throw cause;
      // Its own words say which entry lacks what; other errors could quote the file.
      const said =
        (cause as Error).constructor === Error ? (cause as Error).message : 'an entry is not what it should be';
      throw refusal(path, said, cause);
    }
    one.makePathsAbsolute(dirname(path));
    one.clusters = one.clusters.filter(({ name }) => config.getCluster(name) === null);
    one.users = one.users.filter(({ name }) => config.getUser(name) === null);
    one.contexts = one.contexts.filter(({ name }) => config.getContextObject(name) === null);
    config.mergeConfig(one, config.currentContext !== undefined);
  }
  check(paths[0]!, config);
  return config;
}

/** What KubeConfig 1.4.0 leaves to others: `tokenFile`, plugins beside the file, and what they are told. */
function prepare(path: string): unknown {
  let document: unknown;
  try {
    document = load(read(path));
  } catch (cause) {
    // The reason would quote the file.
    throw refusal(path, cause instanceof PlainsightError ? 'it cannot be read' : 'it is not YAML', cause);
  }
  if (text(field(document, 'current-context')) === undefined && items(field(document, 'contexts')).length === 0) {
    throw refusal(path, 'it has neither contexts nor a current-context');
  }
  const absolute = (name: string) => (isAbsolute(name) ? name : join(dirname(path), name));
  for (const entry of items(field(document, 'users'))) {
    const user = field(entry, 'user') as Record<string, unknown> | undefined;
    const tokenFile = text(field(user, TOKEN_FILE));
    if (user && tokenFile !== undefined) {
      user['auth-provider'] = { name: TOKEN_FILE, config: { [TOKEN_FILE]: absolute(tokenFile) } };
      // It counts more than a token beside it.
      delete user.token;
    }
    const exec = field(user, 'exec') as Record<string, unknown> | undefined;
    const command = text(field(exec, 'command'));
    if (!exec || command === undefined) continue;
    if (command.includes('/')) exec.command = absolute(command);
    const apiVersion = text(exec.apiVersion) ?? EXEC_VERSION;
    const told = { apiVersion, kind: 'ExecCredential', spec: { interactive: false } };
    exec.env = [...items(exec.env), { name: 'KUBERNETES_EXEC_INFO', value: JSON.stringify(told) }];
  }
  return document;
}

function check(path: string, config: KubeConfig): void {
  if (text(config.currentContext) === undefined) throw refusal(path, 'it has no current-context');
  const context = config.getContextObject(config.currentContext);
  const cluster = context && config.getCluster(context.cluster);
  const user = context && config.getUser(context.user);
  for (const [kind, found] of Object.entries({ context, cluster, user })) {
    if (!found) throw refusal(path, `the ${kind} of its current-context is not in it`);
  }
  if (!/^https:\/\/./.test(cluster!.server)) throw refusal(path, 'its server is no https:// address');
  const provider = user!.authProvider as unknown;
  if (provider && !['oidc', TOKEN_FILE].includes(text(field(provider, 'name')) ?? '')) {
    throw refusal(
      path,
      'its user needs a plugin that Kubernetes no longer has; give it `exec`, a token or a certificate',
    );
  }
}

function refusal(path: string, reason: string, cause?: unknown): PlainsightError {
  return new PlainsightError('USAGE', `the kubeconfig ${path} cannot be used: ${reason}`, { cause });
}

function read(path: string): string {
  try {
    if (statSync(path).size > FILE_LIMIT_BYTES) throw new RangeError('too large');
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'too large';
    throw new PlainsightError('FILE', `cannot read ${path} (${reason}); the API server is asked with what it holds`, {
      cause,
    });
  }
}
