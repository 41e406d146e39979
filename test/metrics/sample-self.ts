/** An agent's numbers for the tests of metrics. */

import type { SelfSource } from '../../src/metrics/self.ts';

const pod = { namespace: 'shop', pod: 'web-0', container: 'web' };
const host = { namespace: '', pod: '', container: '' };

export const sampleSelf: SelfSource = {
  features: () => [
    { feature: 'tls', enabled: true, reason: 'attached' },
    { feature: 'socket', enabled: false, reason: 'kernel-too-old' },
  ],
  tlsProcesses: () => [
    { owner: pod, library: 'openssl', state: 'attached', reason: '' },
    { owner: pod, library: 'openssl', state: 'attached', reason: '' },
    { owner: host, library: 'unknown', state: 'unattached', reason: 'no-symbols' },
  ],
  eventsByKind: () => ({ tls_data: 12, exec: 3, socket_data: 5_000_000_000 }),
  lost: () => ({ queue: 2 }),
  connections: () => ({ tls: 2, plain: 1 }),
  bindings: () => [
    { method: 'nested', result: 'bound', count: 7 },
    { method: 'record', result: 'bound', count: 4 },
    { method: 'unknown', result: 'unbound', count: 2 },
  ],
  unplaced: () => ({ flow: 5, connection: 6, request: 7 }),
  capturedBytes: () => 123_456,
};
