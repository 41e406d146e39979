import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { STEP_SECONDS, STEPS, Steps } from '../../src/summary/steps.ts';
import { TrafficHistory } from '../../src/summary/traffic-history.ts';
import { owner, transaction } from '../metrics/traffic.ts';

const BUCKETS = [0.01, 0.1, 1];
const STEP_MS = STEP_SECONDS * 1000;

class Clock {
  now = 1_000;
  readonly steps = new Steps(this.now);
  readonly history = new TrafficHistory(BUCKETS, this.steps);

  step(count = 1): void {
    for (let i = 0; i < count; i++) {
      this.now += STEP_MS;
      this.steps.advance(this.now);
      this.history.advance();
    }
  }
}

describe('rates', () => {
  test('cover the running step before the first one has ended', () => {
    const clock = new Clock();
    for (let i = 0; i < 8; i++) clock.history.transaction(transaction());
    clock.now += 2_000;
    const figures = clock.history.all('server', clock.now);
    assert.equal(figures.requestsPerSecond, 4);
    assert.equal(figures.total.requests, 8);
    assert.deepEqual(figures.sparkline, []);
  });

  test('cover the last minute, then fall to nothing; the total stays', () => {
    const clock = new Clock();
    for (let i = 0; i < 60; i++) clock.history.transaction(transaction());
    clock.step(12);
    assert.equal(clock.history.all('server', clock.now).requestsPerSecond, 1);
    clock.step();
    const figures = clock.history.all('server', clock.now);
    assert.deepEqual([figures.requestsPerSecond, figures.p50, figures.httpsShare], [0, null, null]);
    assert.equal(figures.total.requests, 60);
    assert.equal(figures.sparkline[0], 12);
  });

  test('a step that ended late is measured by its true length', () => {
    const clock = new Clock();
    for (let i = 0; i < 100; i++) clock.history.transaction(transaction());
    clock.now += 5_000;
    clock.step();
    assert.deepEqual(clock.history.all('server', clock.now).sparkline, [10]);
  });

  test('roles, status classes and schemes are apart', () => {
    const { history } = new Clock();
    history.transaction(transaction({ status: 200 }));
    history.transaction(transaction({ status: 404, scheme: 'https' }));
    history.transaction(transaction({ status: 500, scheme: 'https' }));
    history.transaction(transaction({ status: 599, scheme: 'https' }));
    history.transaction(transaction({ role: 'client', status: 503 }));
    const { total, httpsShare } = history.all('server', 2_000);
    assert.deepEqual(total, { requests: 4, errors: 2, clientErrors: 1 });
    assert.equal(httpsShare, 0.75);
    assert.deepEqual(history.all('client', 2_000).total, { requests: 1, errors: 1, clientErrors: 0 });
  });
});

describe('services', () => {
  test('owners with the same namespace and service are one', () => {
    const { history } = new Clock();
    for (const pod of ['a', 'b']) history.transaction(transaction({ owner: owner({ namespace: 'shop', pod }) }));
    history.transaction(transaction({ owner: owner({ service: 'other' }) }));
    const found = history.services(2_000).map(({ namespace, service, total }) => [namespace, service, total.requests]);
    assert.deepEqual(found, [
      ['shop', 'web', 2],
      ['', 'other', 1],
    ]);
  });

  test('names are cleaned as label values are', () => {
    const { history } = new Clock();
    history.transaction(transaction({ owner: owner({ service: `a\u0000${'b'.repeat(300)}` }) }));
    const [found] = history.services(2_000);
    assert.equal(found?.service.length, 128);
    assert.equal(found?.service.slice(0, 2), 'a\ufffd');
  });

  test('there is a limit; what is beyond counts in all services', () => {
    const { history } = new Clock();
    for (let i = 0; i < 300; i++) history.transaction(transaction({ owner: owner({ service: `s${i}` }) }));
    assert.equal(history.services(2_000).length, 256);
    assert.equal(history.beyondLimit, 44);
    assert.equal(history.all('server', 2_000).total.requests, 300);
  });

  test('one that was silent for the whole history makes room, and comes back from zero', () => {
    const clock = new Clock();
    const first = owner({ service: 'first' });
    clock.history.transaction(transaction({ owner: first }));
    clock.step();
    for (let i = 0; i < 255; i++) clock.history.transaction(transaction({ owner: owner({ service: `s${i}` }) }));
    clock.step(STEPS - 1);
    clock.history.transaction(transaction({ owner: owner({ service: 'too early' }) }));
    assert.equal(clock.history.beyondLimit, 1);
    clock.step();
    clock.history.transaction(transaction({ owner: owner({ service: 'late' }) }));
    assert.equal(clock.history.beyondLimit, 1);
    const names = () => clock.history.services(clock.now).map(({ service }) => service);
    assert.equal(names().includes('first'), false);
    assert.equal(names().includes('late'), true);
    // Its owner object still points to what was forgotten.
    clock.step();
    clock.history.transaction(transaction({ owner: first }));
    const again = clock.history.services(clock.now).find(({ service }) => service === 'first');
    assert.equal(again?.total.requests, 1);
  });
});

describe('detail', () => {
  test('has a row for each bucket and a column for each finished step', () => {
    const clock = new Clock();
    clock.history.transaction(transaction({ durationNs: 5e6 }));
    clock.step();
    clock.history.transaction(transaction({ durationNs: 5e8, status: 500 }));
    clock.history.transaction(transaction({ durationNs: 5e9 }));
    clock.step();
    const detail = clock.history.detail('server', { namespace: '', service: 'web' });
    assert.deepEqual(detail?.heatmap, [
      [1, 0],
      [0, 0],
      [0, 1],
      [0, 1],
    ]);
    assert.deepEqual(detail?.requestsPerSecond, [0.2, 0.4]);
    assert.deepEqual(detail?.errorsPerSecond, [0, 0.2]);
    assert.deepEqual(detail?.p99, [0.0099, 1]);
    assert.deepEqual(clock.history.detail('server', null)?.heatmap, detail?.heatmap);
  });

  test('forgets what is older than five minutes', () => {
    const clock = new Clock();
    clock.history.transaction(transaction());
    clock.step(STEPS);
    assert.equal(clock.history.detail('server', null)?.heatmap[0]?.[0], 1);
    clock.step();
    const { heatmap } = clock.history.detail('server', null)!;
    assert.equal(heatmap[0]?.length, STEPS);
    assert.equal(
      heatmap.flat().reduce((sum, count) => sum + count, 0),
      0,
    );
  });

  test('is nothing for a service that is not known, or in the other role', () => {
    const { history } = new Clock();
    history.transaction(transaction());
    assert.equal(history.detail('server', { namespace: '', service: 'nobody' }), null);
    assert.equal(history.detail('client', { namespace: '', service: 'web' }), null);
  });
});

test('the longest history of all services takes little memory', () => {
  // The rows are what grows: 61 steps of as many numbers as there are buckets and four more.
  const rowsBytes = 258 * Steps.slots * (13 + 4) * 4;
  assert.ok(rowsBytes < 1_100_000, `${rowsBytes}`);
});
