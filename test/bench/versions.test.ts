import { expect, it, vi } from 'vitest';
import { runCommand } from '../../bench/src/command.js';
import { HELP } from '../../bench/src/options.js';
import { runVersions } from '../../bench/src/versions/program.js';

it('measures every operation on every store', async () => {
  const rows = await runVersions({ versions: 3, sizes: [100, 70_000] }, () => {});
  expect(rows.map(({ store, operation, sizeBytes }) => `${store} ${operation} ${sizeBytes}`)).toEqual(
    [100, 70_000].flatMap((size) => [
      ...['write and sync', 'read'].map((operation) => `plain file ${operation} ${size}`),
      ...['publish', 'activate', 'load', 'check everything'].map((operation) => `folder ${operation} ${size}`),
      ...['publish', 'activate', 'load', 'check everything'].map((operation) => `memory ${operation} ${size}`),
    ]),
  );
  for (const { millis, perSecond } of rows) expect(millis * perSecond).toBeCloseTo(1000, 3);
});

it.each([
  [['versions', '--versions', '0'], /--versions: got 0/],
  [['versions', '--nope'], /Unknown option/],
])('says what is wrong with %j', async (args, message) => {
  const errors = vi.spyOn(console, 'error').mockImplementation(() => {});
  const logs = vi.spyOn(console, 'log').mockImplementation(() => {});
  expect(await runCommand(args)).toBe(2);
  expect(errors.mock.calls.join('\n')).toMatch(message);
  errors.mockRestore();
  logs.mockRestore();
  expect(HELP).toContain('versions');
});
