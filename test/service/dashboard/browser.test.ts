/**
 * The page in a real browser, against the whole service. With LORAKEET_PICTURES=docs/images it takes the pictures of
 * docs/dashboard.md too.
 */
import axe, { type AxeResults } from 'axe-core';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { selectDecoder } from '../../../src/llm/decoder/select.js';
import { browserIsMissing, launchBrowser } from '../../support/browser.js';
import { covered, isRequired, skipped } from '../../support/coverage-report.js';
import { takePictures } from './pictures.js';
import { INJECTION, OPERATE, READ, type RunningService, startService } from './running-service.js';

const missing =
  browserIsMissing() ?? (selectDecoder().backend.name === 'js' ? 'the JavaScript decoder is slow at training' : null);
const pictures = process.env.LORAKEET_PICTURES;
const WIDE = { width: 1400, height: 900 };
const NARROW = { width: 360, height: 780 };

if (missing) {
  skipped('browser', 'chromium', missing);
  it.skipIf(!isRequired('chromium'))('LORAKEET_REQUIRE lists chromium', () => expect.fail(missing));
}

describe.skipIf(missing)(`the dashboard in a browser${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let running: RunningService;
  let browser: Browser;
  /** What a page must not do: complain, or ask anybody else. */
  const complaints: string[] = [];

  beforeAll(async () => {
    [running, browser] = await Promise.all([startService(), launchBrowser()]);
    await running.train();
  });
  afterAll(async () => {
    covered('browser', 'chromium');
    await browser?.close();
    await running?.close();
  });
  afterEach(async () => {
    await Promise.all(browser.contexts().map((context) => context.close()));
    expect(complaints.splice(0)).toEqual([]);
  });

  async function visit(token: string | null = OPERATE, options: BrowserContextOptions = {}): Promise<Page> {
    const context = await browser.newContext({
      viewport: WIDE,
      timezoneId: 'UTC',
      reducedMotion: 'reduce',
      ...options,
    });
    context.setDefaultTimeout(10_000);
    const page = await context.newPage();
    page.on('console', (message) => {
      // the browser itself says that an answer was a 401 or 409; the page says it to its reader
      if (message.type() === 'error' && !/status of 4(01|09)/.test(message.text())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('request', (request) => {
      if (new URL(request.url()).origin !== running.url) complaints.push(`asked ${request.url()}`);
    });
    // as if entered before: it is kept for the tab
    if (token) await context.addInitScript((value) => sessionStorage.setItem('lorakeet-token', value), token);
    await page.goto(running.url);
    if (token) await page.getByRole('heading', { name: 'Serving' }).waitFor();
    return page;
  }

  /** By somebody else. */
  const activate = (adapterVersion: string) =>
    running.service.activate({ adapterVersion, reason: 'by another', override: true }, { name: 'test' });
  const card = (page: Page, name: string) => page.getByRole('region', { name, exact: true });
  const said = (page: Page) => page.locator('.live');

  /** As when the tab is looked at again: everything is asked at once. */
  const lookAgain = (page: Page) => page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));

  async function confirm(page: Page, button: string, reason: string): Promise<void> {
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Reason').fill(reason);
    await dialog.getByRole('button', { name: button }).click();
    await dialog.waitFor({ state: 'detached' });
  }

  it('shows versions, golden results, feedback, model, schedule and health', async () => {
    const page = await visit();
    await card(page, 'Versions').getByText('v1.0', { exact: true }).waitFor();
    await card(page, 'Golden results').getByText('no-romeo-here').waitFor();
    expect(await card(page, 'Golden results').textContent()).toMatch(/Cases failed1 of 4Pass rate75%/);
    expect(await card(page, 'Feedback of the last 7 days').textContent()).toMatch(/48 rows.*thumbs_up40.*thumbs_down8/);
    expect(await card(page, 'System').textContent()).toMatch(/tiny-shakespeare-llama.*feedbackok/);
    expect(await card(page, 'Training').textContent()).toMatch(/Next run of .*0 2 \* \* 1/);
    expect(await card(page, 'Jobs').textContent()).toMatch(/train.*completed.*v1\.0/);
    await page.locator('.u-over').waitFor();
    expect(await page.locator('figcaption').textContent()).toMatch(
      /^Steps 1 to \d+: loss [\d.]+ → [\d.]+, EWC loss [\d.e-]+ → [\d.e-]*[1-9]/,
    );
  });

  it('trains now, shows how far it is, and then the new version', async () => {
    await running.addFeedback();
    const page = await visit();
    const training = card(page, 'Training');
    await training.getByRole('button', { name: 'Train now…' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Train' }).click();
    await training.getByRole('progressbar').waitFor();
    await training.getByText(/^(Loading|Fisher information|Training|Golden gate|Publishing): \d+ of \d+$/).waitFor();
    await card(page, 'Versions').getByText('v1.1', { exact: true }).waitFor();
    await training.getByText('Nothing is running').waitFor();
    expect((await running.service.adapters()).map(({ version }) => version)).toEqual(['v1.1', 'v1.0']);
  });

  it('deploys a version, and says by whom and why', async () => {
    const page = await visit();
    await page.getByRole('button', { name: 'Deploy v1.0' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Deploy' }).click();
    await dialog.getByText('A reason is needed').waitFor();
    expect((await running.service.loraStatus()).active).toBeNull();
    await confirm(page, 'Deploy', `first of all ${INJECTION}`);
    await said(page).getByText('v1.0 is served').waitFor();
    await card(page, 'Serving').getByText('active', { exact: true }).waitFor();
    await card(page, 'Changes').getByText(`first of all ${INJECTION}`).waitFor();
    await card(page, 'Changes').getByText('by ada').waitFor();
    expect(await running.service.loraStatus()).toMatchObject({ active: 'v1.0', enabled: true });
  });

  it('answers a prompt word by word with the version that is served', async () => {
    const page = await visit();
    const tryIt = card(page, 'Try it');
    await tryIt.getByLabel('Prompt').fill('ROMEO:\n');
    await tryIt.getByLabel('New tokens at most').fill('12');
    await tryIt.getByRole('button', { name: 'Generate' }).click();
    await tryIt.getByText(/^By v1\.0: \d+ tokens/).waitFor();
    expect((await tryIt.locator('output').textContent())?.length).toBeGreaterThan(5);
  });

  it('rolls back, which puts the version it leaves into quarantine', async () => {
    await activate('v1.1');
    const page = await visit();
    await card(page, 'Serving').getByText('v1.1').first().waitFor();
    await page.getByRole('button', { name: 'Roll back…' }).click();
    await confirm(page, 'Roll back', 'worse than before');
    await said(page).getByText('v1.0 is served').waitFor();
    await card(page, 'Versions').getByText('quarantined').waitFor();
    expect(await running.service.loraStatus()).toMatchObject({ active: 'v1.0', quarantined: ['v1.1'] });
  });

  it('deploys what is not approved only with a tick and a reason', async () => {
    const version = await running.train({ days: 3, goldenThresholds: { minPassRate: 1 } });
    const page = await visit();
    await page.getByRole('button', { name: `Deploy ${version}` }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Reason').fill('for a trial');
    await dialog.getByRole('button', { name: 'Deploy unapproved version' }).click();
    await dialog.getByText('tick this to deploy it all the same').waitFor();
    expect((await running.service.loraStatus()).active).toBe('v1.0');
    await dialog.getByLabel('Deploy it although it is not approved').check();
    await dialog.getByRole('button', { name: 'Deploy unapproved version' }).click();
    await said(page).getByText(`${version} is served`).waitFor();
    await card(page, 'Changes').getByText('override').first().waitFor();
    expect((await running.service.loraStatus()).history[0]).toMatchObject({ override: true, actor: 'ada' });
  });

  it('refuses what somebody else has changed since the dialog was opened', async () => {
    const page = await visit();
    await page.getByRole('button', { name: 'Roll back…' }).click();
    await activate('v1.0');
    await lookAgain(page);
    await card(page, 'Serving').locator('.headline').getByText('v1.0').waitFor();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Reason').fill('too late');
    await dialog.getByRole('button', { name: 'Roll back' }).click();
    await dialog.getByText('ERR_VERSION_CONFLICT').waitFor();
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    expect((await running.service.loraStatus()).active).toBe('v1.0');
    await activate('v1.2');
  });

  it('has a kill switch that needs no mouse', async () => {
    const page = await visit();
    const kill = page.getByRole('button', { name: 'Kill switch…' });
    await kill.waitFor();
    for (let tabs = 0; !(await kill.evaluate((button) => button === document.activeElement)); tabs++) {
      expect(tabs).toBeLessThan(10);
      await page.keyboard.press('Tab');
    }
    expect(await kill.evaluate((button) => getComputedStyle(button).outlineStyle)).toBe('solid');
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Kill switch' });
    await dialog.waitFor();
    // nothing behind it can be reached
    for (let tabs = 0; tabs < 7; tabs++) {
      expect(await dialog.evaluate((element) => element.contains(document.activeElement))).toBe(true);
      await page.keyboard.press(tabs < 4 ? 'Tab' : 'Shift+Tab');
    }
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    expect((await running.service.loraStatus()).enabled).toBe(true);
    expect(await kill.evaluate((button) => button === document.activeElement)).toBe(true);
    await page.keyboard.press('Enter');
    await page.keyboard.type('it insults people');
    await page.keyboard.press('Enter');
    await card(page, 'Serving').getByText('adapters disabled').waitFor();
    expect(await running.service.loraStatus()).toMatchObject({ enabled: false, active: null });
    await page.getByRole('button', { name: 'Enable adapters…' }).click();
    expect(await page.getByRole('dialog').getByLabel('Version').inputValue()).toBe('v1.0');
    await confirm(page, 'Enable', 'mended');
    await card(page, 'Serving').getByText('active', { exact: true }).waitFor();
    expect(await running.service.loraStatus()).toMatchObject({ enabled: true, active: 'v1.0' });
  });

  it('takes no text for markup', async () => {
    const page = await visit();
    await card(page, 'Feedback of the last 7 days').getByText(INJECTION).waitFor();
    await card(page, 'Changes').getByText(INJECTION).waitFor();
    expect(await page.title()).toBe('lorakeet');
    expect(await page.locator('main img, main script').count()).toBe(0);
  });

  it('asks for a token, keeps it in the tab alone, and forgets it', async () => {
    const page = await visit(null);
    const dialog = page.getByRole('dialog', { name: 'Sign in' });
    await dialog.getByLabel('Token').fill('wrong-token-of-the-browser-test');
    await dialog.getByRole('button', { name: 'Sign in' }).click();
    await dialog.getByText('does not know this token').waitFor();
    await dialog.getByLabel('Token').fill(OPERATE);
    await dialog.getByRole('button', { name: 'Sign in' }).click();
    await card(page, 'Versions').getByText('v1.0', { exact: true }).waitFor();
    expect(page.url()).toBe(`${running.url}/`);
    expect(await page.evaluate(() => [Object.values(sessionStorage), localStorage.length, document.cookie])).toEqual([
      [OPERATE],
      0,
      '',
    ]);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await dialog.waitFor();
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
  });

  it('switches off what a token may not do, and says why', async () => {
    const page = await visit(READ);
    await page.getByText('This token may read').waitFor();
    for (const name of ['Kill switch…', 'Roll back…', 'Train now…', 'Generate', 'Deploy v1.0']) {
      const button = page.getByRole('button', { name });
      expect([name, await button.getAttribute('aria-disabled')]).toEqual([name, 'true']);
      expect(await button.getAttribute('title')).toContain('scope read');
      await button.click({ force: true });
    }
    expect(await page.getByRole('dialog').count()).toBe(0);
  });

  it('keeps what it knew while the service does not answer, says since when, and comes back', async () => {
    const page = await visit();
    await card(page, 'Versions').getByText('v1.0', { exact: true }).waitFor();
    await page.context().setOffline(true);
    await lookAgain(page);
    await page.getByText(/^unreachable since \d\d:\d\d:\d\d/).waitFor();
    expect(await page.getByRole('button', { name: 'Train now…' }).getAttribute('aria-disabled')).toBe('true');
    await card(page, 'Versions').getByText('v1.0', { exact: true }).waitFor();
    await page.context().setOffline(false);
    await lookAgain(page);
    await page.getByText('unreachable').waitFor({ state: 'detached' });
    expect(complaints.splice(0).filter((text) => !/ERR_INTERNET_DISCONNECTED/.test(text))).toEqual([]);
  });

  it.each([
    ['light', { colorScheme: 'light' }],
    ['dark', { colorScheme: 'dark' }],
    ['narrow', { colorScheme: 'light', viewport: NARROW }],
  ] as const)('has no serious fault of accessibility, and fits: %s', async (_, options) => {
    const page = await visit(OPERATE, options);
    await card(page, 'Golden results').getByText('no-romeo-here').waitFor();
    await page.locator('.u-over').waitFor();
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    expect(width).toBeLessThanOrEqual((options as { viewport?: typeof WIDE }).viewport?.width ?? WIDE.width);
    expect(await faults(page)).toEqual([]);
    await page.getByRole('button', { name: 'Kill switch…' }).click();
    expect(await faults(page)).toEqual([]);
  });

  async function faults(page: Page): Promise<string[]> {
    await page.evaluate(axe.source);
    return page.evaluate(async () => {
      const tool = (globalThis as unknown as { axe: { run(): Promise<AxeResults> } }).axe;
      const { violations } = await tool.run();
      return violations.map(({ id, impact, nodes }) => `${impact}: ${id}: ${nodes.map(({ html }) => html).join(' ')}`);
    });
  }

  if (pictures) it('takes the pictures of the documentation', () => takePictures(pictures));
});
