import { expect, it } from 'vitest';
import { runFeedback } from '../../bench/src/feedback/program.js';

it('measures every store with one caller and with many', async () => {
  const figures = await runFeedback(60, false, () => {});
  expect(figures.map(({ store, callers }) => `${store} ${callers}`)).toEqual(['plain file 1', 'SQLite 1', 'SQLite 50']);
  for (const { p50, p99 } of figures) expect(p99).toBeGreaterThanOrEqual(p50);
});
