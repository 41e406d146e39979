/** The subcommands as data: what they take, and the file that runs each, which is loaded only for that subcommand. */

import { OPTION_NAMES } from '../config.ts';
import type { Arguments, CommandDescription } from './arguments.ts';
import type { Context } from './context.ts';

export interface Command extends CommandDescription {
  load(): Promise<(args: Arguments, context: Context) => Promise<number>>;
}

const CAPTURE_OPTIONS = [
  'socketSource',
  'ringSizeBytes',
  'excludeComm',
  'procRoot',
  'btfPath',
  'logLevel',
  'logFormat',
] as const;

/** The first is what runs when no subcommand is named. */
export const COMMANDS: readonly Command[] = [
  {
    name: 'run',
    summary: 'measure the HTTP traffic of this host and serve it as Prometheus metrics',
    details: [
      'SIGTERM and SIGINT: drain, detach, exit. SIGHUP: read the configuration again; exclude-comm and log-level are',
      'applied, for the others the log asks for a restart. Exit code 2: this host cannot run it, and why.',
    ],
    options: OPTION_NAMES,
    flags: [],
    load: async () => (await import('./run.ts')).run,
  },
  {
    name: 'doctor',
    summary: 'check what this host lacks to run it, with the fix',
    details: ['Exit code 0: all features, 1: degraded, 2: cannot run.'],
    options: ['procRoot', 'btfPath'],
    flags: [{ flag: 'json', help: 'print one JSON object' }],
    load: async () => (await import('./doctor.ts')).doctor,
  },
  {
    name: 'inspect',
    summary: 'show the TLS libraries of a process or a file, and where they would be probed',
    details: [
      'PID|PATH is the number of a process, or a file: ./7 is a file. Nothing is attached; it needs no right to use BPF.',
      'The cost of a probe: emulated (one trap), single-step (two), uretprobe (one more, and a rewritten return address).',
      'Exit code 0: the agent can see its TLS, 1: it cannot, and why.',
    ],
    options: ['procRoot', 'returnProbe'],
    flags: [{ flag: 'json', help: 'print one JSON object' }],
    operand: 'PID|PATH',
    load: async () => (await import('./inspect.ts')).inspect,
  },
  {
    name: 'offsets',
    summary: 'list the tables of structure offsets, or check a file against them',
    details: [
      'list prints what is known of each version and what it was verified on. verify PATH compares the code of a file',
      'with the tables: verified, unverified (its structures are then not read), or contradicted.',
      'Exit code of verify: 0 when verified, else 1.',
    ],
    options: ['procRoot'],
    flags: [{ flag: 'json', help: 'print one JSON object' }],
    operand: 'list|verify',
    secondOperand: 'PATH',
    load: async () => (await import('./offsets.ts')).offsets,
  },
  {
    name: 'tail',
    summary: 'print a line for each finished HTTP transaction',
    details: ['The columns: time, process or pod, role, method, status, duration, scheme, peer.'],
    options: CAPTURE_OPTIONS,
    flags: [
      { flag: 'json', help: 'print a JSON object per line' },
      { flag: 'tls', help: 'only what came through TLS' },
      { flag: 'pid', placeholder: 'N', help: 'only this process' },
    ],
    load: async () => (await import('./tail.ts')).tail,
  },
  {
    name: 'top',
    summary: 'show a live table of services: requests, errors, durations; or of the edges between them',
    details: [
      'Reads the agent that listens at --listen; where none does, it runs one of its own. Keys: e edges, s sort, q quit.',
      'Without a terminal it prints one table after the other. NO_COLOR is respected.',
    ],
    options: ['listen', ...CAPTURE_OPTIONS, 'externalPeers'],
    flags: [
      { flag: 'edges', help: 'begin with the edges' },
      { flag: 'sort', placeholder: 'COLUMN', help: 'requests (the default), errors, p50, p99 or name' },
      { flag: 'interval', placeholder: 'SECONDS', help: 'time between two tables, 2 when not given' },
      { flag: 'count', placeholder: 'N', help: 'end after so many tables' },
      { flag: 'no-color', help: 'no colour, on a terminal either' },
    ],
    load: async () => (await import('./top.ts')).top,
  },
  {
    name: 'record',
    summary: 'write what is captured to a file for replay',
    details: ['Without --include-payload, all but start lines and framing headers is blanked before it is written.'],
    options: [...CAPTURE_OPTIONS, 'tls', 'captureBytes'],
    flags: [
      { flag: 'out', placeholder: 'FILE', help: 'the capture file, which must not exist yet; - for stdout' },
      { flag: 'pid', placeholder: 'N', help: 'only this process' },
      { flag: 'metrics', placeholder: 'FILE', help: 'write what the live run counted, as replay prints it' },
      { flag: 'include-payload', help: 'write what was captured as it is: URLs, header values and bodies too' },
    ],
    load: async () => (await import('./record.ts')).record,
  },
  {
    name: 'replay',
    summary: 'run a capture file through the same pipeline, without kernel and root',
    details: [
      'FILE is a capture file, or - for stdin. Exit code 65: a malformed line, and what came before it is printed.',
    ],
    options: ['buckets', 'maxSeries', 'logLevel', 'logFormat'],
    flags: [
      { flag: 'metrics', help: 'print the metrics at the end (the default)' },
      { flag: 'transactions', help: 'print a JSON object for each transaction' },
    ],
    operand: 'FILE',
    load: async () => (await import('./replay.ts')).replay,
  },
];
