/** The protocols that are understood, in the order in which they are asked whether a connection is theirs. */

import type { Protocol } from '../stream/contract.ts';
import { http1 } from './http1/protocol.ts';
import { http2 } from './http2/protocol.ts';

export const PROTOCOLS: readonly Protocol[] = [http1, http2];
