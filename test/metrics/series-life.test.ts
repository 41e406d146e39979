import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { OVERFLOW_SLOT, SeriesTable } from '../../src/metrics/series.ts';
import { SeriesLife } from '../../src/metrics/series-life.ts';

const POD = { namespace: 'shop', pod: 'web-0' };
const MINUTES = 60_000;

function life() {
  const removed: string[] = [];
  return { removed, life: new SeriesLife(({ namespace, pod }) => removed.push(`${namespace}/${pod}`)) };
}

describe('the series of a pod', () => {
  test('go within two minutes, after a scrape', () => {
    const { life: it, removed } = life();
    it.podEnded(POD, 0);
    it.scraped();
    it.sweep(1.9 * MINUTES);
    assert.deepEqual(removed, []);
    // Whoever sweeps every five seconds does so in time.
    it.sweep(2 * MINUTES - 5_000);
    assert.deepEqual([removed, it.size], [['shop/web-0'], 0]);
  });

  test('wait for a scrape, also for long', () => {
    const { life: it, removed } = life();
    it.podEnded(POD, 0);
    it.sweep(60 * MINUTES);
    assert.deepEqual(removed, []);
    it.scraped();
    it.sweep(60 * MINUTES);
    assert.deepEqual(removed, ['shop/web-0']);
  });

  test('a new pod of the same name starts afresh, once the end of the first was scraped', () => {
    const { life: it, removed } = life();
    it.podEnded(POD, 0);
    it.podFound(POD);
    assert.deepEqual(removed, []);
    it.scraped();
    assert.deepEqual(removed, ['shop/web-0']);
    it.podEnded(POD, MINUTES);
    it.scraped();
    it.podFound(POD);
    assert.deepEqual(removed, ['shop/web-0', 'shop/web-0']);
    it.sweep(60 * MINUTES);
    assert.equal(removed.length, 2);
  });

  test('are bounded without any scrape', () => {
    const { life: it, removed } = life();
    for (let i = 0; i < 5000; i++) it.podEnded({ namespace: 'n', pod: `p${i}` }, i);
    assert.equal(it.size, 4096);
    assert.equal(removed[0], 'n/p0');
  });
});

describe('the share of a pod', () => {
  const table = () =>
    new SeriesTable({
      workloadLabels: ['namespace', 'pod', 'container', 'service'],
      variantLabels: ['status'],
      decode: (variant) => [String(variant)],
      maxSeries: 2000,
    });
  const owner = (pod: string) => ({ namespace: 'shop', pod, container: 'c', service: 's' });

  test('is a tenth, and one series for what is beyond; others are not touched', () => {
    const series = table();
    const noisy = owner('noisy');
    const slots = new Set(Array.from({ length: 240 }, (_, variant) => series.slot(noisy, variant)));
    assert.equal(slots.size, 201);
    assert.ok(!slots.has(OVERFLOW_SLOT));
    assert.equal(series.overflowed, 40);
    const overflow = series.sorted().find(({ labels }) => labels.service === '_overflow');
    assert.deepEqual(overflow?.labels, {
      namespace: 'shop',
      pod: 'noisy',
      container: '',
      service: '_overflow',
      status: '',
    });
    for (let i = 0; i < 20; i++) assert.notEqual(series.slot(owner(`p${i}`), 1), OVERFLOW_SLOT);
    assert.equal(series.removePod(noisy).length, 201);
    assert.equal(series.size, 20);
    assert.ok(!series.sorted().some(({ labels }) => labels.service === '_overflow'));
    assert.notEqual(series.slot(noisy, 1), OVERFLOW_SLOT);
  });

  test('does not bind what is no pod', () => {
    const series = table();
    const host = { namespace: '', pod: '', container: '', service: 'nginx' };
    const slots = new Set(Array.from({ length: 500 }, (_, variant) => series.slot(host, variant)));
    assert.equal(slots.size, 500);
  });

  test('ends at the limit of all', () => {
    const series = table();
    for (let pod = 0; pod < 20; pod++) for (let i = 0; i < 190; i++) series.slot(owner(`p${pod}`), i);
    assert.equal(series.size, 2000);
    assert.equal(series.slot(owner('last'), 1), OVERFLOW_SLOT);
    assert.ok(series.sorted().some(({ slot }) => slot === OVERFLOW_SLOT));
  });
});
