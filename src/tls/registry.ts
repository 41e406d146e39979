/**
 * The TLS libraries that Plainsight knows, one line each. The first that recognises a file has it: BoringSSL has the
 * functions of OpenSSL and one more.
 */

import { boringssl } from './boringssl.ts';
import { gnutls } from './gnutls.ts';
import type { TlsLibrary } from './library.ts';
import { nss } from './nss.ts';
import { openssl } from './openssl.ts';

export const TLS_LIBRARIES: readonly TlsLibrary[] = [boringssl, openssl, gnutls, nss];
