/** The page at `/`: static, no script, nothing loaded from anywhere. */

import { createHash } from 'node:crypto';

const STYLE = `
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem; }
  dt { font-family: ui-monospace, monospace; margin-top: .75rem; }
  dd { margin-left: 1.5rem; }
`;

export const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Plainsight</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Plainsight</h1>
<p>The HTTP traffic of the processes on this node, TLS included, as Prometheus metrics.</p>
<dl>
<dt><a href="/metrics">/metrics</a></dt><dd>the metrics, in the Prometheus text format or in OpenMetrics</dd>
<dt><a href="/api/status">/api/status</a></dt><dd>features, libraries, processes and losses, as JSON</dd>
<dt><a href="/healthz">/healthz</a></dt><dd>200 while the agent runs</dd>
<dt><a href="/readyz">/readyz</a></dt><dd>200 once the probes are attached, else 503 and the reason</dd>
</dl>
</body>
</html>
`;

const styleHash = createHash('sha256').update(STYLE).digest('base64');

export const PAGE_POLICY =
  `default-src 'none'; style-src 'sha256-${styleHash}'; ` +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
