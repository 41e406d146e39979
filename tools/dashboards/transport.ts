/** The dashboards of connections: their health, and who calls whom. */

import type { Dashboard, Variable } from './panels.ts';

const RATE = '$__rate_interval';
const NAMESPACE: Variable = {
  name: 'namespace',
  label: 'Namespace',
  query: 'label_values(tcp_connections_opened_total, namespace)',
};

export const TRANSPORT: Dashboard = {
  uid: 'plainsight-tcp',
  title: 'Plainsight: TCP health',
  description: 'Connections, their failures, retransmits, round-trip times and bytes by service and peer.',
  variables: [NAMESPACE],
  rows: [
    {
      title: 'Loss',
      panels: [
        {
          title: 'Retransmits',
          description: 'Segments sent again, by who sent them.',
          type: 'timeseries',
          unit: 'cps',
          width: 12,
          queries: [
            {
              expr: `sum by (namespace, pod, service, dest_port) (rate(node_tcp_retransmits_total{namespace=~"$namespace"}[${RATE}]))`,
              legend: '{{namespace}} {{pod}} {{service}} to port {{dest_port}}',
            },
          ],
        },
        {
          title: 'Round-trip time: p50, p99',
          description: 'As TCP smooths it, by the peer.',
          type: 'timeseries',
          unit: 's',
          width: 12,
          queries: [0.5, 0.99].map((quantile) => ({
            expr: `histogram_quantile(${quantile}, sum by (service, dest_service, le) (rate(tcp_rtt_seconds_bucket{namespace=~"$namespace"}[${RATE}])))`,
            legend: `{{service}} to {{dest_service}} p${quantile * 100}`,
          })),
        },
      ],
    },
    {
      title: 'Connections',
      panels: [
        {
          title: 'Opened',
          description: 'By role: a client opens, a server accepts.',
          type: 'timeseries',
          unit: 'cps',
          width: 8,
          queries: [
            {
              expr: `sum by (namespace, service, role) (rate(tcp_connections_opened_total{namespace=~"$namespace"}[${RATE}]))`,
              legend: '{{namespace}} {{service}} {{role}}',
            },
          ],
        },
        {
          title: 'Failed',
          description: 'By reason.',
          type: 'timeseries',
          unit: 'cps',
          width: 8,
          queries: [
            {
              expr: `sum by (namespace, service, dest_service, reason) (rate(tcp_connections_failed_total{namespace=~"$namespace"}[${RATE}]))`,
              legend: '{{service}} to {{dest_service}}: {{reason}}',
            },
          ],
        },
        {
          title: 'Open now',
          description: 'Established connections.',
          type: 'timeseries',
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: 'sum by (namespace, service, role) (tcp_connections_active{namespace=~"$namespace"})',
              legend: '{{namespace}} {{service}} {{role}}',
            },
          ],
        },
        {
          title: 'Time to connect: p90',
          description: 'From the first SYN to the established connection, by the peer.',
          type: 'timeseries',
          unit: 's',
          width: 12,
          queries: [
            {
              expr: `histogram_quantile(0.9, sum by (service, dest_service, le) (rate(tcp_connect_duration_seconds_bucket{namespace=~"$namespace"}[${RATE}])))`,
              legend: '{{service}} to {{dest_service}}',
            },
          ],
        },
        {
          title: 'Bytes',
          description: 'Payload, as the sending and the receiving side count it.',
          type: 'timeseries',
          unit: 'Bps',
          width: 12,
          queries: [
            {
              expr: `sum by (namespace, service, dest_service) (rate(tcp_sent_bytes_total{namespace=~"$namespace"}[${RATE}]))`,
              legend: '{{service}} sends to {{dest_service}}',
            },
            {
              expr: `sum by (namespace, service, dest_service) (rate(tcp_received_bytes_total{namespace=~"$namespace"}[${RATE}]))`,
              legend: '{{service}} receives from {{dest_service}}',
            },
          ],
        },
      ],
    },
  ],
};

const EDGE = 'client, client_namespace, server, server_namespace';
export const MAP: Dashboard = {
  uid: 'plainsight-map',
  title: 'Plainsight: service map',
  description:
    'Who calls whom, how often, how fast, and what fails. A request is counted once, also when both sides are seen.',
  variables: [],
  rows: [
    {
      title: 'Map',
      panels: [
        {
          title: 'Services',
          description: 'Requests a second, at the node and on the edge.',
          type: 'nodeGraph',
          unit: 'reqps',
          width: 24,
          height: 16,
          queries: [
            {
              expr: 'label_join(sum by (client, server) (rate(traces_service_graph_request_total[5m])), "id", " → ", "client", "server")',
              format: 'table',
              instant: true,
            },
            {
              expr: 'label_replace(sum by (server) (rate(traces_service_graph_request_total[5m])), "id", "$1", "server", "(.*)") or label_replace(sum by (client) (rate(traces_service_graph_request_total[5m])), "id", "$1", "client", "(.*)")',
              format: 'table',
              instant: true,
            },
          ],
          transformations: [
            {
              id: 'organize',
              filter: { id: 'byRefId', options: 'A' },
              options: {
                excludeByName: { Time: true },
                renameByName: { client: 'source', server: 'target', Value: 'mainstat' },
              },
            },
            {
              id: 'organize',
              filter: { id: 'byRefId', options: 'B' },
              options: {
                excludeByName: { Time: true, client: true, server: true },
                renameByName: { Value: 'mainstat' },
              },
            },
          ],
        },
      ],
    },
    {
      title: 'Edges',
      panels: [
        {
          title: 'Requests by edge',
          description: 'From client to server.',
          type: 'timeseries',
          unit: 'reqps',
          width: 8,
          queries: [
            {
              expr: `sum by (${EDGE}) (rate(traces_service_graph_request_total[${RATE}]))`,
              legend: '{{client}} → {{server}}',
            },
          ],
        },
        {
          title: 'Failed by edge',
          description: 'Requests that were answered with a status of 500 and above.',
          type: 'timeseries',
          unit: 'percentunit',
          width: 8,
          queries: [
            {
              expr: `(sum by (${EDGE}) (rate(traces_service_graph_request_failed_total[${RATE}])) or 0 * sum by (${EDGE}) (rate(traces_service_graph_request_total[${RATE}]))) / sum by (${EDGE}) (rate(traces_service_graph_request_total[${RATE}]))`,
              legend: '{{client}} → {{server}}',
            },
          ],
        },
        {
          title: 'Duration by edge: p90',
          description: 'As the server sees it.',
          type: 'timeseries',
          unit: 's',
          width: 8,
          queries: [
            {
              expr: `histogram_quantile(0.9, sum by (client, server, le) (rate(traces_service_graph_request_server_seconds_bucket[${RATE}])))`,
              legend: '{{client}} → {{server}}',
            },
          ],
        },
      ],
    },
  ],
};
