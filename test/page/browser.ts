/** Chromium for the tests of the page: everything that it complains about or asks for is kept. */

import type { TestContext } from 'node:test';
import { type Browser, chromium, type Page } from 'playwright-core';

const CHROMIUM = '/usr/bin/chromium';

export interface Opened {
  readonly page: Page;
  /** Messages of the console, errors of scripts, violations of the content security policy. */
  readonly complaints: string[];
  readonly requests: string[];
}

export interface View {
  readonly width?: number;
  readonly height?: number;
  readonly colorScheme?: 'light' | 'dark';
}

export async function launch(): Promise<Browser> {
  // As root Chromium has no sandbox of its own; it only ever opens the agent's page.
  return chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
}

/** A page in a context of its own, which goes with the test. `prepare` runs before the address is opened. */
export async function open(
  t: TestContext,
  browser: Browser,
  url: string,
  { width = 1440, height = 900, colorScheme = 'light' }: View = {},
  prepare: (page: Page) => Promise<void> = async () => {},
): Promise<Opened> {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme });
  t.after(() => context.close());
  const page = await context.newPage();
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(`script: ${error.message}`));
  page.on('request', (request) => requests.push(request.url()));
  await page.addInitScript(`
    window.shifts = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts.push(entry.value);
    }).observe({ type: 'layout-shift', buffered: true });
    document.addEventListener('securitypolicyviolation', (event) => console.error('policy: ' + event.violatedDirective));
  `);
  await prepare(page);
  await page.goto(url);
  await page.locator('#live[data-state=live]').waitFor();
  return { page, complaints, requests };
}
