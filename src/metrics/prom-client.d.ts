/**
 * Types of the two files of prom-client that are imported by path: its registry (which writes the exposition) and its
 * default metrics. Its index also loads the push gateway, cluster aggregation and summaries, with https and cluster
 * behind them, which nothing here uses (about 1 MB resident). The package has no `exports` map and is pinned exactly;
 * the layout is that of v15.1.3.
 */

declare module 'prom-client/lib/registry.js' {
  import { Registry } from 'prom-client';
  export = Registry;
}

declare module 'prom-client/lib/defaultMetrics.js' {
  import { collectDefaultMetrics } from 'prom-client';
  export = collectDefaultMetrics;
}
