/** The page: asks the agent every two seconds and hands the answer to each part. Keeps nothing but what is chosen. */

import uPlot from 'uplot';
import type { Role } from '../../summary/contract.ts';
import { AgentCost } from './agent-cost.ts';
import { byId, setAttribute, setText } from './dom.ts';
import { formatTime } from './format.ts';
import { HeatChart } from './heat-chart.ts';
import { HistoryTable } from './history-table.ts';
import { Losses } from './losses.ts';
import { type Connection, type News, Poll } from './poll.ts';
import { RateChart } from './rate-chart.ts';
import { ServiceMap } from './service-map.ts';
import { type Chosen, ServicesTable } from './services-table.ts';
import { startTheme } from './theme.ts';
import { Tiles } from './tiles.ts';
import { TlsCoverage } from './tls-coverage.ts';

const chosen: { role: Role; of: Chosen | null } = { role: 'server', of: null };
const cursor = uPlot.sync('history');
const tiles = new Tiles(byId('tiles', HTMLElement));
const rateChart = new RateChart(cursor);
const heatChart = new HeatChart(cursor);
const historyTable = new HistoryTable();
const serviceMap = new ServiceMap();
const tlsCoverage = new TlsCoverage();
const losses = new Losses();
const agentCost = new AgentCost();
const services = new ServicesTable(choose);
const reset = byId('detail-reset', HTMLButtonElement);
let last: News | undefined;

function choose(of: Chosen | null): void {
  chosen.of = of;
  services.chosen = of;
  showTitle();
  poll.now(true);
}

function showTitle(): void {
  const { role, of } = chosen;
  setText(
    byId('detail-title', HTMLElement),
    `${of?.service ?? 'All services'}, ${role === 'server' ? 'received' : 'sent'}`,
  );
  reset.hidden = of === null;
}

function question(): string {
  const query = new URLSearchParams({ role: chosen.role });
  if (chosen.of !== null) {
    query.set('namespace', chosen.of.namespace);
    query.set('service', chosen.of.service);
  }
  return query.toString();
}

function show(news: News): void {
  if (last === undefined) setAttribute(byId('main', HTMLElement), 'data-state', undefined);
  last = news;
  const { summary, graph } = news;
  setText(byId('where', HTMLElement), `${summary.node}, Linux ${summary.kernel}, agent ${summary.version}`);
  document.title = `${summary.node} – Plainsight`;
  tiles.update(summary);
  services.update(summary);
  serviceMap.update(graph);
  tlsCoverage.update(summary);
  losses.update(summary);
  agentCost.update(summary);
  if (summary.detail === null) {
    choose(null);
    return;
  }
  rateChart.update(summary, summary.detail);
  heatChart.update(summary, summary.detail);
  historyTable.update(summary, summary.detail);
}

function showConnection(connection: Connection): void {
  const at = last ? formatTime(last.summary.time / 1000) : '';
  const texts: Readonly<Record<Connection, string>> = {
    waiting: 'Connecting',
    live: 'Live',
    paused: at === '' ? 'Paused' : `Paused at ${at}`,
    lost: at === '' ? 'The agent does not answer' : `The agent does not answer; figures of ${at}`,
  };
  setAttribute(byId('live', HTMLElement), 'data-state', connection);
  setText(byId('live-text', HTMLElement), texts[connection]);
}

const poll = new Poll(question, show, showConnection);

const pause = byId('pause', HTMLButtonElement);
pause.addEventListener('click', () => {
  poll.paused = !poll.paused;
  setAttribute(pause, 'aria-pressed', String(poll.paused));
});
reset.addEventListener('click', () => choose(null));
for (const input of document.querySelectorAll<HTMLInputElement>('input[name="role"]')) {
  input.addEventListener('change', () => {
    chosen.role = input.value === 'client' ? 'client' : 'server';
    services.role = chosen.role;
    choose(null);
  });
}
byId('history-table', HTMLTableElement)
  .closest('details')
  ?.addEventListener('toggle', () => {
    if (last?.summary.detail) historyTable.update(last.summary, last.summary.detail);
  });
startTheme(() => {
  rateChart.recolor();
  heatChart.recolor();
});
showTitle();
poll.now();
