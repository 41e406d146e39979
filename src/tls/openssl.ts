/**
 * OpenSSL and LibreSSL: libssl.so.3, libssl.so.1.1, libssl-<hash>.so.1.1 of Python wheels, and linked into executables
 * (Node.js exports the functions, others keep them in .symtab). All have SSL_read and SSL_write since 0.9; the `_ex` forms
 * came with 1.1.1, and each is optional. NSS is not one of them, though its file is called libssl3.so. Not seen: reads and
 * writes through BIO_f_ssl(), which call internal functions without a symbol, and SSL_write_ex2() of 3.3, which nobody needs
 * but for QUIC. What SSL_sendfile() of kernel TLS sends counts by its length: its bytes are in no memory of the process.
 * SSL_peek() and SSL_peek_ex() call none of these functions, so what is peeked at counts once, when it is read; the two
 * for early data call SSL_read_ex() and SSL_write_ex(), by their symbols (ssl/ssl_lib.c, 1.1.1 to 3.6).
 */

import type { TlsLibrary } from './library.ts';
import { libraryFileName, soVersion } from './library-path.ts';

const FILE_NAME = /^libssl[.-].*so/;

export const openssl: TlsLibrary = {
  name: 'openssl',
  recognise: (path) => FILE_NAME.test(libraryFileName(path)),
  version: soVersion,
  embedded: ['SSL_read', 'SSL_write', 'SSL_free'],
  functions: [
    { symbol: 'SSL_read', operation: 'read', convention: 'n', required: false },
    { symbol: 'SSL_write', operation: 'write', convention: 'n', required: false },
    { symbol: 'SSL_read_ex', operation: 'read', convention: 'ex', required: false },
    { symbol: 'SSL_write_ex', operation: 'write', convention: 'ex', required: false },
    { symbol: 'SSL_sendfile', operation: 'write', convention: 'n', required: false },
    // What follows is another connection: servers and load generators keep their objects.
    { symbol: 'SSL_clear', operation: 'free', convention: 'n', required: false },
    { symbol: 'SSL_free', operation: 'free', convention: 'n', required: false },
    { symbol: 'SSL_shutdown', operation: 'shutdown', convention: 'n', required: false },
  ],
  unprobed: [{ symbol: 'SSL_write_ex2', operation: 'write', reason: 'serves QUIC alone' }],
};
