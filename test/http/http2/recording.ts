/**
 * Real HTTP/2 between a client and a server of Node.js in this process, over a connection in memory that writes down
 * what goes either way: the bytes are nghttp2's, framing and header compression included.
 */

import { once } from 'node:events';
import {
  type ClientHttp2Session,
  connect,
  createServer,
  type Http2Server,
  type ServerHttp2Stream,
  type SessionOptions,
} from 'node:http2';
import { Duplex } from 'node:stream';
import type { Side } from '../cases.ts';

export interface RecordedChunk {
  readonly side: Side;
  readonly bytes: Buffer;
}

/** Two ends of a connection; what is written to one is read from the other, a turn of the event loop later. */
function pipe(chunks: RecordedChunk[]): { client: Duplex; server: Duplex } {
  const make = (side: Side, other: () => Duplex): Duplex =>
    new Duplex({
      allowHalfOpen: false,
      read() {},
      write(chunk: Buffer, _encoding, done) {
        chunks.push({ side, bytes: Buffer.from(chunk) });
        other().push(chunk);
        setImmediate(done);
      },
      final(done) {
        other().push(null);
        done();
      },
    });
  const client: Duplex = make('request', () => server);
  const server: Duplex = make('response', () => client);
  return { client, server };
}

/** Runs `talk` with a client whose requests `serve` answers, until it is over. */
export async function record(
  serve: (stream: ServerHttp2Stream, headers: Readonly<Record<string, unknown>>) => void,
  talk: (client: ClientHttp2Session) => Promise<void>,
  options: { server?: SessionOptions; client?: SessionOptions } = {},
): Promise<RecordedChunk[]> {
  const chunks: RecordedChunk[] = [];
  const ends = pipe(chunks);
  const server: Http2Server = createServer(options.server ?? {});
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    serve(stream, headers);
  });
  server.on('sessionError', () => {});
  server.emit('connection', ends.server);
  const client = connect('http://test', { ...options.client, createConnection: () => ends.client });
  await once(client, 'connect');
  await talk(client);
  client.close();
  if (!client.closed || !client.destroyed) await once(client, 'close');
  return chunks;
}

export interface Answer {
  readonly status: number;
  readonly bytes: number;
}

/** One request, to the end of its response. */
export async function request(
  client: ClientHttp2Session,
  headers: Readonly<Record<string, string>>,
  body?: Buffer,
): Promise<Answer> {
  const stream = client.request({ ...headers }, { endStream: body === undefined });
  let status = 0;
  let bytes = 0;
  stream.on('response', (answer) => {
    status = Number(answer[':status']);
  });
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  if (body !== undefined) stream.end(body);
  await once(stream, 'close');
  return { status, bytes };
}
