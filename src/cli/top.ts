/**
 * `top`: a live table of services, or of the edges between them. It reads the endpoints of the agent that listens at
 * `--listen`; where none does, it starts one of its own for as long as it runs, at a free port of loopback. On a terminal
 * each frame overwrites the last one; elsewhere the frames are printed one after the other, without colour.
 */

import { isIPv6 } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { PlainsightError } from '../errors.ts';
import type { Arguments } from './arguments.ts';
import type { Context } from './context.ts';
import { Lifetime } from './lifetime.ts';
import { Output } from './output.ts';
import { prepare, runAgent } from './start.ts';
import { type ExpositionCounts, frame, type GraphEdge, readExposition, SORTS, type Sort } from './top-table.ts';

const DEFAULT_INTERVAL_S = 2;
const FETCH_LIMIT_MS = 5000;
/** More than 10,000 series of 14 buckets take; an endpoint of ours never sends more. */
const ANSWER_LIMIT_BYTES = 256 * 1024 * 1024;
const DEFAULT_WIDTH = 80;
const DEFAULT_HEIGHT = 24;
const CLEAR = '\x1b[H\x1b[2J';

export async function top(args: Arguments, context: Context): Promise<number> {
  const intervalMs = 1000 * number(args, 'interval', DEFAULT_INTERVAL_S, 1, 3600);
  const frames = number(args, 'count', 0, 0, 1_000_000);
  const sort = args.values.get('sort') ?? 'requests';
  if (!isSort(sort)) throw new PlainsightError('USAGE', `--sort: give one of ${SORTS.join(', ')}`);
  const prepared = await prepare(args, context);
  const { log, config } = prepared;
  const lifetime = new Lifetime(context, log);
  const output = new Output(context.stdout);
  void output.broken.then(() => lifetime.end());
  const colorless = args.switches.has('no-color') || Boolean(context.env.NO_COLOR);
  const screen = new Screen(context, output, lifetime, { sort, edges: args.switches.has('edges'), colorless });
  const watch = (base: string) => void screen.run(base, intervalMs, frames).catch((error) => screen.fail(error));
  try {
    const base = baseOf(config.listen.host, config.listen.port);
    if (config.listen.port > 0 && (await answers(base))) {
      watch(base);
      await lifetime.ended;
      if (screen.error !== undefined) throw screen.error;
      return 0;
    }
    // Messages would be written across the table.
    log.setLevel('error');
    const own = { ...prepared, config: { ...config, listen: { host: '127.0.0.1', port: 0 } } };
    const code = await runAgent(context, own, { web: true, log }, lifetime, (handle) => {
      const { host, port } = handle.webAddress!;
      watch(baseOf(host, port));
    });
    if (screen.error !== undefined) throw screen.error;
    return code;
  } finally {
    screen.close();
    await output.flush();
    lifetime.dispose();
  }
}

class Screen {
  error: unknown;
  readonly #stdin: Readable & { isTTY?: boolean; setRawMode?: (raw: boolean) => unknown };
  readonly #stdout: Writable & { isTTY?: boolean; columns?: number; rows?: number };
  readonly #output: Output;
  readonly #lifetime: Lifetime;
  readonly #color: boolean;
  #sort: Sort;
  #edges: boolean;
  #wake: () => void = () => {};
  readonly #onKey = (data: Buffer | string) => this.#key(String(data));

  constructor(
    context: Context,
    output: Output,
    lifetime: Lifetime,
    view: { readonly sort: Sort; readonly edges: boolean; readonly colorless: boolean },
  ) {
    this.#stdin = context.stdin;
    this.#stdout = context.stdout;
    this.#output = output;
    this.#lifetime = lifetime;
    this.#sort = view.sort;
    this.#edges = view.edges;
    this.#color = this.#stdout.isTTY === true && !view.colorless;
    if (this.#stdout.isTTY === true && this.#stdin.isTTY === true) {
      this.#stdin.setRawMode?.(true);
      this.#stdin.on('data', this.#onKey);
      this.#stdin.resume();
    }
    void lifetime.ended.then(() => this.#wake());
  }

  /** `frames`: 0 for as many as there is time for. */
  async run(base: string, intervalMs: number, frames: number): Promise<void> {
    let before: ExpositionCounts | undefined;
    // Until there is something to compare, and while an agent starts, the screen would be empty.
    if (this.#stdout.isTTY === true) this.#output.write(`${CLEAR}waits for the second reading; q: quit\n`);
    for (let shown = 0; !this.#lifetime.hasEnded; ) {
      const [exposition, graph] = await Promise.all([read(`${base}/metrics`), read(`${base}/api/graph`)]);
      const now = readExposition(exposition, performance.now());
      const { edges = [] } = JSON.parse(graph) as { edges?: GraphEdge[] };
      // The first reading has nothing to be compared with.
      if (before !== undefined) {
        this.#show(now, before, edges);
        if (++shown === frames) break;
      }
      before = now;
      await this.#output.ready();
      await this.#pause(intervalMs);
    }
    this.#lifetime.end();
  }

  fail(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.error = new PlainsightError('FILE', `the agent's endpoints cannot be read: ${reason}; is it still running?`);
    this.#lifetime.end();
  }

  close(): void {
    this.#stdin.off('data', this.#onKey);
    if (this.#stdin.isTTY === true) {
      this.#stdin.setRawMode?.(false);
      this.#stdin.pause();
    }
  }

  #show(now: ExpositionCounts, before: ExpositionCounts, edges: readonly GraphEdge[]): void {
    const isTerminal = this.#stdout.isTTY === true;
    const view = {
      sort: this.#sort,
      edges: this.#edges,
      color: this.#color,
      width: this.#stdout.columns ?? DEFAULT_WIDTH,
      height: (this.#stdout.rows ?? DEFAULT_HEIGHT) - 1,
    };
    const lines = frame(view, now, before, edges);
    this.#output.write(`${isTerminal ? CLEAR : ''}${lines.join('\n')}\n`);
  }

  #key(keys: string): void {
    for (const key of keys) {
      // In raw mode Ctrl-C is a character.
      if (key === 'q' || key === '\x03') this.#lifetime.end();
      else if (key === 'e') this.#edges = !this.#edges;
      else if (key === 's') this.#sort = SORTS[(SORTS.indexOf(this.#sort) + 1) % SORTS.length]!;
    }
    this.#wake();
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.#lifetime.hasEnded) this.#wake();
    });
  }
}

function isSort(text: string): text is Sort {
  return SORTS.some((sort) => sort === text);
}

function number(args: Arguments, flag: string, fallback: number, least: number, most: number): number {
  const text = args.values.get(flag);
  if (text === undefined) return fallback;
  const value = /^\d{1,7}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new PlainsightError('USAGE', `--${flag}: give an integer from ${least} to ${most}`);
}

/** Nobody can ask the address that stands for all addresses. */
function baseOf(host: string, port: number): string {
  const reachable = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host;
  return `http://${isIPv6(reachable) ? `[${reachable}]` : reachable}:${port}`;
}

/** Is it an agent that has what is needed? */
async function answers(base: string): Promise<boolean> {
  try {
    return Array.isArray((JSON.parse(await read(`${base}/api/graph`)) as { edges?: unknown }).edges);
  } catch {
    return false;
  }
}

async function read(url: string): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.timeout(FETCH_LIMIT_MS) });
  if (!response.ok) throw new Error(`${url} answers ${response.status}`);
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of response.body ?? []) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > ANSWER_LIMIT_BYTES) throw new Error(`${url} sends too much`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
