/**
 * What a bundle takes of @kubernetes/client-node: KubeConfig and the ways to authenticate, without the thousand classes of
 * the API, which all its modules import. As a whole the package keeps 73 MB resident, this part 4 MB.
 */

import { fileURLToPath } from 'node:url';

// This file runs as build/tools/client-node.js.
export const CLIENT_NODE = fileURLToPath(
  new URL('../../node_modules/@kubernetes/client-node/dist/config.js', import.meta.url),
);

/** node-fetch loads whatwg-url, 5 MB resident with its tables, for a URL that it takes from Node.js where there is one. */
export const ALIAS = { '#client-node': CLIENT_NODE, 'whatwg-url': 'node:url' };

/** Its modules define things and do nothing; the package does not say so itself. */
export const TREESHAKE = { moduleSideEffects: (id: string) => !id.includes('/@kubernetes/client-node/') };
