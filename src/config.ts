/**
 * The configuration of the agent: one table of options, from which parsing, `--help` and the documentation come.
 * A value is looked for on the command line, then in the environment, then in the YAML file of `--config`, else it is the
 * default; all four pass through the same parser. What is refused is named by the place it came from.
 *
 * An unknown flag and an unknown key are errors. Unknown variables are not: Kubernetes sets `PLAINSIGHT_PORT` and its
 * like in every pod beside a service of this name. An empty variable counts as unset.
 */

import { closeSync, openSync, readSync } from 'node:fs';
import { isIPv4, isIPv6 } from 'node:net';
import { PlainsightError } from './errors.ts';
import { escapeText, type LogFormat, type LogLevel } from './log.ts';

/** A configuration is a page, not a data set; the limit keeps `--config /dev/zero` from filling the memory. */
const CONFIG_FILE_LIMIT_BYTES = 64 * 1024;
/** What one exclusion costs is a slot of a BPF map and a line of the status. */
const EXCLUDE_COMM_LIMIT = 64;
const NAMESPACES_LIMIT = 256;
/** Each is a prefix in a BPF map, and a DNS name up to 16 of them. */
const EXTERNAL_PEERS_LIMIT = 48;
/** Every bucket is a counter in every series of every histogram. */
const BUCKETS_LIMIT = 64;
/** TASK_COMM_LEN of include/linux/sched.h (v6.12) less its terminating zero. */
const COMM_LENGTH_BYTES = 15;

/** What a parser answers to a value that is not allowed; `allowed` of its option says what is. */
export const REFUSED = Symbol('refused');
type Parsed<T> = T | typeof REFUSED;

export interface Option<T> {
  /** `--flag` on the command line, and the key in the YAML file. */
  readonly flag: string;
  /** Stands for the value in `--help`. */
  readonly placeholder: string;
  readonly help: string;
  /** The allowed values, in words that end the sentence "give ...". */
  readonly allowed: string;
  /** The default, as text. */
  readonly fallback: string;
  /** True where SIGHUP applies a change; the others want a restart. */
  readonly reloadable: boolean;
  parse(text: string): Parsed<T>;
}

function option<T>(definition: Omit<Option<T>, 'reloadable'> & { reloadable?: true }): Option<T> {
  return { ...definition, reloadable: definition.reloadable === true };
}

function oneOf<const T extends string>(...values: T[]) {
  return {
    placeholder: values.join('|'),
    allowed: values.join(', '),
    parse: (text: string): Parsed<T> => values.find((value) => value === text) ?? REFUSED,
  };
}

function integer(min: number, max: number) {
  return {
    placeholder: 'N',
    allowed: `an integer from ${min} to ${max}`,
    parse: (text: string): Parsed<number> => {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? value : REFUSED;
    },
  };
}

function splitList(text: string): string[] {
  return text === '' ? [] : text.split(',').map((item) => item.trim());
}

export interface ListenAddress {
  /** An IPv6 address is without its brackets. */
  readonly host: string;
  readonly port: number;
}

function parseListen(text: string): Parsed<ListenAddress> {
  const [, v6, name, digits] = /^(?:\[([^\]]*)\]|([A-Za-z0-9._-]{1,253})):(\d{1,5})$/.exec(text) ?? [];
  const host = v6 ?? name;
  const port = Number(digits);
  if (host === undefined || port > 65535 || (v6 !== undefined && !isIPv6(v6))) return REFUSED;
  return { host, port };
}

function parseBuckets(text: string): Parsed<readonly number[]> {
  const bounds = splitList(text).map((item) => (/^\d+(\.\d+)?(e[-+]?\d+)?$/i.test(item) ? Number(item) : Number.NaN));
  if (bounds.length === 0 || bounds.length > BUCKETS_LIMIT) return REFUSED;
  for (let i = 0; i < bounds.length; i++) {
    if (!(Number.isFinite(bounds[i]) && bounds[i]! > (bounds[i - 1] ?? 0))) return REFUSED;
  }
  return bounds;
}

const SIZE_UNITS: Readonly<Record<string, number>> = { '': 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };
const RING_SIZE_MIN_BYTES = 256 * 2 ** 10;
const RING_SIZE_MAX_BYTES = 2 ** 30;

function parseRingSize(text: string): Parsed<number> {
  const [, digits, unit] = /^(\d{1,10})(KiB|MiB|GiB|)$/.exec(text) ?? [];
  const sizeBytes = Number(digits) * (SIZE_UNITS[unit ?? ''] ?? 1);
  if (!(sizeBytes >= RING_SIZE_MIN_BYTES && sizeBytes <= RING_SIZE_MAX_BYTES)) return REFUSED;
  return Number.isInteger(Math.log2(sizeBytes)) ? sizeBytes : REFUSED;
}

function parseExcludeComm(text: string): Parsed<readonly string[]> {
  const names = [...new Set(splitList(text))];
  const fits = (name: string) => name !== '' && Buffer.byteLength(name) <= COMM_LENGTH_BYTES && !/\p{Cc}/u.test(name);
  return names.length <= EXCLUDE_COMM_LIMIT && names.every(fits) ? names : REFUSED;
}

/** An address range, or a DNS name whose addresses are looked up. */
export interface ExternalPeer {
  /** As it was written: the value of the label. */
  readonly name: string;
  readonly address: string | undefined;
  readonly prefixBits: number;
}

function parseExternalPeers(text: string): Parsed<readonly ExternalPeer[]> {
  const peers = splitList(text).map(parseExternalPeer);
  return peers.length <= EXTERNAL_PEERS_LIMIT && peers.every((peer) => peer !== undefined) ? peers : REFUSED;
}

function parseExternalPeer(name: string): ExternalPeer | undefined {
  const [, address = '', digits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(name) ?? [];
  const width = isIPv4(address) ? 32 : isIPv6(address) ? 128 : 0;
  if (width > 0) {
    const prefixBits = digits === undefined ? width : Number(digits);
    return prefixBits <= width ? { name, address, prefixBits } : undefined;
  }
  const isName = digits === undefined && name.length <= 253 && /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i.test(name);
  // A number with dots is an address that was mistyped.
  return isName && !/^[\d.]+$/.test(name) ? { name, address: undefined, prefixBits: 0 } : undefined;
}

function parseFolder(text: string): Parsed<string> {
  if (!text.startsWith('/') || text.includes('\0')) return REFUSED;
  return text.replace(/(?<=.)\/+$/, '');
}

/** RFC 1123 label, as namespaces are named. */
const NAMESPACE = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

function parseNamespaces(text: string): Parsed<readonly string[]> {
  const names = [...new Set(splitList(text))];
  return names.length <= NAMESPACES_LIMIT && names.every((name) => NAMESPACE.test(name)) ? names : REFUSED;
}

/** RFC 1123 subdomain, as nodes are named. */
const NODE_NAME = /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$/;

const namespaceList = {
  placeholder: 'A,B,C',
  allowed: `up to ${NAMESPACES_LIMIT} names of namespaces, separated by commas`,
  fallback: '',
  reloadable: true,
  parse: parseNamespaces,
} as const;

/** Name in `Config` -> option. In the order of `--help`. */
export const OPTIONS = {
  listen: option({
    flag: 'listen',
    placeholder: 'HOST:PORT',
    help: 'where /metrics, /healthz, /readyz and /api/status are served',
    allowed: 'HOST:PORT with a port from 0 (any free one) to 65535, e.g. 127.0.0.1:9090 or [::1]:9090',
    fallback: '127.0.0.1:9090',
    parse: parseListen,
  }),
  buckets: option({
    flag: 'buckets',
    placeholder: 'A,B,C',
    help: 'upper bounds of the duration histograms, in seconds',
    allowed: `1 to ${BUCKETS_LIMIT} ascending positive numbers of seconds, e.g. 0.01,0.1,1`,
    fallback: '0.001,0.0025,0.005,0.01,0.025,0.05,0.1,0.25,0.5,1,2.5,5,10',
    parse: parseBuckets,
  }),
  socketSource: option({
    flag: 'socket-source',
    ...oneOf('auto', 'socket', 'syscall', 'off'),
    help: 'how unencrypted traffic is captured: at the sockets (6.3+), at the system calls, or not',
    fallback: 'auto',
  }),
  tls: option({
    flag: 'tls',
    ...oneOf('auto', 'off'),
    help: 'whether TLS libraries are probed',
    fallback: 'auto',
  }),
  tcp: option({
    flag: 'tcp',
    ...oneOf('auto', 'off'),
    help: 'whether TCP connections are watched: opened, failed, retransmits, bytes, times',
    fallback: 'auto',
  }),
  externalPeers: option({
    flag: 'external-peers',
    placeholder: 'CIDR,NAME',
    help: 'peers outside of this node that get a name of their own; all others are `external`',
    allowed: `up to ${EXTERNAL_PEERS_LIMIT} of: an address, an address with a prefix length as 192.0.2.0/24, a DNS name`,
    fallback: '',
    parse: parseExternalPeers,
  }),
  returnProbe: option({
    flag: 'return-probe',
    ...oneOf('auto', 'sites', 'uretprobe'),
    help: 'how the return of a TLS function is seen: at its exits where that is complete, only there, or by uretprobe',
    fallback: 'auto',
  }),
  ringSizeBytes: option({
    flag: 'ring-size',
    placeholder: 'BYTES',
    help: 'size of the ring buffer between the kernel and the agent',
    allowed: 'a power of two from 256KiB to 1GiB, e.g. 16MiB or 16777216',
    fallback: '16MiB',
    parse: parseRingSize,
  }),
  captureBytes: option({
    flag: 'capture-bytes',
    ...integer(64, 16384),
    help: 'how much of one message is copied at most; of the rest only the length is kept',
    fallback: '8192',
  }),
  maxSeries: option({
    flag: 'max-series',
    ...integer(1, 1_000_000),
    help: 'label sets kept of one metric; what is beyond goes to one overflow series',
    fallback: '10000',
  }),
  excludeComm: option({
    flag: 'exclude-comm',
    placeholder: 'A,B,C',
    help: 'names of processes (as in /proc/PID/comm) of which nothing is captured',
    allowed: `up to ${EXCLUDE_COMM_LIMIT} names of 1 to ${COMM_LENGTH_BYTES} bytes each, separated by commas`,
    fallback: '',
    reloadable: true,
    parse: parseExcludeComm,
  }),
  includeNamespaces: option({
    flag: 'include-namespace',
    help: 'Kubernetes namespaces of which alone anything is captured; without it, all',
    ...namespaceList,
  }),
  excludeNamespaces: option({
    flag: 'exclude-namespace',
    help: 'Kubernetes namespaces of which nothing is captured',
    ...namespaceList,
  }),
  kubernetes: option({
    flag: 'kubernetes',
    ...oneOf('auto', 'on', 'off'),
    help: 'whether pods are looked up: where the agent is a pod itself, also by a kubeconfig file, or not',
    fallback: 'auto',
  }),
  nodeName: option({
    flag: 'node-name',
    placeholder: 'NAME',
    help: 'the name of this node in Kubernetes; without it, the name of the host',
    allowed: 'the name of a node as kubectl shows it',
    fallback: '',
    parse: (text: string): Parsed<string> => (NODE_NAME.test(text) ? text : REFUSED),
  }),
  procRoot: option({
    flag: 'proc-root',
    placeholder: 'FOLDER',
    help: "the host's /proc, e.g. /host/proc in a container",
    allowed: 'an absolute path',
    fallback: '/proc',
    parse: parseFolder,
  }),
  btfPath: option({
    flag: 'btf-path',
    placeholder: 'FILE',
    help: 'type information (BTF) of the running kernel; without it, /sys/kernel/btf/vmlinux',
    allowed: 'a path',
    fallback: '',
    parse: (text: string): Parsed<string | undefined> => (text.includes('\0') ? REFUSED : text || undefined),
  }),
  logLevel: option({
    flag: 'log-level',
    ...oneOf<LogLevel>('error', 'warn', 'info', 'debug'),
    help: 'the least important messages that are logged',
    fallback: 'info',
    reloadable: true,
  }),
  logFormat: option({
    flag: 'log-format',
    ...oneOf<LogFormat>('text', 'json'),
    help: 'how messages are written to stderr',
    fallback: 'text',
  }),
};

export type OptionName = keyof typeof OPTIONS;
export type Config = {
  readonly [Name in OptionName]: Exclude<ReturnType<(typeof OPTIONS)[Name]['parse']>, typeof REFUSED>;
};

export const OPTION_NAMES = Object.keys(OPTIONS) as OptionName[];

/** `exclude-comm` -> `PLAINSIGHT_EXCLUDE_COMM` */
export function environmentName(flag: string): string {
  return `PLAINSIGHT_${flag.toUpperCase().replaceAll('-', '_')}`;
}

/** A value from outside, fit for one line of a message: escaped, cut, in quotes. */
export function quoteValue(text: string): string {
  return `'${escapeText(text.length > 60 ? `${text.slice(0, 60)}…` : text)}'`;
}

export interface ConfigSources {
  /** flag without its dashes -> value, from the command line */
  readonly flags: ReadonlyMap<string, string>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

interface Value {
  readonly text: string;
  /** The flag, variable, or file and key. */
  readonly from: string;
}

/**
 * The configuration from the command line, the environment, the file and the defaults.
 * @throws PlainsightError USAGE with one line that names the flag, variable, key or file, and what is allowed.
 */
export async function loadConfig(sources: ConfigSources): Promise<Config> {
  const path = outerValue(sources, 'config');
  const file = path === undefined ? new Map<string, Value>() : await readConfigFile(path);
  const config: Record<string, unknown> = {};
  for (const name of OPTION_NAMES) {
    const { flag, parse, allowed, fallback } = OPTIONS[name];
    const value = outerValue(sources, flag) ?? file.get(flag) ?? { text: fallback, from: 'the default' };
    const parsed = parse(value.text);
    if (parsed === REFUSED) {
      throw new PlainsightError('USAGE', `${value.from}: ${quoteValue(value.text)} is not allowed; give ${allowed}`);
    }
    config[name] = parsed;
  }
  return config as Config;
}

function outerValue({ flags, env }: ConfigSources, flag: string): Value | undefined {
  const fromFlag = flags.get(flag);
  if (fromFlag !== undefined) return { text: fromFlag, from: `--${flag}` };
  const variable = environmentName(flag);
  const fromEnv = env[variable];
  return fromEnv ? { text: fromEnv, from: variable } : undefined;
}

async function readConfigFile(path: Value): Promise<Map<string, Value>> {
  const name = quoteValue(path.text);
  const text = readBounded(path);
  const { load, FAILSAFE_SCHEMA } = await import('js-yaml');
  let document: unknown;
  try {
    // The failsafe schema knows strings, lists and maps only: every value reaches its parser as it was written.
    document = load(text, { schema: FAILSAFE_SCHEMA });
  } catch (cause) {
    const { reason, mark } = cause as { reason?: string; mark?: { line: number } };
    const where = mark ? `, line ${mark.line + 1}` : '';
    throw new PlainsightError('USAGE', `${path.from}: ${name} is not YAML: ${reason ?? 'unreadable'}${where}`, {
      cause,
    });
  }
  const values = new Map<string, Value>();
  if (document === undefined || document === null || document === '') return values;
  if (typeof document !== 'object' || Array.isArray(document)) {
    throw new PlainsightError('USAGE', `${path.from}: ${name} is not a map of keys to values`);
  }
  const known = OPTION_NAMES.map((option) => OPTIONS[option].flag);
  for (const [key, value] of Object.entries(document)) {
    const from = `${path.text}: ${key}`;
    if (!known.includes(key)) {
      throw new PlainsightError(
        'USAGE',
        `${path.text}: unknown key ${quoteValue(key)}; the keys are ${known.join(', ')}`,
      );
    }
    const isList = Array.isArray(value) && value.every((item) => typeof item === 'string');
    if (typeof value !== 'string' && !isList) {
      throw new PlainsightError('USAGE', `${from}: neither a value nor a list of values`);
    }
    values.set(key, { text: isList ? value.join(',') : value, from });
  }
  return values;
}

function readBounded(path: Value): string {
  const bytes = Buffer.alloc(CONFIG_FILE_LIMIT_BYTES + 1);
  let filled = 0;
  try {
    const file = openSync(path.text, 'r');
    try {
      for (let count = -1; count !== 0 && filled < bytes.length; filled += count) {
        count = readSync(file, bytes, filled, bytes.length - filled, null);
      }
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const message = `${path.from}: ${quoteValue(path.text)} cannot be read (${code}); give a readable YAML file`;
    throw new PlainsightError('USAGE', message, { cause });
  }
  if (filled > CONFIG_FILE_LIMIT_BYTES) {
    const message = `${path.from}: ${quoteValue(path.text)} is larger than ${CONFIG_FILE_LIMIT_BYTES} bytes`;
    throw new PlainsightError('USAGE', message);
  }
  return bytes.toString('utf8', 0, filled);
}

export interface Reload {
  /** `current` with the reloadable options of `next`. */
  readonly config: Config;
  /** Flags whose new value is in `config`. */
  readonly applied: readonly string[];
  /** Flags that differ in `next` and want a restart. */
  readonly restart: readonly string[];
}

/** What a running agent takes over from a configuration that was read again. */
export function mergeReloaded(current: Config, next: Config): Reload {
  const config: Record<string, unknown> = { ...current };
  const applied: string[] = [];
  const restart: string[] = [];
  for (const name of OPTION_NAMES) {
    if (JSON.stringify(current[name]) === JSON.stringify(next[name])) continue;
    const { reloadable, flag } = OPTIONS[name];
    if (reloadable) config[name] = next[name];
    (reloadable ? applied : restart).push(flag);
  }
  return { config: config as Config, applied, restart };
}
