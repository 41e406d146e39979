/**
 * The page in Chromium, with the agent, the shop of the demo and a known number of requests: what it shows is what
 * /metrics says, it asks nobody else, and it can be used without a mouse.
 */

import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import type { Summary } from '../../src/summary/contract.ts';
import { quantile } from '../../src/summary/quantile.ts';
import { formatCount, formatDuration, formatShare, NONE } from '../../src/web/page/format.ts';
import { openShop, type Shop } from '../../tools/demo/shop.ts';
import { askShop, CANARY } from '../kernel/customer.ts';
import { Exposition, until } from '../kernel/harness.ts';
import { launch, open } from './browser.ts';

const NAME = `page-${process.pid}`;
const SERVICES = ['web', 'api', 'pay'].map((part) => `${NAME}-${part}`);

let shop: Shop;
let browser: Browser;
let url = '';
let sentRequests = 0;

before(async () => {
  shop = await openShop(NAME);
  assert.ok(shop.hasNames, 'the services of the demo have no names of their own: no cgroup v2 hierarchy to write to');
  const agent = shop.startAgent(['run', '--listen', '127.0.0.1:0', '--log-level', 'warn'], 'pipe');
  let text = '';
  agent.stdout?.on('data', (part) => {
    text += part;
  });
  url = await until('the agent starts', () => /(http:\/\/127\.0\.0\.1:\d+)\/metrics/.exec(text)?.[1]);
  url += '/';
  sentRequests = await askShop(shop, 40);
  // All that was counted is visible: what the customers know of is in the exposition.
  await until('the requests are counted', async () => {
    const total = (await metrics()).sum('http_request_duration_seconds_count', { service: `${NAME}-web` });
    return total >= sentRequests || undefined;
  });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await shop?.stop();
});

async function metrics(): Promise<Exposition> {
  return new Exposition(await (await fetch(`${url}metrics`)).text());
}

/** Texts of the cells of a service's row, by column. */
async function rowOf(page: Page, service: string): Promise<Record<string, string>> {
  const row = page.locator('#services-table tbody tr', { hasText: service });
  await row.waitFor();
  const cells = await row.locator('td').evaluateAll((all) => all.map((cell) => [cell.className, cell.textContent]));
  return Object.fromEntries(cells.map(([name = '', text]) => [name!.replace('column-', ''), text ?? '']));
}

/** The same figures, from the text format. */
function expected(exposition: Exposition, metric: string, service: string): Record<string, string> {
  const counts = new Map<number, number>();
  let requests = 0;
  let errors = 0;
  let clientErrors = 0;
  for (const { name, labels, value } of exposition.samples) {
    if (labels.service !== service) continue;
    if (name === `${metric}_bucket`) {
      const bound = labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le);
      counts.set(bound, (counts.get(bound) ?? 0) + value);
    }
    if (name !== `${metric}_count`) continue;
    requests += value;
    if (Number(labels.status) >= 500) errors += value;
    else if (Number(labels.status) >= 400) clientErrors += value;
  }
  const bounds = [...counts.keys()].sort((a, b) => a - b);
  const perBucket = bounds.map((bound, index) => counts.get(bound)! - (counts.get(bounds[index - 1]!) ?? 0));
  const finite = bounds.slice(0, -1);
  const duration = (q: number) => {
    const value = quantile(q, finite, perBucket);
    return formatDuration(value === null ? null : Number(value.toFixed(6)), finite.at(-1));
  };
  const share = (count: number) => (requests > 0 ? formatShare(count / requests) : NONE);
  return {
    total: formatCount(requests),
    p50: duration(0.5),
    p90: duration(0.9),
    p99: duration(0.99),
    errors: share(errors),
    'client-errors': share(clientErrors),
  };
}

async function compare(page: Page, metric: string, services: readonly string[]): Promise<void> {
  const exposition = await metrics();
  for (const service of services) {
    const wanted = expected(exposition, metric, service);
    assert.notEqual(wanted.total, '0', service);
    const row = await rowOf(page, service);
    const found = Object.fromEntries(Object.keys(wanted).map((key) => [key, row[key]]));
    assert.deepEqual(found, wanted, service);
  }
}

// The first test: within a minute of the requests the window of the page holds them all.
test('the figures of every service are those of /metrics, received and sent', async (t) => {
  const { page, complaints, requests } = await open(t, browser, url);
  await page.locator('#services-table tbody tr', { hasText: SERVICES[0]! }).waitFor();
  await compare(page, 'http_request_duration_seconds', SERVICES);
  assert.equal((await rowOf(page, SERVICES[0]!)).total, formatCount(sentRequests));
  await page.locator('.switch').getByText('Sent').click();
  await compare(page, 'http_client_request_duration_seconds', [`${NAME}-web`, `${NAME}-api`]);
  assert.deepEqual(complaints, []);
  assert.deepEqual(
    requests.filter((address) => !address.startsWith(url)),
    [],
  );
});

test('a chosen service has its own history, and the table has the same figures', async (t) => {
  const { page } = await open(t, browser, url);
  await page.locator('button.name', { hasText: `${NAME}-pay` }).click();
  await page.locator('#detail-title', { hasText: `${NAME}-pay, received` }).waitFor();
  await page
    .locator('details', { has: page.locator('#history-table') })
    .locator('summary')
    .click();
  // A step can end a little late, and rates are rounded.
  const total = async () => {
    const rates = await page.locator('#history-table tbody tr td:nth-child(2)').allTextContents();
    return rates.reduce((sum, text) => sum + Number(text) * 5, 0);
  };
  const wanted = (await metrics()).sum('http_request_duration_seconds_count', { service: `${NAME}-pay` });
  await until(
    'the history has all requests',
    async () => Math.abs((await total()) - wanted) < wanted * 0.05 || undefined,
  );
  assert.match((await page.locator('#heat-chart').getAttribute('aria-label')) ?? '', /p99/);
});

describe('the policy', () => {
  test('no script that is not the page’s own runs', async (t) => {
    const { page, complaints } = await open(t, browser, url);
    const ran = await page.evaluate(`(() => {
      const script = document.createElement('script');
      let refused = false;
      try { script.text = 'window.injected = true'; } catch { refused = true; }
      document.body.append(script);
      try { document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="window.injected = true">'); } catch { refused = true; }
      return [window.injected === true, refused];
    })()`);
    assert.deepEqual(ran, [false, true]);
    assert.notEqual(complaints.length, 0);
  });

  test('names that look like markup are text', async (t) => {
    const name = '<img src=x onerror=alert(1)>"\'&{{7*7}}';
    const { page, complaints } = await open(t, browser, url, {}, (page) =>
      altered(page, (summary) => ({
        ...summary,
        node: name,
        services: summary.services.map((service) => ({ ...service, service: name, namespace: name })),
        tls: {
          ...summary.tls,
          processes: summary.tls.processes.map((found) => ({ ...found, service: name, version: name })),
        },
      })),
    );
    await page.locator('#services-table tbody tr', { hasText: name }).first().waitFor();
    assert.equal(await page.locator('main img').count(), 0);
    assert.deepEqual(complaints, []);
  });
});

/** The page gets the agent's answer with changes. */
async function altered(page: Page, change: (summary: Summary) => Summary): Promise<void> {
  await page.route('**/api/summary*', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: change((await response.json()) as Summary) });
  });
}

describe('without a mouse', () => {
  const focused = (page: Page) =>
    page.evaluate('document.activeElement.id || document.activeElement.className || document.activeElement.value');

  test('everything that can be used is reached by Tab, in the order in which it stands', async (t) => {
    const { page } = await open(t, browser, url);
    await page.locator('#services-table tbody tr', { hasText: SERVICES[0]! }).waitFor();
    // Rows must not move meanwhile; the focus stays at the beginning of the page.
    await page.evaluate(`document.getElementById('pause').click()`);
    const wanted = (await page.evaluate(`(() => {
      const usable = [...document.querySelectorAll('a[href], button, input, summary, [tabindex="0"]')]
        .filter((element) => element.checkVisibility() && !(element.type === 'radio' && !element.checked)
          && !(element.closest('details:not([open])') && element.tagName !== 'SUMMARY'));
      usable.forEach((element, index) => { element.dataset.order = index; });
      return usable.length;
    })()`)) as number;
    const seen: number[] = [];
    for (let i = 0; i < wanted; i++) {
      await page.keyboard.press('Tab');
      seen.push(Number(await page.evaluate('document.activeElement.dataset.order')));
      const outline = await page.evaluate(
        `getComputedStyle(document.activeElement.matches('[type=radio]') ? document.activeElement.closest('label') : document.activeElement).outlineStyle`,
      );
      assert.equal(outline, 'solid', `the focus is not visible on ${await focused(page)}`);
    }
    assert.deepEqual(
      seen,
      seen.map((_, index) => index),
    );
  });

  test('skip, switch, filter, sort, choose, pause', async (t) => {
    const { page } = await open(t, browser, url);
    await page.keyboard.press('Tab');
    assert.equal(await focused(page), 'skip');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    assert.equal(await focused(page), 'server');
    await page.keyboard.press('ArrowRight');
    await page.locator('#detail-title', { hasText: 'sent' }).waitFor();
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('Tab');
    await page.keyboard.type(NAME);
    await until('the filter holds', async () => {
      return (await page.locator('#services-table tbody tr').count()) === SERVICES.length + 1 || undefined;
    });
    await page.locator('.column-total .sort').focus();
    await page.keyboard.press('Enter');
    assert.equal(await page.locator('th.column-total').getAttribute('aria-sort'), 'descending');
    const names = () => page.locator('#services-table tbody .name').allTextContents();
    const order = await names();
    assert.equal(order[1], `${NAME}-web`);
    await page.keyboard.press('Enter');
    assert.deepEqual((await names()).slice(1), order.slice(1).reverse());
    await page.locator('button.name', { hasText: `${NAME}-api` }).focus();
    await page.keyboard.press('Enter');
    await page.locator('#detail-title', { hasText: `${NAME}-api, received` }).waitFor();
    await page.locator('#detail-reset').focus();
    await page.keyboard.press('Space');
    await page.locator('#detail-title', { hasText: 'All services, received' }).waitFor();
    await page.locator('#pause').focus();
    await page.keyboard.press('Space');
    await page.locator('#live[data-state=paused]').waitFor();
    await page.keyboard.press('Space');
    await page.locator('#live[data-state=live]').waitFor();
  });
});

describe('how it looks', () => {
  for (const width of [320, 390, 768, 1180, 1440, 2200]) {
    test(`${width} pixels wide nothing is cut off`, async (t) => {
      const { page } = await open(t, browser, url, { width });
      const overflow = await page.evaluate(`document.documentElement.scrollWidth - innerWidth`);
      assert.equal(overflow, 0);
    });
  }

  for (const colorScheme of ['light', 'dark'] as const) {
    test(`text can be read in ${colorScheme}: contrast of 4.5 and more (WCAG 2.2, 1.4.3)`, async (t) => {
      const { page } = await open(t, browser, url, { colorScheme });
      const ratios = await contrasts(page, ['ink', 'muted', 'accent', 'good', 'warn', 'bad', 'mark']);
      for (const [name, ratio] of Object.entries(ratios)) assert.ok(ratio >= 4.5, `${name}: ${ratio.toFixed(2)}`);
    });
  }

  for (const width of [390, 1440]) {
    test(`nothing jumps while figures change (${width} wide)`, async (t) => {
      const { page } = await open(t, browser, url, { width });
      await page.waitForTimeout(7_000);
      const shifts = (await page.evaluate('window.shifts')) as number[];
      const sum = shifts.reduce((a, b) => a + b, 0);
      assert.ok(sum < 0.02, `layout shifts add up to ${sum.toFixed(4)}`);
    });
  }

  test('an empty node says why, and what to do', async (t) => {
    const { page, complaints } = await open(t, browser, url, {}, (page) =>
      altered(page, (summary) => ({ ...summary, services: [], tls: { processes: [], bytes: null } })),
    );
    await page.locator('#services-empty', { hasText: 'No traffic seen yet' }).waitFor();
    await page.locator('#tls-empty', { hasText: 'No process with TLS found yet' }).waitFor();
    assert.deepEqual(complaints, []);
  });
});

async function contrasts(page: Page, names: readonly string[]): Promise<Record<string, number>> {
  const colors = (await page.evaluate(`(() => {
    const read = (name) => {
      const probe = document.createElement('span');
      probe.style.color = 'var(--' + name + ')';
      document.body.append(probe);
      return getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map(Number);
    };
    return Object.fromEntries(${JSON.stringify([...names, 'panel'])}.map((name) => [name, read(name)]));
  })()`)) as Record<string, number[]>;
  // Relative luminance and contrast ratio of WCAG 2.2.
  const luminance = (rgb: readonly number[]) => {
    const [r = 0, g = 0, b = 0] = rgb.map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const panel = luminance(colors.panel!);
  return Object.fromEntries(
    names.map((name) => {
      const [dark = 0, light = 0] = [luminance(colors[name]!), panel].sort((a, b) => a - b);
      return [name, (light + 0.05) / (dark + 0.05)];
    }),
  );
}

test('nothing of a request is on the page', async (t: TestContext) => {
  const { page } = await open(t, browser, url);
  await page.locator('#services-table tbody tr', { hasText: SERVICES[0]! }).waitFor();
  for (const summary of await page.locator('summary').all()) await summary.click();
  assert.equal((await page.content()).includes(CANARY), false);
});

// The last test: it ends the agent.
test('when the agent is gone the page says so and keeps the last figures', async (t) => {
  const { page } = await open(t, browser, url);
  const row = await rowOf(page, SERVICES[0]!);
  await shop.stop();
  await page.locator('#live[data-state=lost]').waitFor();
  assert.match((await page.locator('#live').textContent()) ?? '', /does not answer; figures of \d\d:\d\d:\d\d/);
  assert.deepEqual(await rowOf(page, SERVICES[0]!), row);
});
