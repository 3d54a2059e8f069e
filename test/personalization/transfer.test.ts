/** Warm starts among similar users: found by what they do, blended in the space of what adapters change. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fitLoraA, stackAdapters, truncateStack } from '../../src/continual/blend.js';
import { LoRAPersonalizationEngine } from '../../src/personalization/engine.js';
import { AdapterPool } from '../../src/personalization/pool.js';
import { mostSimilar, RememberedAdapters } from '../../src/personalization/transfer.js';
import type { AdapterFeedback, UserLoRAAdapter } from '../../src/personalization/types.js';
import { SeededRandom } from '../../src/testing/random.js';
import { coded, quiet } from './samples.js';

const DIM = 8;

/** scaling·B·A, row-major [out × in]. */
function changeOf(loraA: Float32Array, loraB: Float32Array, scaling: number, outFeatures: number): number[] {
  const rank = loraB.length / outFeatures;
  const inFeatures = loraA.length / rank;
  return Array.from({ length: outFeatures * inFeatures }, (_, i) => {
    const [o, j] = [Math.floor(i / inFeatures), i % inFeatures];
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += loraB[o * rank + k] * loraA[k * inFeatures + j];
    return scaling * sum;
  });
}

function expectSame(a: readonly number[], b: readonly number[]) {
  a.forEach((value, i) => {
    expect(value).toBeCloseTo(b[i], 4);
  });
}

describe('blending', () => {
  const [rank, inFeatures, outFeatures, scaling] = [2, 5, 4, 0.5];
  const random = new SeededRandom(1);
  const adapters = [1, 2, 3].map(() => ({
    loraA: random.normals(rank * inFeatures),
    loraB: random.normals(outFeatures * rank),
  }));
  const weights = [0.5, 0.3, 0.2];
  const stack = stackAdapters(adapters, weights, rank);
  const sum = adapters
    .map(({ loraA, loraB }, i) => changeOf(loraA, loraB, scaling, outFeatures).map((value) => weights[i] * value))
    .reduce((total, change) => total.map((value, i) => value + change[i]));

  it('sums up changes, not factors', () => {
    expectSame(changeOf(stack.loraA, stack.loraB, scaling, outFeatures), sum);
  });

  it('comes back exactly where the rank suffices', () => {
    const zeros = { loraA: new Float32Array(4 * inFeatures), loraB: new Float32Array(outFeatures * 4) };
    const whole = truncateStack(stack, scaling, 4, zeros);
    expectSame(changeOf(whole.loraA, whole.loraB, scaling, outFeatures), sum);
  });

  it('is as near as its rank allows otherwise: no nearby factors are nearer', () => {
    const zeros = { loraA: new Float32Array(rank * inFeatures), loraB: new Float32Array(outFeatures * rank) };
    const best = truncateStack(stack, scaling, rank, zeros);
    const errorOf = (loraA: Float32Array, loraB: Float32Array) =>
      Math.hypot(...changeOf(loraA, loraB, scaling, outFeatures).map((value, i) => value - sum[i]));
    const error = errorOf(best.loraA, best.loraB);
    for (let trial = 0; trial < 200; trial++) {
      const shift = (values: Float32Array) => values.map((value) => value + random.normal(0.02));
      expect(errorOf(shift(best.loraA), shift(best.loraB))).toBeGreaterThan(error - 1e-6);
    }
  });

  it('keeps fresh rows where nothing is changed', () => {
    const one = { loraA: Float32Array.of(1, 2, 3, 0, 0, 0), loraB: Float32Array.of(1, 0, 0, 0, 0, 0) };
    const fresh = { loraA: random.normals(6), loraB: new Float32Array(6) };
    const blended = truncateStack(stackAdapters([one], [1], 2), 1, 2, fresh);
    expectSame(changeOf(blended.loraA, blended.loraB, 1, 3), changeOf(one.loraA, one.loraB, 1, 3));
    expect(blended.loraA.subarray(3)).toEqual(fresh.loraA.subarray(3));
  });

  it('fits A to columns that are given', () => {
    const loraB = Float32Array.of(2, 0, 0, 3, 0, 0, 0, 0);
    const fitted = fitLoraA(stack, scaling, loraB, rank, new Float32Array(rank * inFeatures));
    const change = changeOf(fitted, loraB, scaling, outFeatures);
    // exactly what the sum does to the first two outputs
    expectSame(change.slice(0, 2 * inFeatures), sum.slice(0, 2 * inFeatures));
    expect(change.slice(2 * inFeatures).every((value) => value === 0)).toBe(true);
  });
});

describe('mostSimilar', () => {
  it('takes the least losses, and trusts them the more the more rows say so', () => {
    const few = mostSimilar([4, 1, 2, Number.NaN], 2, 2);
    const many = mostSimilar([4, 1, 2, Number.NaN], 200, 2);
    expect(few.map(({ index }) => index)).toEqual([1, 2]);
    expect(few[0].weight).toBeCloseTo(1 / (1 + Math.exp(-1)), 6);
    expect(many[0].weight).toBeCloseTo(1, 6);
  });

  it('counts all the same without rows, and ends with the perfect ones', () => {
    expect(mostSimilar([0, 0, 0, 0], 0, 8).map(({ weight }) => weight)).toEqual([0.25, 0.25, 0.25, 0.25]);
    expect(mostSimilar([0.1, 0, 0], 5, 8).map(({ weight }) => weight)).toEqual([0.5, 0.5, 0]);
    expect(mostSimilar([], 5, 8)).toEqual([]);
  });
});

/** Two kinds of users who want the opposite; `rows` of one of them. */
function feedbackOf(userId: string, kind: 1 | -1, rows: number, seed: number): AdapterFeedback[] {
  const random = new SeededRandom(seed);
  const watchEvent = { userId } as AdapterFeedback['watchEvent'];
  return Array.from({ length: rows }, () => {
    const contentEmbedding = random.normals(DIM);
    const targetEmbedding = contentEmbedding.slice();
    targetEmbedding[2] += kind * contentEmbedding[0] + random.normal(0.1);
    return { contentEmbedding, targetEmbedding, reward: 1, watchEvent, timestamp: new Date(0) };
  });
}

describe("createAdapter with warmStart 'similar'", () => {
  const engine = new LoRAPersonalizationEngine({ embeddingDim: DIM, seed: 1, ...quiet });
  const users: UserLoRAAdapter[] = [];
  const few = feedbackOf('new', 1, 3, 99);
  const ahead = feedbackOf('new', 1, 50, 100);
  beforeAll(async () => {
    for (let user = 0; user < 10; user++) {
      let adapter = engine.createAdapter(`user-${user}`);
      for (let i = 0; i < 60; i++) {
        adapter = await engine.updateAdapter(adapter, feedbackOf(adapter.userId, user % 2 ? 1 : -1, 8, 100 * user + i));
      }
      users.push(adapter);
    }
  });
  afterAll(() => engine.close());

  const errorOf = (adapter: UserLoRAAdapter) => {
    let sum = 0;
    for (const { contentEmbedding, targetEmbedding } of ahead) {
      const y = engine.computeLoRAForward(contentEmbedding, adapter);
      sum += (y[2] - (targetEmbedding as Float32Array)[2]) ** 2;
    }
    return sum / ahead.length;
  };

  it('finds those who behave alike among those whom the engine taught, whatever their names', () => {
    const similar = engine.findSimilarUsers(few, 5);
    expect(similar).toHaveLength(5);
    expect(similar.map(({ adapter }) => Number(adapter.userId.slice(5)) % 2)).toEqual([1, 1, 1, 1, 1]);
    expect(similar.reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(1, 9);
    const [other] = engine.findSimilarUsers(feedbackOf('new', -1, 3, 98), 1);
    expect(Number(other.adapter.userId.slice(5)) % 2).toBe(0);
  });

  it('starts where they are, after three rows', () => {
    const fresh = engine.createAdapter('new');
    const warm = engine.createAdapter('new', { warmStart: 'similar', feedback: few });
    expect(warm).toMatchObject({ userId: 'new', version: 1, metadata: { totalSamples: 0 } });
    const alike = users.filter((_, user) => user % 2 === 1).map(errorOf);
    expect(errorOf(warm)).toBeLessThan(1.05 * Math.max(...alike));
    expect(errorOf(warm)).toBeLessThan(0.6 * errorOf(fresh));
    expect([...(warm.anchorWeights as Float32Array)]).toEqual([...warm.matrixA, ...warm.matrixB]);
  });

  it('learns on from there like any other', async () => {
    const warm = engine.createAdapter('new', { warmStart: 'similar', feedback: few });
    const updated = await engine.updateAdapter(warm, few);
    expect(updated.version).toBe(2);
    expect(updated.metadata.lastBatch?.lossAfter).toBeLessThan(updated.metadata.lastBatch?.lossBefore as number);
  });

  it('takes candidates from the caller, and does not force dissimilar ones on anybody', () => {
    const opposite = users.filter((_, user) => user % 2 === 0);
    const fresh = engine.createAdapter('new');
    const warm = engine.createAdapter('new', { warmStart: 'similar', feedback: ahead.slice(0, 30), among: opposite });
    expect(errorOf(warm)).toBeLessThan(1.01 * errorOf(fresh));
  });

  it('without feedback is the mean of all, and without anybody the start as it is', () => {
    const fresh = engine.createAdapter('new');
    const alone = engine.createAdapter('new', { warmStart: 'similar', feedback: few, among: [] });
    expect(errorOf(alone)).toBeCloseTo(errorOf(fresh), 6);
    const mean = engine.createAdapter('new', { warmStart: 'similar' });
    expect(Math.abs(errorOf(mean) - errorOf(fresh))).toBeLessThan(0.5 * errorOf(fresh));
  });

  it('keeps the columns, Fisher and moments of a prior', async () => {
    const prior = { ...users[1], userId: 'population' };
    const informed = new LoRAPersonalizationEngine({ embeddingDim: DIM, seed: 1, prior, ...quiet });
    const start = informed.createAdapter('new');
    const warm = informed.createAdapter('new', { warmStart: 'similar', feedback: few, among: users });
    expect(warm.matrixB).toEqual(start.matrixB);
    expect(warm.matrixA).not.toEqual(start.matrixA);
    expect(warm.fisherInformation).toEqual(start.fisherInformation);
    expect(warm.optimizerState).toEqual(start.optimizerState);
    await informed.close();
  });

  it('rejects what it cannot use', () => {
    const bad = (options: object) => () => engine.createAdapter('new', { warmStart: 'similar', ...options });
    expect(bad({ warmStart: 'warm' })).toThrow(coded('ERR_INVALID_CONFIG', 'warmStart'));
    expect(bad({ feedback: 3 })).toThrow(coded('ERR_INVALID_ARGUMENT', 'feedback'));
    expect(bad({ among: 3 })).toThrow(coded('ERR_INVALID_ARGUMENT', 'among'));
    expect(bad({ feedback: feedbackOf('other', 1, 1, 1) })).toThrow(coded('ERR_USER_MISMATCH'));
    expect(bad({ feedback: few, among: [{ ...users[0], rank: 2 }] })).toThrow(coded('ERR_ADAPTER_MISMATCH'));
    expect(() => engine.findSimilarUsers(few, 0)).toThrow(coded('ERR_OUT_OF_RANGE', 'topK'));
    expect(() => engine.findSimilarUsers(null as never)).toThrow(coded('ERR_INVALID_ARGUMENT', 'feedback'));
  });
});

it('RememberedAdapters keeps the latest 256, each user once', () => {
  const remembered = new RememberedAdapters();
  const adapter = (userId: string, sizeBytes = 1000) =>
    ({ userId, metadata: { performance: { sizeBytes } } }) as unknown as UserLoRAAdapter;
  for (let i = 0; i < 300; i++) remembered.remember(adapter(`user-${i}`));
  remembered.remember(adapter('user-100'));
  const names = remembered.others('user-299').map(({ userId }) => userId);
  expect(names).toHaveLength(255);
  expect(names[0]).toBe('user-44');
  expect(names.at(-1)).toBe('user-100');
  remembered.remember(adapter('large', 2 ** 26 - 10_000));
  expect(remembered.others()).toHaveLength(11);
});

describe('AdapterPool.createAdapter', () => {
  const options = { embeddingDim: DIM, seed: 1, ...quiet };
  const few = feedbackOf('new', 1, 3, 99);

  async function taught(): Promise<AdapterPool> {
    const pool = new AdapterPool(options);
    const userIds = Array.from({ length: 10 }, (_, user) => `user-${user}`);
    for (let i = 0; i < 60; i++) {
      const rows = userIds.flatMap((userId, user) => feedbackOf(userId, user % 2 ? 1 : -1, 8, 100 * user + i));
      await pool.learn(rows);
    }
    return pool;
  }

  it('gives what the engine gives', async () => {
    const pool = await taught();
    const engine = new LoRAPersonalizationEngine(options);
    const among = pool.userIds().map((userId) => pool.getAdapter(userId) as UserLoRAAdapter);
    const expected = engine.createAdapter('new', { warmStart: 'similar', feedback: few, among });
    const revision = pool.revision;
    const created = pool.createAdapter('new', { warmStart: 'similar', feedback: few });
    expect(created.matrixA).toEqual(expected.matrixA);
    expect(created.matrixB).toEqual(expected.matrixB);
    expect(created.anchorWeights).toEqual(expected.anchorWeights);
    expect(pool.revision).toBeGreaterThan(revision);
    const plain = pool.createAdapter('plain');
    expect(plain.matrixA).toEqual(engine.createAdapter('plain').matrixA);
    const alone = pool.createAdapter('alone', {
      warmStart: 'similar',
      feedback: feedbackOf('alone', 1, 3, 99),
      among: ['nobody'],
    });
    expect(alone.matrixB.every((value) => value === 0)).toBe(true);
    await Promise.all([engine.close(), pool.close()]);
  });

  it('rejects what it cannot use, and then has nobody more', async () => {
    const pool = new AdapterPool({ ...options, capacity: 1 });
    const similar = (more: object) => () => pool.createAdapter('new', { warmStart: 'similar', ...more });
    expect(similar({ often: 1 })).toThrow(coded('ERR_INVALID_CONFIG', 'options.often'));
    expect(similar({ warmStart: 'warm' })).toThrow(coded('ERR_INVALID_CONFIG', 'options.warmStart'));
    expect(similar({ feedback: 1 })).toThrow(coded('ERR_INVALID_ARGUMENT', 'options.feedback'));
    expect(similar({ feedback: [null] })).toThrow(coded('ERR_INVALID_ARGUMENT', 'feedback[0]'));
    expect(similar({ feedback: [{ item: 1, reward: 1 }] })).toThrow(coded('ERR_NO_ITEMS'));
    expect(similar({ feedback: [{ ...few[0], userId: 'other', watchEvent: undefined }] })).toThrow(
      coded('ERR_USER_MISMATCH', 'options.feedback'),
    );
    expect(similar({ among: [''] })).toThrow(coded('ERR_INVALID_ARGUMENT', 'options.among[0]'));
    expect(pool.size).toBe(0);
    pool.createAdapter('ada');
    expect(() => pool.createAdapter('ada')).toThrow(coded('ERR_INVALID_ARGUMENT', 'userId'));
    expect(() => pool.createAdapter('bob')).toThrow(coded('ERR_POOL_FULL'));
    await pool.close();
    expect(() => pool.createAdapter('bob')).toThrow(coded('ERR_POOL_CLOSED'));
  });
});
