/** The pictures of docs/dashboard.md. */
import { join } from 'node:path';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { expect } from 'vitest';
import { launchBrowser } from '../../support/browser.js';
import { OPERATE, startService } from './running-service.js';

const caller = { name: 'test' };

export async function takePictures(folder: string): Promise<void> {
  // text without coloured edges makes smaller files
  const [running, browser] = await Promise.all([
    startService('stage directions', { 'training.epochs': 8 }),
    launchBrowser(['--disable-lcd-text']),
  ]);
  const visit = async (options: BrowserContextOptions) => {
    const context = await browser.newContext({ timezoneId: 'UTC', reducedMotion: 'reduce', ...options });
    await context.addInitScript((token) => sessionStorage.setItem('lorakeet-token', token), OPERATE);
    const page = await context.newPage();
    await page.goto(running.url);
    await page.locator('#golden').getByText('no-romeo-here').waitFor();
    await page.locator('.u-over').waitFor();
    return page;
  };
  const save = async (page: Page, name: string) => {
    const { length } = await page.screenshot({ path: join(folder, `dashboard-${name}.png`) });
    expect([name, length < 150_000]).toEqual([name, true]);
  };
  try {
    const first = await running.train();
    await running.service.activate({ adapterVersion: first, reason: 'the first one' }, caller);
    await running.service.promote({ adapterVersion: first }, caller);
    const second = await running.train();
    await running.service.activate({ adapterVersion: second, reason: 'more feedback' }, caller);
    const wide = { width: 1200, height: 1000 };
    const light = await visit({ colorScheme: 'light', viewport: wide });
    await save(light, 'light');
    await light.setViewportSize({ width: 800, height: 560 });
    await light.getByRole('button', { name: 'Roll back…' }).click();
    await save(light, 'dialog');
    await save(await visit({ colorScheme: 'dark', viewport: wide }), 'dark');
    await save(await visit({ colorScheme: 'light', viewport: { width: 360, height: 780 } }), 'narrow');
  } finally {
    await browser.close();
    await running.close();
  }
}
