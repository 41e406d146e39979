/**
 * The page at `/` as files in memory: what Vite made of src/web/page/, read once at the start. Nothing is ever read for a
 * request. Without a build there is a line that says so.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { gzipSync } from 'node:zlib';

export interface PageFile {
  readonly contentType: string;
  readonly plain: Buffer;
  readonly gzip: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** No inline script or style, nothing from elsewhere, no string ever taken for markup or code. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const PAGE_HEADERS = { 'Content-Security-Policy': POLICY };
/** Their names hold a hash of what is in them. */
const ASSET_HEADERS = { 'Cache-Control': 'public, max-age=31536000, immutable' };

/** By path: `/`, and `/assets/...`. */
export function readPage(folder: string): ReadonlyMap<string, PageFile> {
  const files = new Map<string, PageFile>();
  for (const [path, bytes] of built(folder)) {
    const contentType = TYPES[extname(path)];
    if (contentType === undefined) continue;
    const isPage = path === 'index.html';
    files.set(isPage ? '/' : `/${path}`, {
      contentType,
      plain: bytes,
      gzip: gzipSync(bytes, { level: 9 }),
      headers: isPage ? PAGE_HEADERS : ASSET_HEADERS,
    });
  }
  return files;
}

function built(folder: string): [path: string, bytes: Buffer][] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((path) => extname(path) !== '')
      .map((path) => [path, readFileSync(join(folder, path))]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    const text =
      '<!doctype html><html lang="en"><title>Plainsight</title><p>The page is not built: run npm run build. ' +
      'The metrics are at <a href="/metrics">/metrics</a>.</p></html>\n';
    return [['index.html', Buffer.from(text)]];
  }
}
