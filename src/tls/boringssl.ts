/**
 * BoringSSL: shared in Android and in Debian's package of it, in Chromium's component builds, and linked into executables
 * that keep their symbols (Chromium and Electron from their own builds, Envoy). It has no `_ex` forms. Stripped and
 * static it cannot be found: its functions have no names then.
 */

import type { TlsLibrary } from './library.ts';
import { libraryFileName, soVersion } from './library-path.ts';

const FILE_NAME = /^libboringssl[.-].*so/;
/** Where the file is called as that of OpenSSL is. */
const ANDROID = /\/(?:android|(?:system|apex\/[^/]+)\/lib(?:64)?)\/libssl\.so[^/]*$/;

export const boringssl: TlsLibrary = {
  name: 'boringssl',
  recognise: (path) => FILE_NAME.test(libraryFileName(path)) || ANDROID.test(path),
  version: soVersion,
  // The last is no function of OpenSSL, and one of the oldest here.
  embedded: ['SSL_read', 'SSL_write', 'SSL_CTX_set_grease_enabled'],
  functions: [
    { symbol: 'SSL_read', operation: 'read', convention: 'n', required: false },
    { symbol: 'SSL_write', operation: 'write', convention: 'n', required: false },
    { symbol: 'SSL_clear', operation: 'free', convention: 'n', required: false },
    { symbol: 'SSL_free', operation: 'free', convention: 'n', required: false },
    { symbol: 'SSL_shutdown', operation: 'shutdown', convention: 'n', required: false },
  ],
};
