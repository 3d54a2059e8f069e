import { expect, it, vi } from 'vitest';
import { runCommand } from '../../bench/src/command.js';
import { mergeTable, runMerges } from '../../bench/src/merge/program.js';

const size = { adapters: 3, rank: 2, dim: 24, rounds: 1 };

it('measures every merge, and says why there is no numpy', () => {
  const figures = runMerges(size, '/nonexistent/python', () => {});
  expect(figures.numpyMissing).toMatch(/ENOENT/);
  expect(figures.rows).toHaveLength(7);
  for (const { wallMs, residual } of figures.rows) {
    expect(wallMs).toBeGreaterThan(0);
    expect(residual).toBeGreaterThanOrEqual(0);
  }
  expect(mergeTable(figures.rows).split('\n')).toHaveLength(9);
});

it('refuses flags that mean nothing', async () => {
  const complaints = vi.spyOn(console, 'error').mockImplementation(() => {});
  vi.spyOn(console, 'log').mockImplementation(() => {});
  for (const args of [
    ['--dim', '0'],
    ['--rank', 'many'],
    ['--speed', '3'],
  ]) {
    expect(await runCommand(['merge', ...args])).toBe(2);
  }
  expect(complaints.mock.calls.flat().join()).toContain('--dim: got 0, expected an integer of at least 1');
  vi.restoreAllMocks();
});
