/** What the tests of single clients share: until both sides have probes, and what both sides have counted. */

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { type Exposition, type RunningAgent, sleep, until } from '../kernel/harness.ts';
import { makeUnit, type Unit } from '../kernel/unit.ts';
import type { Sent } from './load.ts';
import { total } from './rows.ts';
import type { Row } from './table.ts';

/**
 * Sends one request in a unit of its own until one is counted on both sides: their TLS libraries have probes. Returns what
 * the server has been counted for till then.
 */
export async function seen(
  t: TestContext,
  agent: RunningAgent,
  service: string,
  send: (unit: Unit) => Promise<void>,
): Promise<Map<string, number>> {
  return until('both sides are seen', async () => {
    const unit = makeUnit(t, 'warm');
    const before = total((await agent.scrape()).transactions('server', { service }));
    await send(unit);
    await sleep(200);
    const exposition = await agent.scrape();
    const served = exposition.transactions('server', { service });
    const asked = exposition.transactions('client', { service: unit.name });
    return total(served) === before + 1 && total(asked) === 1 ? served : undefined;
  });
}

/** Both sides have counted what was sent, nothing was lost, and nothing of the client is incomplete but what had no answer. */
export async function expectCounts(
  row: Row,
  agent: RunningAgent,
  server: string,
  client: string,
  sent: Sent,
  before: ReadonlyMap<string, number>,
  unanswered = 0,
): Promise<Exposition> {
  row.sent = sent.total;
  const served = () => agent.expect('server', { service: server }, sent.after(before));
  const asked = () => agent.expect('client', { service: client }, sent.counts);
  const [one, other] = [await served().catch((error: Error) => error), await asked().catch((error: Error) => error)];
  const exposition = await agent.scrape();
  row.served = total(exposition.transactions('server', { service: server })) - total(before);
  row.asked = total(exposition.transactions('client', { service: client }));
  for (const result of [one, other]) if (result instanceof Error) throw result;
  const incomplete = exposition.samples.filter(
    ({ name, labels, value }) => name === 'http_requests_incomplete_total' && labels.service === client && value > 0,
  );
  assert.deepEqual(
    incomplete.map(({ labels: { reason }, value }) => [reason, value]),
    unanswered > 0 ? [['closed', unanswered]] : [],
  );
  assert.equal(exposition.lost(), 0);
  return exposition;
}
