import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import {
  type AdapterPool,
  type AdapterPoolOptions,
  createAdapterPool,
  createLoRAPersonalizationEngine,
} from '../../src/index.js';
import { quiet, randomVector } from './samples.js';

const DIM = 32;
const config = { ...quiet, rank: 4, embeddingDim: DIM };
const opened: AdapterPool[] = [];
afterAll(() => Promise.all(opened.map((pool) => pool.close())));

function newPool(options: AdapterPoolOptions = {}): AdapterPool {
  const pool = createAdapterPool({ ...config, ...options });
  opened.push(pool);
  return pool;
}

/** `rows` rows for each of `users`, different for every round. */
function batch(round: number, users: readonly string[], rows = 1) {
  const userIds = users.flatMap((userId) => Array<string>(rows).fill(userId));
  const length = DIM * userIds.length;
  return { userIds, content: randomVector(length, 2 * round + 1), target: randomVector(length, 2 * round + 2) };
}

/** The same rows as a list, in views of the same arrays. */
const objectsOf = ({ userIds, content, target }: ReturnType<typeof batch>) =>
  userIds.map((userId, row) => ({
    userId,
    contentEmbedding: content.subarray(row * DIM, (row + 1) * DIM),
    targetEmbedding: target.subarray(row * DIM, (row + 1) * DIM),
  }));

const numbersOf = (pool: AdapterPool, userId: string) => {
  const adapter = pool.getAdapter(userId);
  return [
    adapter?.version,
    adapter?.matrixA,
    adapter?.matrixB,
    adapter?.metadata.totalSamples,
    adapter?.metadata.avgLoss,
  ];
};

describe('learns called at once', () => {
  it('lose nothing for one user, and take effect in order', async () => {
    const [together, inTurn] = [newPool(), newPool()];
    const rounds = Array.from({ length: 20 }, (_, round) => batch(round, ['u']));
    const reports = await Promise.all(rounds.map((round) => together.learn(round)));
    for (const round of rounds) await inTurn.learn(round);
    expect(together.getAdapter('u')).toMatchObject({
      version: 21,
      optimizerState: { step: 20 },
      metadata: { totalSamples: 20 },
    });
    expect(numbersOf(together, 'u')).toEqual(numbersOf(inTurn, 'u'));
    expect(reports.map((report) => report.created)).toEqual([1, ...Array(19).fill(0)]);
  });

  it('of many users, long and short, give what they give one by one', async () => {
    const [together, inTurn] = [newPool(), newPool()];
    const many = Array.from({ length: 1000 }, (_, i) => `user-${i}`);
    const rounds = [0, 1, 2, 3, 4, 5].map((round) =>
      batch(round, round % 2 ? many.slice(10 * round, 10 * round + 5) : many.slice(round)),
    );
    await Promise.all(rounds.map((round) => together.learn(round)));
    for (const round of rounds) await inTurn.learn(round);
    expect(together.size).toBe(inTurn.size);
    for (const userId of ['user-0', 'user-4', 'user-12', 'user-54', 'user-999']) {
      expect(numbersOf(together, userId)).toEqual(numbersOf(inTurn, userId));
    }
  });

  it('keep to the feedback of their call, however the caller uses his arrays again', async () => {
    const [reusing, inTurn] = [newPool(), newPool()];
    const users = Array.from({ length: 150 }, (_, i) => `user-${i}`);
    // short and long; in order, scattered, and as objects
    const rounds = [0, 1, 2, 3, 4, 5].map((round) => batch(round, round % 2 ? users.slice(0, 3) : users, 2));
    for (const round of [rounds[2], rounds[3]]) round.userIds.reverse().unshift(round.userIds.pop() as string);
    const buffer = batch(0, users, 2);
    const learns = rounds.map((round, i) => {
      const feedback = {
        userIds: buffer.userIds,
        content: buffer.content.subarray(0, round.content.length),
        target: buffer.target.subarray(0, round.target.length),
      };
      buffer.userIds.splice(0, Infinity, ...round.userIds);
      feedback.content.set(round.content);
      feedback.target.set(round.target);
      return reusing.learn(i < 4 ? feedback : objectsOf(feedback));
    });
    buffer.content.fill(Number.NaN);
    buffer.target.fill(Number.NaN);
    await Promise.all(learns);
    for (const round of rounds) await inTurn.learn(round);
    for (const userId of ['user-0', 'user-2', 'user-77', 'user-149']) {
      expect(numbersOf(reusing, userId)).toEqual(numbersOf(inTurn, userId));
    }
  });

  it('go on after one that failed', async () => {
    const pool = newPool({ capacity: 1 });
    const results = await Promise.allSettled([
      pool.learn(batch(0, ['u'])),
      pool.learn(batch(1, ['v'])),
      pool.learn(batch(2, ['u'])),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(pool.getAdapter('u')?.version).toBe(3);
  });
});

describe('while learns run', () => {
  // enough work for several kernel calls on one core
  const many = Array.from({ length: 1500 }, (_, i) => `user-${i}`);
  const ROWS = 100;
  const oneCore = { threads: 1 };

  it('every read gives a whole adapter, before or after its step', async () => {
    const pool = newPool(oneCore);
    const reference = newPool(oneCore);
    const states: unknown[][] = [];
    for (let round = 0; round <= 3; round++) {
      states.push(numbersOf(reference, 'user-1499').slice(0, 4));
      if (round < 3) await reference.learn(batch(round, many, ROWS));
    }
    let running = true;
    const learning = Promise.all([0, 1, 2].map((round) => pool.learn(batch(round, many, ROWS)))).finally(() => {
      running = false;
    });
    const seen = new Set<number>();
    while (running) {
      const now = numbersOf(pool, 'user-1499').slice(0, 4);
      const version = (now[0] as number | undefined) ?? 0;
      // version 1: made, but not stepped yet
      if (version !== 1) expect(now).toEqual(states[version === 0 ? 0 : version - 1]);
      seen.add(version);
      await nextTurn();
    }
    await learning;
    expect(seen.size).toBeGreaterThan(1);
    expect(numbersOf(pool, 'user-1499').slice(0, 4)).toEqual(states[3]);
  });

  it.each(['auto', 'js'] as const)('personalize answers, timers run, and a snapshot is whole (%s)', async (backend) => {
    const options = { ...oneCore, backend };
    const pool = newPool(options);
    await pool.learn(batch(0, many));
    const before = newPool(options);
    before.restore(pool.snapshot());
    const learning = pool.learn(batch(1, many, ROWS));
    let turns = 0;
    let running = true;
    learning.finally(() => {
      running = false;
    });
    const x = randomVector(DIM);
    const snapshots: Uint8Array[] = [];
    while (running) {
      expect(pool.personalize(['user-1'], x)).toHaveLength(DIM);
      if (turns % 5 === 0 && snapshots.length < 3) snapshots.push(pool.snapshot());
      turns += 1;
      await nextTurn();
    }
    expect(turns).toBeGreaterThan(3);
    for (const bytes of snapshots) {
      const copy = newPool(options);
      copy.restore(bytes);
      for (const userId of ['user-0', 'user-700', 'user-1499']) {
        const [version, ...numbers] = numbersOf(copy, userId).slice(0, 3);
        expect(numbers).toEqual(numbersOf(version === 2 ? before : pool, userId).slice(1, 3));
      }
    }
  });

  it('removed users stay removed, and adapters that are set stay as set', async () => {
    const pool = newPool(oneCore);
    await pool.learn(batch(0, many));
    const given = createLoRAPersonalizationEngine(config).createAdapter('user-1498');
    const newcomer = createLoRAPersonalizationEngine(config).createAdapter('newcomer');
    const learning = pool.learn(batch(1, [...many].reverse(), ROWS));
    await nextTurn();
    // the first portion holds the last users
    expect(pool.removeUser('user-1499')).toBe(true);
    expect(pool.removeUser('user-0')).toBe(true);
    expect(pool.removeUser('user-1')).toBe(true);
    pool.setAdapter(given);
    pool.setAdapter(newcomer);
    await learning;
    expect(pool.has('user-1499')).toBe(false);
    expect(pool.getAdapter('user-1498')).toEqual(given);
    expect(pool.getAdapter('newcomer')).toEqual(newcomer);
    expect(pool.getAdapter('user-1497')?.version).toBe(3);
    expect(pool.getAdapter('user-2')?.version).toBe(3);
    expect(pool.has('user-0') || pool.has('user-1')).toBe(false);
    const x = randomVector(DIM);
    expect(pool.personalize(['user-0'], x)).toEqual(x);
  });
});
