/** What each library of the registry is called: a new library adds its lines here, and the contract suite runs them. */

export interface LibraryCase {
  /** Paths that are this library and no other -> the version that they show. */
  readonly files: Readonly<Record<string, string>>;
  readonly otherFiles: readonly string[];
}

export const LIBRARY_CASES: Readonly<Record<string, LibraryCase>> = {
  openssl: {
    files: {
      '/usr/lib/x86_64-linux-gnu/libssl.so.3': '3',
      '/usr/lib/x86_64-linux-gnu/libssl.so.1.1': '1.1',
      '/lib/libssl.so.1.0.2k': '1.0.2k',
      '/opt/conda/lib/libssl.so': '',
      '/a b/psycopg2_binary.libs/libssl-28bef1ac.so.1.1': '1.1',
      '/memfd:libssl.so.3': '3',
      '/usr/local/lib/libssl.so.53': '53',
      '/srv/system/libssl.so.3': '3',
    },
    otherFiles: [
      '/usr/lib/libssl3.so',
      '/usr/lib/libgnutls-openssl.so.27',
      '/libssl.so.3/libc.so.6',
      '/usr/lib/libsslutils.so',
      '/a/libssl.txt',
      '/usr/bin/openssl',
    ],
  },
  boringssl: {
    files: {
      '/usr/lib/x86_64-linux-gnu/android/libssl.so.0': '0',
      '/system/lib64/libssl.so': '',
      '/apex/com.android.conscrypt/lib64/libssl.so': '',
      '/opt/chromium/libboringssl.so': '',
    },
    otherFiles: ['/usr/lib/x86_64-linux-gnu/libssl.so.3', '/usr/lib/android/libcrypto.so.0', '/boringssl/libc.so'],
  },
  gnutls: {
    files: {
      '/usr/lib/x86_64-linux-gnu/libgnutls.so.30': '30',
      '/usr/lib/x86_64-linux-gnu/libgnutls.so.30.34.3': '30.34.3',
      '/wheel.libs/libgnutls-5fa3dc21.so.30': '30',
    },
    otherFiles: ['/usr/lib/libgnutls-openssl.so.27', '/usr/lib/libgnutls-dane.so.0', '/usr/lib/libgnutlsxx.so.30'],
  },
  nss: {
    files: { '/usr/lib/x86_64-linux-gnu/libssl3.so': '3', '/usr/lib/firefox-esr/libssl3.so': '3' },
    otherFiles: ['/usr/lib/libssl.so.3', '/usr/lib/libnss3.so', '/usr/lib/libnspr4.so'],
  },
};
