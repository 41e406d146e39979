/**
 * OpenSSL and its forks as a shared library: libssl.so.3, libssl.so.1.1, libssl-<hash>.so.1.1 of Python wheels. All have
 * SSL_read and SSL_write since 0.9; the `_ex` forms came with 1.1.1, and each is optional. NSS is not one of them, though
 * its file is called libssl3.so.
 */

import { basename } from 'node:path';
import type { TlsLibrary } from './library.ts';

const FILE_NAME = /^libssl[.-].*so/;

export const openssl: TlsLibrary = {
  name: 'openssl',
  recognise: (path) => FILE_NAME.test(fileName(path)),
  version: (path) => /\.so\.([0-9][0-9A-Za-z.]*)$/.exec(path)?.[1] ?? '',
  functions: [
    { symbol: 'SSL_read', operation: 'read', convention: 'n', required: false },
    { symbol: 'SSL_write', operation: 'write', convention: 'n', required: false },
    { symbol: 'SSL_read_ex', operation: 'read', convention: 'ex', required: false },
    { symbol: 'SSL_write_ex', operation: 'write', convention: 'ex', required: false },
    // What follows is another connection: servers and load generators keep their objects.
    { symbol: 'SSL_clear', operation: 'free', convention: 'n', required: false },
    { symbol: 'SSL_free', operation: 'free', convention: 'n', required: false },
    { symbol: 'SSL_shutdown', operation: 'shutdown', convention: 'n', required: false },
  ],
};

function fileName(path: string): string {
  const name = basename(path);
  return name.startsWith('memfd:') ? name.slice('memfd:'.length) : name;
}
