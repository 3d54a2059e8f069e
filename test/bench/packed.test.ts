import { expect, it, vi } from 'vitest';
import { runCommand } from '../../bench/src/command.js';
import { runPacked } from '../../bench/src/packed/program.js';

it('measures saving and restoring beside the disk', async () => {
  const rows = await runPacked(300, 'sgd');
  expect(rows.map(({ operation }) => operation)).toEqual([
    ...['file: write and sync', 'pool.saveTo', '… of the 1 % that changed'],
    ...['file: read', 'open the store', 'pool.restoreFrom'],
  ]);
  for (const { operation, seconds, cpuSeconds, sizeBytes, ratio } of rows) {
    expect(seconds, operation).toBeGreaterThan(0);
    expect(cpuSeconds).toBeGreaterThanOrEqual(0);
    // 24 KiB of numbers a user
    expect(sizeBytes).toBeGreaterThan((operation.startsWith('…') ? 3 : 300) * 24_576);
    expect(ratio !== undefined).toBe(operation.startsWith('pool'));
  }
});

it.each([
  [['packed', '--users', '0'], /--users: got 0/],
  [['packed', '--nope'], /Unknown option/],
])('says what is wrong with %j', async (args, message) => {
  const errors = vi.spyOn(console, 'error').mockImplementation(() => {});
  const logs = vi.spyOn(console, 'log').mockImplementation(() => {});
  expect(await runCommand(args)).toBe(2);
  expect(errors.mock.calls.join('\n')).toMatch(message);
  errors.mockRestore();
  logs.mockRestore();
});
