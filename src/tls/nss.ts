/**
 * NSS. Programs read and write through PR_Read(), PR_Write(), PR_Recv() and PR_Send() of NSPR, which serve every file and
 * socket alike and jump to the methods of the descriptor, so probes there would take plain connections for TLS. Only the
 * methods of SSL descriptors are probed, functions of libssl3.so itself. They are static, so only files with a .symtab
 * have names for them: those of Debian and of browsers are stripped, and are `unsupported`.
 */

import type { TlsLibrary } from './library.ts';
import { libraryFileName } from './library-path.ts';

const FILE_NAME = /^libssl3\.so/;

export const nss: TlsLibrary = {
  name: 'nss',
  recognise: (path) => FILE_NAME.test(libraryFileName(path)),
  version: () => '3',
  embedded: [],
  functions: [
    { symbol: 'ssl_Read', operation: 'read', convention: 'n', required: false },
    { symbol: 'ssl_Recv', operation: 'read', convention: 'n', required: false },
    { symbol: 'ssl_Write', operation: 'write', convention: 'n', required: false },
    { symbol: 'ssl_Send', operation: 'write', convention: 'n', required: false },
    { symbol: 'ssl_Close', operation: 'free', convention: 'n', required: false },
  ],
};
