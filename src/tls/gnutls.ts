/**
 * GnuTLS, shared or linked into an executable. Reads and writes are f(session, data, size); gnutls_record_send() is since
 * 3.6.3 a jump to gnutls_record_send2(), and gnutls_record_send_file() calls one of them; gnutls_record_send_range() does so
 * only where records cannot be padded, and counts once. Not seen: packets of gnutls_record_recv_packet(), and early data
 * that a client sends: it is put aside, and none of it may be taken. A write that is tried again with NULL in place of its
 * data, as the manual allows, is counted by its length only.
 */

import type { TlsLibrary } from './library.ts';
import { libraryFileName, soVersion } from './library-path.ts';

/** Not libgnutls-openssl, libgnutls-dane and libgnutlsxx, which only call it. */
const FILE_NAME = /^libgnutls(?:-[0-9a-f]{6,})?\.so/;

export const gnutls: TlsLibrary = {
  name: 'gnutls',
  recognise: (path) => FILE_NAME.test(libraryFileName(path)),
  version: soVersion,
  embedded: ['gnutls_record_recv', 'gnutls_record_send', 'gnutls_deinit'],
  functions: [
    { symbol: 'gnutls_record_recv', operation: 'read', convention: 'n', required: false },
    { symbol: 'gnutls_record_recv_seq', operation: 'read', convention: 'n', required: false },
    { symbol: 'gnutls_record_recv_early_data', operation: 'read', convention: 'n', required: false },
    { symbol: 'gnutls_record_send_range', operation: 'write', convention: 'n', required: false },
    { symbol: 'gnutls_record_send2', operation: 'write', convention: 'n', required: false },
    {
      symbol: 'gnutls_record_send',
      operation: 'write',
      convention: 'n',
      required: false,
      forwardsTo: 'gnutls_record_send2',
    },
    { symbol: 'gnutls_deinit', operation: 'free', convention: 'n', required: false },
    { symbol: 'gnutls_bye', operation: 'shutdown', convention: 'n', required: false },
  ],
  unprobed: [
    {
      symbol: 'gnutls_record_recv_packet',
      operation: 'read',
      reason: 'gives its bytes in a structure of its own',
    },
    { symbol: 'gnutls_record_send_early_data', operation: 'write', reason: 'returns no count of bytes' },
  ],
};
