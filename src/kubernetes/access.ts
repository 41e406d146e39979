/**
 * How the API server is reached, and as whom: the service account of a pod, or the current context of a kubeconfig file.
 * Credentials are read again for each request, as kubelet renews them: a token lives an hour. They go into requests and
 * nowhere else: no message holds one.
 *
 * Refused with a message: exec and auth-provider plugins, which run programs as whoever runs the agent (root).
 */

import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { PlainsightError } from '../errors.ts';
import { field, text } from './json-fields.ts';

/** What one request needs. */
export interface Credentials {
  readonly token: string | undefined;
  /** PEM; undefined: the certificates that Node.js brings. */
  readonly authority: Buffer | undefined;
  readonly certificate: Buffer | undefined;
  readonly key: Buffer | undefined;
}

export interface Access {
  /** `https://host:port`, with a path where the server is behind one, without a slash at the end. */
  readonly server: string;
  /** What the certificate must be for, where it is not the host of `server`. */
  readonly serverName: string | undefined;
  /** False only where the kubeconfig says so. */
  readonly verifies: boolean;
  /** @throws PlainsightError FILE when a file cannot be read. */
  credentials(): Credentials;
}

type Environment = Readonly<Record<string, string | undefined>>;

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** A kubeconfig with dozens of clusters and their certificates. */
const FILE_LIMIT_BYTES = 4 * 1024 * 1024;

/** Whether this process runs in a pod with a service account. */
export function isInCluster(env: Environment, folder = SERVICE_ACCOUNT): boolean {
  if (!env.KUBERNETES_SERVICE_HOST) return false;
  try {
    return statSync(join(folder, 'token')).isFile();
  } catch {
    return false;
  }
}

/** The service account of this pod. The address is that of the service `kubernetes`, from the environment. */
export function inClusterAccess(env: Environment, folder = SERVICE_ACCOUNT): Access {
  const host = env.KUBERNETES_SERVICE_HOST ?? '';
  const port = env.KUBERNETES_SERVICE_PORT_HTTPS ?? env.KUBERNETES_SERVICE_PORT ?? '443';
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    serverName: undefined,
    verifies: true,
    credentials: () => ({
      token: read(join(folder, 'token')).toString('latin1').trim(),
      authority: read(join(folder, 'ca.crt')),
      certificate: undefined,
      key: undefined,
    }),
  };
}

/**
 * The current context of the file that KUBECONFIG names (the first, where it names several), or of ~/.kube/config.
 * @throws PlainsightError USAGE naming the file and what is missing in it.
 */
export async function kubeconfigAccess(env: Environment): Promise<Access> {
  const path = (env.KUBECONFIG ?? '').split(':').find((part) => part !== '') ?? join(homedir(), '.kube', 'config');
  const { load } = await import('js-yaml');
  let config: unknown;
  try {
    config = load(read(path).toString('utf8'));
  } catch (cause) {
    throw refusal(path, cause instanceof PlainsightError ? 'it cannot be read' : 'it is not YAML', cause);
  }
  const name = text(field(config, 'current-context'));
  if (name === undefined) throw refusal(path, 'it has no current-context');
  const context = entry(path, config, 'contexts', name, 'context');
  const cluster = entry(path, config, 'clusters', text(field(context, 'cluster')) ?? '', 'cluster');
  const user = entry(path, config, 'users', text(field(context, 'user')) ?? '', 'user');
  const server = text(field(cluster, 'server'))?.replace(/\/+$/, '');
  if (server === undefined || !/^https:\/\/./.test(server)) throw refusal(path, 'its server is no https:// address');
  if (field(user, 'exec') !== undefined || field(user, 'auth-provider') !== undefined) {
    throw refusal(path, 'its user needs a plugin, which is not run; give it a token or a client certificate');
  }
  const file = (name: string | undefined) =>
    name === undefined ? undefined : () => read(isAbsolute(name) ? name : join(dirname(path), name));
  const data = (value: string | undefined) => (value === undefined ? undefined : () => Buffer.from(value, 'base64'));
  const either = (from: unknown, key: string) => data(text(field(from, `${key}-data`))) ?? file(text(field(from, key)));
  const token = text(field(user, 'token'));
  const tokenFile = file(text(field(user, 'tokenFile')));
  const authority = either(cluster, 'certificate-authority');
  const certificate = either(user, 'client-certificate');
  const key = either(user, 'client-key');
  return {
    server,
    serverName: text(field(cluster, 'tls-server-name')),
    verifies: field(cluster, 'insecure-skip-tls-verify') !== true,
    credentials: () => ({
      token: tokenFile === undefined ? token : tokenFile().toString('latin1').trim(),
      authority: authority?.(),
      certificate: certificate?.(),
      key: key?.(),
    }),
  };
}

function entry(path: string, config: unknown, list: string, name: string, kind: string): unknown {
  const entries = field(config, list);
  const found = Array.isArray(entries) ? entries.find((item) => field(item, 'name') === name) : undefined;
  const value = field(found, kind);
  if (value === undefined || value === null) throw refusal(path, `the ${kind} of its current-context is not in it`);
  return value;
}

function refusal(path: string, reason: string, cause?: unknown): PlainsightError {
  return new PlainsightError('USAGE', `the kubeconfig ${path} cannot be used: ${reason}`, { cause });
}

function read(path: string): Buffer {
  try {
    if (statSync(path).size > FILE_LIMIT_BYTES) throw new RangeError('too large');
    return readFileSync(path);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'too large';
    throw new PlainsightError('FILE', `cannot read ${path} (${reason}); the API server is asked with what it holds`, {
      cause,
    });
  }
}
