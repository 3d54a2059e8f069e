import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAdapterPool, type UserLoRAAdapter } from 'lorakeet';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readRatings } from '../../examples/movielens/data.js';
import { runJob, runSettings } from '../../examples/movielens/job.js';
import { ADAPTER_SETTINGS } from '../../examples/movielens/replay.js';
import type { Summary } from '../../examples/movielens/results.js';
import { Store } from '../../examples/movielens/store.js';
import { UserError } from '../../examples/movielens/user-error.js';
import { writeLittleRatings } from './little-ratings.js';

let folder: string;
let little: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-job-'));
  little = join(folder, 'data');
  writeLittleRatings(little);
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** Runs the job on the js backend with a store of this test; `stopAfter` batches it is told to stop. */
async function job(args: string[], { store = 'store', stopAfter = Number.POSITIVE_INFINITY } = {}) {
  const json = join(folder, 'figures.json');
  rmSync(json, { force: true });
  const abort = new AbortController();
  let output = '';
  let replayed = 0;
  const complete = await runJob(['--backend', 'js', '--store', join(folder, store), '--json', json, ...args], {
    stdout: { write: (text) => (output += text) },
    stderr: { write: (text) => expect.unreachable(`stderr: ${text}`) },
    signal: abort.signal,
    onBatch: () => {
      replayed += 1;
      if (replayed >= stopAfter) abort.abort();
    },
  });
  return { complete, output, replayed, figures: () => JSON.parse(readFileSync(json, 'utf8')) as Summary };
}

/** The run that job(few()) keeps in the store, with its errors and its adapters' weights. */
async function stored(store: string) {
  const opened = await Store.open(join(folder, store));
  try {
    const { sha256 } = readRatings(little);
    const run = opened.run(runSettings(sha256, 0, 12, { name: 'js', device: 'js' }));
    return { run, errors: opened.result(run).users, weights: weights(run.adapters as Uint8Array) };
  } finally {
    opened.close();
  }
}

function weights(snapshot: Uint8Array) {
  const pool = createAdapterPool({ ...ADAPTER_SETTINGS, backend: 'js' });
  pool.restore(snapshot);
  return pool.userIds().map((userId) => {
    const { matrixA, matrixB, version } = pool.getAdapter(userId) as UserLoRAAdapter;
    return { userId, matrixA, matrixB, version };
  });
}

test.each([0, 1, 2])(
  'seed %i: the adapters beat the bias model and take at least half of the ridge gain',
  async (seed) => {
    const { complete, output, figures } = await job(['--seed', String(seed)]);
    expect(complete).toBe(true);
    const { bias, ridge, adapter, ridgeGainShare, users } = figures();
    expect(users).toBe(183);
    expect(ridge.rmse).toBeLessThan(bias.rmse);
    expect(adapter.rmse).toBeLessThan(bias.rmse);
    expect(adapter.lateRmse).toBeLessThan(bias.lateRmse as number);
    expect(ridgeGainShare).toBeGreaterThanOrEqual(0.5);
    expect(output).toContain(`lorakeet adapters       ${adapter.rmse.toFixed(4)}`);
  },
);

describe('a store', () => {
  const few = () => ['--data', little, '--users', '12'];

  test('resumes a stopped run, which ends exactly as one that was never stopped', async () => {
    const whole = await job(few(), { store: 'whole' });
    const first = await job(few(), { stopAfter: 37 });
    expect(first.complete).toBe(false);
    expect(first.output).toMatch(/stopped after event batch 37 of [\d,]+ and saved/);
    const second = await job(few(), { stopAfter: 50 });
    expect(second.output).toMatch(/resuming after event batch 37 of/);
    const third = await job(few());
    expect(third.output).toMatch(/resuming after event batch 87 of/);
    expect(third.complete).toBe(true);
    expect(first.replayed + second.replayed + third.replayed).toBe(whole.replayed);

    const resumed = await stored('store');
    const uninterrupted = await stored('whole');
    expect(resumed.run).toMatchObject({ position: whole.replayed, finished: true });
    expect(resumed.weights).toHaveLength(12);
    expect(resumed.errors).toEqual(uninterrupted.errors);
    expect(resumed.weights).toEqual(uninterrupted.weights);
    for (const model of ['bias', 'ridge', 'adapter'] as const) {
      expect(third.figures()[model]).toEqual(whole.figures()[model]);
    }
  });

  test('shows the results of a complete run without replaying it, until it is reset', async () => {
    const first = await job(few());
    const again = await job(few());
    expect(again.replayed).toBe(0);
    expect(again.output).toMatch(/complete already.*--reset/);
    expect(again.figures()).toEqual(first.figures());
    const anew = await job([...few(), '--reset']);
    expect(anew.replayed).toBe(first.replayed);
    expect(anew.figures().adapter).toEqual(first.figures().adapter);
  });

  test('does not mix runs with other settings', async () => {
    await job(few(), { stopAfter: 20 });
    const otherSeed = await job([...few(), '--seed', '1']);
    const otherUsers = await job(['--data', little, '--users', '11']);
    for (const { output } of [otherSeed, otherUsers]) expect(output).not.toMatch(/resuming|complete already/);
    const alone = await job([...few(), '--seed', '1'], { store: 'alone' });
    expect(otherSeed.figures().adapter).toEqual(alone.figures().adapter);
    expect((await job(few())).output).toMatch(/resuming after event batch 20 of/);
  });

  test('is saved from the first batch on, not only at the end', async () => {
    let position = 0;
    const crash = runJob(['--backend', 'js', '--store', join(folder, 'store'), ...few()], {
      stdout: { write() {} },
      stderr: { write() {} },
      onBatch: ({ batch }) => {
        position = batch;
        if (batch === 5) throw new Error('as if it had crashed');
      },
    });
    await expect(crash).rejects.toThrow('as if it had crashed');
    expect(position).toBe(5);
    const { run } = await stored('store');
    expect(run.position).toBeGreaterThanOrEqual(1);
    expect(run.finished).toBe(false);
  });

  test('belongs to one run at a time', async () => {
    const open = await Store.open(join(folder, 'store'));
    try {
      await expect(job(few())).rejects.toThrow(/another run is using it/);
    } finally {
      open.close();
    }
    expect((await job(few())).complete).toBe(true);
  });

  test('refuses a file that is no store', async () => {
    const store = await Store.open(join(folder, 'store'));
    store.close();
    writeFileSync(store.path, 'not a database, and long enough to be read as the header of one'.repeat(20));
    await expect(job(few())).rejects.toThrow(UserError);
    await expect(job(few())).rejects.toThrow(/cannot open the store .*--store/);
  });
});

test('the report needs nothing but itself', async () => {
  const { figures } = await job(['--data', little]);
  const html = readFileSync(join(folder, 'store', 'report.html'), 'utf8');
  // the policy forbids the browser every request, so whatever the page shows, it has brought along
  expect(html).toContain(`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; `);
  expect(html).not.toMatch(/<link|<img|<iframe|@import|\bsrc\s*=|url\(|\bimport\s*\(/);
  expect(html).toContain(figures().adapter.rmse.toFixed(4));
  for (const id of ['errors', 'gains', 'users', 'throughput']) expect(html).toContain(`<div id="${id}">`);
  const scripts = [...html.matchAll(/<script>([\s\S]*?)<\/script>/g)].map(([, script]) => script);
  expect(scripts).toHaveLength(2);
  // both are complete scripts: a stray </script> in one would have cut it short
  for (const script of scripts) expect(() => new Function(script)).not.toThrow();
});

test('refuses more users than there are', async () => {
  await expect(job(['--data', little, '--users', '99'])).rejects.toThrow(
    /--users: got 99, but the split holds out \d+ users/,
  );
});

test('--help only shows the flags', async () => {
  const { output, complete, replayed } = await job(['--help']);
  expect(complete).toBe(true);
  expect(replayed).toBe(0);
  expect(output).toMatch(/--users N/);
});
