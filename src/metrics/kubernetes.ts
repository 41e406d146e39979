/** What the agent says about its view of the cluster. There only where it has one. */

import { entries, type SelfFamily } from './self.ts';

const kubernetesWatch: SelfFamily = {
  name: 'plainsight_kubernetes_watch_up',
  help: 'Whether what is known of a resource of the API server is up to date (1) or not (0), and why.',
  type: 'gauge',
  labelNames: ['resource', 'reason'],
  *rows({ self }) {
    for (const { resource, synced, problem } of self.kubernetes?.()?.watches ?? []) {
      yield [[resource, problem || (synced ? 'ok' : 'starting')], synced && problem === '' ? 1 : 0];
    }
  },
};

const kubernetesFailures: SelfFamily = {
  name: 'plainsight_kubernetes_failures_total',
  help: 'Lists, watches and objects of the API server that failed, by reason.',
  type: 'counter',
  labelNames: ['resource', 'reason'],
  *rows({ self }) {
    for (const { resource, failures } of self.kubernetes?.()?.watches ?? []) {
      for (const [reason, count] of failures) yield [[resource, reason], count];
    }
  },
};

const kubernetesObjects: SelfFamily = {
  name: 'plainsight_kubernetes_objects',
  help: 'Objects of the API server held now, by resource.',
  type: 'gauge',
  labelNames: ['resource'],
  rows: ({ self }) => entries(self.kubernetes?.()?.objects ?? {}),
};

const kubernetesTransactions: SelfFamily = {
  name: 'plainsight_kubernetes_unlabelled_total',
  help: 'Transactions of containers that got no labels of their own: counted under those of the node, or excluded.',
  type: 'counter',
  labelNames: ['reason'],
  *rows({ self }) {
    const numbers = self.kubernetes?.();
    if (numbers === undefined) return;
    for (const [reason, count] of numbers.fallbacks) yield [[reason], count];
    yield [['excluded'], numbers.excluded];
  },
};

const kubernetesWaiting: SelfFamily = {
  name: 'plainsight_kubernetes_waiting',
  help: 'Transactions that wait for the labels of their pod.',
  type: 'gauge',
  labelNames: [],
  *rows({ self }) {
    const numbers = self.kubernetes?.();
    if (numbers !== undefined) yield [[], numbers.waiting];
  },
};

const kubernetesConflicts: SelfFamily = {
  name: 'plainsight_kubernetes_conflicts_total',
  help: 'Processes whose cgroup and network namespace belong to different pods; the cgroup counts.',
  type: 'counter',
  labelNames: [],
  *rows({ self }) {
    const numbers = self.kubernetes?.();
    if (numbers !== undefined) yield [[], numbers.conflicts];
  },
};

export const KUBERNETES_FAMILIES: readonly SelfFamily[] = [
  kubernetesWatch,
  kubernetesFailures,
  kubernetesObjects,
  kubernetesTransactions,
  kubernetesWaiting,
  kubernetesConflicts,
];
