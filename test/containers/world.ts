/** A node with pods, an API server that tells of them, and the agent with the capabilities of the DaemonSet and nothing else. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { PLAINSIGHT, type RunningAgent, startAgentWith } from '../kernel/harness.ts';
import { ApiServer } from '../kubernetes/api-server.ts';
import { NODE } from '../kubernetes/samples.ts';
import { TestNode } from './node.ts';

const FEW = '-all,+bpf,+perfmon,+sys_ptrace,+dac_read_search';
const SETPRIV = ['setpriv', `--bounding-set=${FEW}`, `--inh-caps=${FEW}`, '--no-new-privs'];

export interface World {
  readonly node: TestNode;
  readonly server: ApiServer;
  agent(...args: string[]): Promise<RunningAgent>;
}

export async function makeWorld(t: TestContext): Promise<World> {
  const server = await ApiServer.start(t);
  const node = await TestNode.make(t);
  const token = join(node.folder, 'token');
  writeFileSync(token, server.token);
  const kubeconfig = join(node.folder, 'kubeconfig');
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      'current-context': 'test',
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'agent' } }],
      clusters: [{ name: 'test', cluster: { server: server.url, 'certificate-authority': server.authority } }],
      users: [{ name: 'agent', user: { tokenFile: token } }],
    }),
  );
  const command = ['env', `KUBECONFIG=${kubeconfig}`, ...SETPRIV, PLAINSIGHT];
  const agent = (...args: string[]) => startAgentWith(t, command, '--kubernetes=on', `--node-name=${NODE}`, ...args);
  return { node, server, agent };
}
