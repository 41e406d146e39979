/** The TLS libraries that Plainsight knows, one line each. */

import type { TlsLibrary } from './library.ts';
import { openssl } from './openssl.ts';

export const TLS_LIBRARIES: readonly TlsLibrary[] = [openssl];
