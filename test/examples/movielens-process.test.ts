/**
 * The job as its own process, as `npm test` sets it up, on the fastest backend here: what a kill, Ctrl-C and a wrong flag
 * do.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeLittleRatings } from './little-ratings.js';

const MAIN = 'build/examples/movielens/main.js';

let folder: string;
beforeAll(() => {
  if (!existsSync(MAIN)) throw new Error(`${MAIN} has not been built: npm run build`);
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-process-'));
  writeLittleRatings(join(folder, 'data'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Runs the job in `store`; with `signal`, the process sends that to itself when it announces a quarter of the way. */
function job(store: string, options: { args?: string[]; signal?: NodeJS.Signals } = {}) {
  const json = join(folder, 'figures.json');
  rmSync(json, { force: true });
  const { args = [], signal } = options;
  const preload = signal
    ? `const write = process.stdout.write;
       process.stdout.write = function (text, ...rest) {
         write.call(this, text, ...rest);
         if (/ 25 % of /.test(text)) process.kill(process.pid, ${JSON.stringify(signal)});
       };`
    : '';
  const flags = ['--data', join(folder, 'data'), '--store', join(folder, store), '--json', json];
  const {
    status,
    signal: killedBy,
    stdout,
    stderr,
  } = spawnSync(
    process.execPath,
    ['--import', `data:text/javascript,${encodeURIComponent(preload)}`, MAIN, ...flags, ...args],
    // Node 22 warns that its SQLite is experimental
    { encoding: 'utf8', env: { ...process.env, NODE_NO_WARNINGS: '1' } },
  );
  return {
    status,
    killedBy,
    stdout,
    stderr: withoutNotice(stderr),
    figures: () => JSON.parse(readFileSync(json, 'utf8')),
  };
}

/** On a machine without the addon the engine says there that it falls back. */
function withoutNotice(stderr: string): string {
  return stderr.replace(/^lorakeet: computing on js .*\n/m, '');
}

describe('a run that was cut short', () => {
  test.each([
    {
      signal: 'SIGKILL',
      status: null,
      killedBy: 'SIGKILL',
      last: /25 % of/,
      resumes: /resuming after event batch \d+ of/,
    },
    {
      signal: 'SIGINT',
      status: 130,
      killedBy: null,
      last: /stopped after event batch \d+ of/,
      resumes: /resuming after/,
    },
    {
      signal: 'SIGTERM',
      status: 143,
      killedBy: null,
      last: /stopped after event batch \d+ of/,
      resumes: /resuming after/,
    },
  ] as const)('by $signal is resumed with the same results', ({ signal, status, killedBy, last, resumes }) => {
    const whole = job('whole');
    expect(whole.stderr).toBe('');
    expect(whole.status).toBe(0);

    const cut = job(signal, { signal });
    expect(cut).toMatchObject({ status, killedBy, stderr: '' });
    expect(cut.stdout.trimEnd().split('\n').at(-1)).toMatch(last);
    expect(cut.stdout).not.toContain('RMSE');

    const resumed = job(signal);
    expect(resumed.status).toBe(0);
    expect(resumed.stdout).toMatch(resumes);
    for (const model of ['bias', 'ridge', 'adapter']) {
      expect(resumed.figures()[model]).toEqual(whole.figures()[model]);
    }
    expect(existsSync(join(folder, signal, 'report.html'))).toBe(true);
  });
});

test.each([
  [['--seeds', '1'], /--seeds/],
  [['--seed', 'one'], /^--seed: got "one", expected a whole number/],
  [['--data', 'no-such-folder'], /^cannot read the ratings: .*no-such-folder/],
])('%j is refused with exit code 2 and one plain message', (args, message) => {
  const { status, stdout, stderr } = job('refused', { args });
  expect(status).toBe(2);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/^\s+at /m);
  expect(stdout).not.toContain('RMSE');
  expect(existsSync(join(folder, 'refused'))).toBe(false);
});
