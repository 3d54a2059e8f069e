/** The page of the OpenAPI document in a real browser: it works under its policy, and asks nobody else. */
import { describe, expect, it } from 'vitest';
import { ROUTES } from '../../../src/service/http/routes.js';
import { browserIsMissing, launchBrowser } from '../../support/browser.js';
import { covered, isRequired, skipped } from '../../support/coverage-report.js';
import { appOf } from './apps.js';
import { stubService } from './stub-service.js';

const missing = browserIsMissing();
if (missing) {
  skipped('browser', 'chromium', missing);
  it.skipIf(!isRequired('chromium'))('LORAKEET_REQUIRE lists chromium', () => expect.fail(missing));
}

describe.skipIf(missing)(`/docs in a browser${missing ? ` (skipped: ${missing})` : ''}`, () => {
  it('shows every route, and tries one out', async () => {
    const service = stubService();
    const app = await appOf(service, { 'service.tokens': [] });
    await app.listen({ host: '127.0.0.1', port: 0 });
    const { port } = app.server.address() as { port: number };
    const own = `http://127.0.0.1:${port}/`;
    const browser = await launchBrowser();
    try {
      const page = await browser.newPage();
      const complaints: string[] = [];
      page.on('console', (message) => complaints.push(message.text()));
      page.on('pageerror', (error) => complaints.push(error.message));
      page.on('request', (request) => {
        if (!request.url().startsWith(own) && !request.url().startsWith('data:')) complaints.push(request.url());
      });
      await page.goto(`${own}docs`);
      await page.waitForSelector('.opblock');
      expect(await page.locator('.opblock').count()).toBe(ROUTES.length);
      const overview = page.locator('.opblock', { hasText: '/overview' });
      await overview.locator('.opblock-summary-control').click();
      await overview.locator('button.try-out__btn').click();
      await overview.locator('button.execute').click();
      await overview.locator('.live-responses-table').waitFor();
      expect(service.calls).toEqual([{ method: 'overview', given: [] }]);
      expect(complaints).toEqual([]);
      covered('browser', 'chromium');
    } finally {
      await browser.close();
    }
  }, 60_000);
});
