import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { runFeed } from '../../examples/feed-service/feed.js';

const folder = mkdtempSync(join(tmpdir(), 'lorakeet-feed-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('learns what users choose, with one in ten in memory, and goes on in the next run', async () => {
  const options = { store: join(folder, 'feed.db'), users: 50, clicks: 1500 };
  const first = await runFeed(options);
  expect(first.stats).toMatchObject({ updates: 1500, created: 50, capacity: 5, queuedRows: 0 });
  expect(first.stats.evictions).toBeGreaterThan(100);
  expect(first.personalizedDistance).toBeLessThan(0.8 * first.plainDistance);

  const second = await runFeed(options);
  expect(second.stats.created).toBe(0);
  expect(second.personalizedDistance).toBeLessThan(first.personalizedDistance);

  const aborted = await runFeed({ ...options, signal: AbortSignal.abort() });
  expect(aborted.stats.updates).toBe(0);
  expect(aborted.personalizedDistance).toBe(second.personalizedDistance);
});
