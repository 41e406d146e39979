/** The dashboards: which questions an operator asks, and the queries that answer them. Here: services, coverage, agents. */

import type { Dashboard, Variable } from './panels.ts';
import { MAP, TRANSPORT } from './transport.ts';

const NAMESPACE: Variable = {
  name: 'namespace',
  label: 'Namespace',
  query: 'label_values(http_request_duration_seconds_count, namespace)',
};
const SERVICE: Variable = {
  name: 'service',
  label: 'Service',
  query: 'label_values(http_request_duration_seconds_count{namespace=~"$namespace"}, service)',
};
const NODE: Variable = { name: 'instance', label: 'Node', query: 'label_values(plainsight_build_info, instance)' };

const CHOSEN = 'namespace=~"$namespace",service=~"$service"';
const RATE = '$__rate_interval';

const SERVICES: Dashboard = {
  uid: 'plainsight-services',
  title: 'Plainsight: services',
  description: 'Rate, errors and duration of HTTP requests by service and pod, as the serving processes see them.',
  variables: [NAMESPACE, SERVICE],
  rows: [
    {
      title: 'Now',
      panels: [
        {
          title: 'Requests',
          description: 'Of all chosen services.',
          type: 'stat',
          unit: 'reqps',
          width: 6,
          queries: [{ expr: `sum(rate(http_request_duration_seconds_count{${CHOSEN}}[${RATE}]))` }],
        },
        {
          title: 'Failed',
          description: 'The share of answers with a status of 500 and above.',
          type: 'stat',
          unit: 'percentunit',
          width: 6,
          queries: [
            {
              expr: `(sum(rate(http_request_duration_seconds_count{${CHOSEN},status=~"5.."}[${RATE}])) or vector(0)) / sum(rate(http_request_duration_seconds_count{${CHOSEN}}[${RATE}]))`,
            },
          ],
        },
        {
          title: 'p50',
          description: 'Half of the requests take no longer.',
          type: 'stat',
          unit: 's',
          width: 6,
          queries: [
            {
              expr: `histogram_quantile(0.5, sum by (le) (rate(http_request_duration_seconds_bucket{${CHOSEN}}[${RATE}])))`,
            },
          ],
        },
        {
          title: 'p99',
          description: 'One request of a hundred takes longer.',
          type: 'stat',
          unit: 's',
          width: 6,
          queries: [
            {
              expr: `histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{${CHOSEN}}[${RATE}])))`,
            },
          ],
        },
      ],
    },
    {
      title: 'By service',
      panels: [
        {
          title: 'Requests by service',
          description: 'Counted once, where they are served.',
          type: 'timeseries',
          unit: 'reqps',
          width: 12,
          queries: [
            {
              expr: `sum by (namespace, service) (rate(http_request_duration_seconds_count{${CHOSEN}}[${RATE}]))`,
              legend: '{{namespace}} {{service}}',
            },
          ],
        },
        {
          title: 'Failed by service and status',
          description: 'Answers with a status of 400 and above.',
          type: 'timeseries',
          unit: 'reqps',
          width: 12,
          stack: true,
          queries: [
            {
              expr: `sum by (namespace, service, status) (rate(http_request_duration_seconds_count{${CHOSEN},status=~"[45].."}[${RATE}]))`,
              legend: '{{namespace}} {{service}} {{status}}',
            },
          ],
        },
        {
          title: 'Duration: p50, p90, p99',
          description:
            'From the first byte of the request to the last of the response. Points are exemplars: requests with a trace.',
          type: 'timeseries',
          unit: 's',
          width: 12,
          queries: [0.5, 0.9, 0.99].map((quantile) => ({
            expr: `histogram_quantile(${quantile}, sum by (namespace, service, le) (rate(http_request_duration_seconds_bucket{${CHOSEN}}[${RATE}])))`,
            legend: `{{namespace}} {{service}} p${quantile * 100}`,
          })),
        },
        {
          title: 'Durations',
          description: 'How many requests fell into each bucket.',
          type: 'heatmap',
          unit: 's',
          width: 12,
          queries: [
            {
              expr: `sum by (le) (increase(http_request_duration_seconds_bucket{${CHOSEN}}[${RATE}]))`,
              legend: '{{le}}',
              format: 'heatmap',
            },
          ],
        },
      ],
    },
    {
      title: 'By pod, and outbound',
      panels: [
        {
          title: 'Requests by pod',
          description: 'One pod that stands out of its service.',
          type: 'timeseries',
          unit: 'reqps',
          width: 12,
          queries: [
            {
              expr: `sum by (namespace, pod, service) (rate(http_request_duration_seconds_count{${CHOSEN}}[${RATE}]))`,
              legend: '{{namespace}} {{pod}} {{service}}',
            },
          ],
        },
        {
          title: 'Outbound requests: p90',
          description: 'What the chosen services wait for, as they see it themselves.',
          type: 'timeseries',
          unit: 's',
          width: 12,
          queries: [
            {
              expr: `histogram_quantile(0.9, sum by (namespace, service, le) (rate(http_client_request_duration_seconds_bucket{namespace=~"$namespace"}[${RATE}])))`,
              legend: '{{namespace}} {{service}}',
            },
          ],
        },
      ],
    },
  ],
};

const COVERAGE: Dashboard = {
  uid: 'plainsight-tls',
  title: 'Plainsight: TLS coverage',
  description: 'How much of what moves in TLS records is seen as plaintext, and why the rest is not.',
  variables: [{ ...NAMESPACE, query: 'label_values(plainsight_tls_processes, namespace)' }],
  rows: [
    {
      title: 'Coverage',
      panels: [
        {
          title: 'Seen',
          description:
            'Plaintext bytes of TLS calls for each byte of TLS records. Records have some overhead of their own, so small messages are below 100 %.',
          type: 'timeseries',
          unit: 'percentunit',
          width: 12,
          queries: [
            {
              expr: `sum by (namespace, pod, container) (rate(plainsight_tls_plaintext_bytes_total{namespace=~"$namespace"}[${RATE}])) / (sum by (namespace, pod, container) (rate(plainsight_tls_ciphertext_bytes_total{namespace=~"$namespace"}[${RATE}])) > 0)`,
              legend: '{{namespace}} {{pod}} {{container}}',
            },
          ],
        },
        {
          title: 'TLS bytes',
          description: 'In both directions.',
          type: 'timeseries',
          unit: 'Bps',
          width: 12,
          queries: [
            {
              expr: `sum(rate(plainsight_tls_plaintext_bytes_total{namespace=~"$namespace"}[${RATE}]))`,
              legend: 'plaintext seen',
            },
            {
              expr: `sum(rate(plainsight_tls_ciphertext_bytes_total{namespace=~"$namespace"}[${RATE}]))`,
              legend: 'records moved',
            },
          ],
        },
        {
          title: 'Processes by state and reason',
          description: 'Every process that speaks TLS, by library. `plainsight inspect PID` says more of one.',
          type: 'table',
          unit: 'short',
          width: 24,
          queries: [
            {
              expr: 'sum by (namespace, pod, container, library, state, reason) (plainsight_tls_processes{namespace=~"$namespace"}) > 0',
              format: 'table',
              instant: true,
            },
          ],
          transformations: [
            { id: 'organize', options: { excludeByName: { Time: true }, renameByName: { Value: 'processes' } } },
          ],
        },
      ],
    },
  ],
};

const AGENT: Dashboard = {
  uid: 'plainsight-agent',
  title: 'Plainsight: agents',
  description: 'What the agents cost, what they lose and which features each node has.',
  variables: [NODE],
  rows: [
    {
      title: 'Cost',
      panels: [
        {
          title: 'Processor',
          description:
            'Cores that each agent takes, its native code included. What probes cost the observed processes is in their own usage.',
          type: 'timeseries',
          unit: 'short',
          width: 12,
          queries: [
            {
              expr: `rate(process_cpu_seconds_total{instance=~"$instance",job="plainsight"}[${RATE}])`,
              legend: '{{instance}}',
            },
          ],
        },
        {
          title: 'Memory',
          description: 'Resident.',
          type: 'timeseries',
          unit: 'bytes',
          width: 12,
          queries: [
            { expr: 'process_resident_memory_bytes{instance=~"$instance",job="plainsight"}', legend: '{{instance}}' },
          ],
        },
      ],
    },
    {
      title: 'Truth',
      panels: [
        {
          title: 'Lost events',
          description: 'By stage. 0 means that nothing is missing.',
          type: 'timeseries',
          unit: 'cps',
          width: 8,
          queries: [
            {
              expr: `sum by (instance, stage) (rate(plainsight_events_lost_total{instance=~"$instance"}[${RATE}]))`,
              legend: '{{instance}} {{stage}}',
            },
          ],
        },
        {
          title: 'Requests not measured',
          description: 'Seen, but without a true duration or status: the reason says why.',
          type: 'timeseries',
          unit: 'reqps',
          width: 8,
          queries: [
            {
              expr: `sum by (role, reason) (rate(http_requests_incomplete_total[${RATE}]))`,
              legend: '{{role}} {{reason}}',
            },
          ],
        },
        {
          title: 'Series',
          description: 'By metric, against --max-series.',
          type: 'timeseries',
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: 'sum by (instance, metric) (plainsight_series{instance=~"$instance"})',
              legend: '{{instance}} {{metric}}',
            },
          ],
        },
        {
          title: 'Features',
          description: '1: on. `plainsight doctor` on the node says what would turn the others on.',
          type: 'table',
          unit: 'short',
          width: 12,
          queries: [
            {
              expr: 'sum by (instance, feature, reason) (plainsight_feature_enabled{instance=~"$instance"})',
              format: 'table',
              instant: true,
            },
          ],
          transformations: [
            { id: 'organize', options: { excludeByName: { Time: true }, renameByName: { Value: 'on' } } },
          ],
        },
        {
          title: 'Events',
          description: 'What the kernel side hands over.',
          type: 'timeseries',
          unit: 'cps',
          width: 12,
          queries: [
            {
              expr: `sum by (kind) (rate(plainsight_events_total{instance=~"$instance"}[${RATE}]))`,
              legend: '{{kind}}',
            },
          ],
        },
      ],
    },
  ],
};

export const DASHBOARDS: readonly Dashboard[] = [SERVICES, COVERAGE, TRANSPORT, MAP, AGENT];
