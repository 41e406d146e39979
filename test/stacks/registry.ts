/** The stacks of the matrix, in the order of its rows. */

import { CLIENTS } from './clients.ts';
import { LANGUAGES } from './languages.ts';
import type { Stack } from './stack.ts';
import { SUITE_PROGRAMS } from './suites.ts';
import { WEB_SERVERS } from './web-servers.ts';

export const STACKS: readonly Stack[] = [...WEB_SERVERS, ...CLIENTS, ...LANGUAGES, ...SUITE_PROGRAMS];
