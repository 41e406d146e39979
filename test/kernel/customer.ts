/** A known number of requests through every service of the demo, each with a secret in its URL, a header and its body. */

import { readFileSync } from 'node:fs';
import { request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import type { Shop } from '../../tools/demo/shop.ts';

/** As long as a token is, and nothing that anybody else sends. */
export const CANARY = `canary-${process.pid}-7f3a9c51d2e84b60`;

/** Method, path behind nginx. */
const WISHES = [
  ['GET', '/'],
  ['GET', '/api/products'],
  ['GET', '/api/search'],
  ['POST', '/api/orders'],
  ['GET', '/picture'],
  ['POST', '/pay/charges'],
  ['GET', '/gone'],
] as const;

/** All wishes that many times through nginx. Returns how many requests nginx answered. */
export async function askShop(shop: Shop, rounds: number): Promise<number> {
  let count = 0;
  for (let round = 0; round < rounds; round++) {
    await Promise.all(WISHES.map(([method, path]) => ask(shop, 'web', method, path)));
    count += WISHES.length;
  }
  return count;
}

/** One request, with the secret. Returns the status. */
export function ask(shop: Shop, part: 'web' | 'api' | 'pay', method: string, path: string): Promise<number> {
  const body = method === 'POST' ? JSON.stringify({ card: CANARY }) : '';
  const headers = {
    Authorization: `Bearer ${CANARY}`,
    Cookie: `session=${CANARY}`,
    'X-Note': CANARY,
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
  };
  const options = {
    host: '127.0.0.1',
    port: shop.ports[part],
    method,
    path: `${path}?token=${CANARY}`,
    headers,
    agent: false as const,
    timeout: 10_000,
  };
  const tls = { ca: readFileSync(shop.certificate), servername: 'localhost' };
  return new Promise((resolve, reject) => {
    const request = part === 'api' ? plainRequest(options) : tlsRequest({ ...options, ...tls });
    request.on('response', (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
    });
    request.on('timeout', () => request.destroy(new Error('timed out')));
    request.on('error', reject);
    request.end(body);
  });
}
