/** A running server of fixtures/go. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { keep } from '../vm/host.ts';

export class GoServer {
  readonly process: ChildProcess;
  /** host:port */
  readonly address: string;
  /** What it wrote to stderr. */
  log = '';
  /** Once it has ended: requests by the address of the client. */
  clients: Record<string, number> = {};
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcess, address: string, lines: AsyncIterator<string>) {
    this.process = child;
    this.address = address;
    this.#lines = lines;
    child.stderr?.on('data', (chunk: Buffer) => {
      this.log += chunk.toString();
    });
  }

  /** Listens when this is done. */
  static async start(path: string, flags: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<GoServer> {
    const child = spawn(path, flags, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    keep(child);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const { value } = await lines.next();
    const address = /^listening (\S+)$/.exec(value ?? '')?.[1];
    if (address === undefined) throw new Error(`${path} does not listen`);
    return new GoServer(child, address, lines);
  }

  /** Ends it; the requests that it has counted by "METHOD STATUS". Throws when it does not end with 0. */
  async stop(): Promise<Record<string, number>> {
    const closed = once(this.process, 'close');
    this.process.kill('SIGTERM');
    const requests = (await this.#lines.next()).value;
    const clients = (await this.#lines.next()).value;
    const [status] = await closed;
    if (status !== 0) throw new Error(`the server ended with ${status}: ${this.log}`);
    this.clients = JSON.parse(clients ?? '{}');
    return JSON.parse(requests ?? '{}');
  }
}
