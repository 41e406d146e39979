/** A cluster of some size, as the API server of the tests tells of it: what a figure of memory is measured with. */

import type { ApiServer } from './api-server.ts';
import { namespaceObject, nodeObject, podObject, serviceObject, sliceObject } from './samples.ts';

/** On the node of the agent. */
export const PODS = 200;
export const SERVICES = 2000;
export const ENDPOINTS_EACH = 5;

export function fill(server: ApiServer): void {
  for (let i = 0; i < PODS; i++) {
    const pod = { uid: `uid-${i}`, name: `app-${i}-6d4cf56db6-x2x9z`, namespace: `team-${i % 20}`, ip: `10.1.0.${i}` };
    const containers = { app: i.toString(16).padStart(64, '0'), proxy: i.toString(16).padStart(64, 'f') };
    server.put('pods', podObject({ ...pod, containers, labels: { app: `app-${i}`, tier: 'web' } }));
  }
  for (let i = 0; i < SERVICES; i++) {
    const [namespace, name] = [`team-${i % 20}`, `app-${i}`];
    server.put('services', serviceObject(namespace, name, `10.96.${i >> 8}.${i & 255}`, { app: name }));
    const endpoints = Array.from({ length: ENDPOINTS_EACH }, (_, j) => ({
      ip: `10.${2 + (i >> 8)}.${i & 255}.${j}`,
      pod: `${name}-6d4cf56db6-${j}`,
      node: `node-${j}`,
    }));
    server.put('endpointslices', sliceObject(namespace, name, 'x2x9z', endpoints));
  }
  for (let i = 0; i < 20; i++) server.put('namespaces', namespaceObject(`team-${i}`));
  for (let i = 0; i < 500; i++) server.put('nodes', nodeObject(`node-${i}`, `192.168.${i >> 8}.${i & 255}`));
}

/** Whether an agent has read all of it, by its /api/status: an address of each service is one more. */
export function isRead(status: string): boolean {
  return new RegExp(`"endpoints": ?${SERVICES * (ENDPOINTS_EACH + 1)}\\b`).test(status);
}
