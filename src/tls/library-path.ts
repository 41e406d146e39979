/** What the path of a mapped library says of it. */

import { basename } from 'node:path';

/** Without its folders; of a memfd, the name that it was given. */
export function libraryFileName(path: string): string {
  const name = basename(path);
  return name.startsWith('memfd:') ? name.slice('memfd:'.length) : name;
}

/** `3` of libssl.so.3; '' where the name ends in `.so`, or belongs to an executable. */
export function soVersion(path: string): string {
  return /\.so\.([0-9][0-9A-Za-z.]*)$/.exec(path)?.[1] ?? '';
}
