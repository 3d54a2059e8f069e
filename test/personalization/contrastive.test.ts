import { describe, expect, it } from 'vitest';
import {
  type AdapterFeedback,
  createAdapterPool,
  createLoRAPersonalizationEngine,
  type TargetPolicy,
  type UserLoRAAdapter,
} from '../../src/index.js';
import { ContrastiveLoss, contrastiveLossOf } from '../../src/personalization/contrastive.js';
import { resolveConfig } from '../../src/personalization/options.js';
import { resolveTargetPolicy } from '../../src/personalization/target-policy.js';
import { coded, feedbackRows, quiet, randomVector } from './samples.js';

const DIM = 8;
const items = randomVector(50 * DIM, 99);
const contrastive = (options: object = {}) => resolveTargetPolicy({ kind: 'contrastive', ...options }, DIM) as never;
const rows = { count: 3, target: randomVector(3 * DIM, 3), rewards: Float32Array.of(1, 0.5, 0.25) };
const y = randomVector(3 * DIM, 4);
const seed = [1, 2, 3, 4] as const;

describe('the loss', () => {
  it('is InfoNCE over the other rows of the batch, by hand', () => {
    const loss = new ContrastiveLoss(
      contrastive({ temperature: 0.5 }),
      {
        count: 2,
        target: Float32Array.of(3, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0),
        rewards: Float32Array.of(1, 0.5),
      },
      seed,
    );
    // outputs along the first positive, and between the two
    const outputs = Float32Array.of(5, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0);
    const first = -Math.log(Math.exp(2) / (Math.exp(2) + Math.exp(0)));
    expect(loss.at(outputs)).toBeCloseTo((first + 0.5 * Math.log(2)) / 2, 10);
  });

  it.each([
    ['in the batch', contrastive()],
    ['of the item table', contrastive({ negatives: 'items', items, count: 5 })],
    ['with another temperature', contrastive({ temperature: 0.7 })],
  ])('has as gradient what its targets give the squared error, negatives %s', (_, policy) => {
    const loss = new ContrastiveLoss(policy, rows, seed);
    const target = loss.targetsAt(y);
    for (let i = 0; i < y.length; i++) {
      const h = 1e-3;
      const numeric = (loss.at(y.with(i, y[i] + h)) - loss.at(y.with(i, y[i] - h))) / (2 * h);
      // of the mean over rows of the mean over features of (y − t)²
      expect((2 * (y[i] - target[i])) / (rows.count * DIM)).toBeCloseTo(numeric, 3);
    }
    expect(Math.max(...target.map((value, i) => Math.abs(value - y[i])))).toBeGreaterThan(0.1);
  });

  it('counts a row by its reward and its weight', () => {
    const alone = (i: number) => {
      const rewards = new Float32Array(3).fill(0);
      rewards[i] = 1;
      return 3 * new ContrastiveLoss(contrastive(), { ...rows, rewards }, seed).at(y);
    };
    const whole = new ContrastiveLoss(contrastive(), rows, seed).at(y);
    expect(whole).toBeCloseTo((alone(0) + 0.5 * alone(1) + 0.25 * alone(2)) / 3, 6);
    const weighted = new ContrastiveLoss(contrastive(), { ...rows, weights: Float32Array.of(1, 0, 3) }, seed).at(y);
    expect(weighted).toBeCloseTo((alone(0) + 3 * 0.25 * alone(2)) / 4, 6);
  });

  it('samples by seed, user and version, and by nothing else', () => {
    const targetPolicy = contrastive({ negatives: 'items', items, count: 2 });
    const lossOf = (seed: number, userId: string, version: number) =>
      contrastiveLossOf({ ...resolveConfig(), targetPolicy, seed }, rows, { userId, version })?.at(y);
    const losses = [lossOf(0, 'u', 1), lossOf(1, 'u', 1), lossOf(0, 'v', 1), lossOf(0, 'u', 2)];
    expect(new Set(losses).size).toBe(4);
    expect(lossOf(0, 'u', 1)).toBe(losses[0]);
    expect(contrastiveLossOf(resolveConfig(), rows, { userId: 'u', version: 1 })).toBeUndefined();
  });

  it('takes no copy of the positive for a negative, and no direction from zeros', () => {
    const target = Float32Array.of(...randomVector(DIM, 3), ...randomVector(DIM, 3));
    const twins = new ContrastiveLoss(contrastive(), { count: 2, target, rewards: Float32Array.of(1, 1) }, seed);
    const outputs = randomVector(2 * DIM, 5);
    expect(twins.at(outputs)).toBe(0);
    expect(twins.targetsAt(outputs)).toEqual(outputs);
    const zeros = new ContrastiveLoss(contrastive(), { ...rows, target: new Float32Array(3 * DIM) }, seed);
    expect(zeros.targetsAt(y)).toEqual(y);
    const fromZero = new ContrastiveLoss(contrastive(), rows, seed);
    expect(fromZero.targetsAt(new Float32Array(3 * DIM))).toEqual(new Float32Array(3 * DIM));
  });
});

const cosine = (a: Float32Array, b: Float32Array) =>
  a.reduce((sum, value, i) => sum + value * b[i], 0) / Math.hypot(...a) / Math.hypot(...b);

describe('an engine with the contrastive policy', () => {
  const wanted = feedbackRows(6, 64);

  it.each([
    ['the batch', {}],
    ['the item table', { negatives: 'items', items: randomVector(200 * 64, 12) }],
  ] as const)('learns to rank what was wanted above negatives of %s', async (_, options) => {
    const engine = createLoRAPersonalizationEngine({ ...quiet, targetPolicy: { kind: 'contrastive', ...options } });
    const rankOne = (adapter: UserLoRAAdapter) =>
      wanted.filter(({ contentEmbedding, targetEmbedding }) => {
        const output = engine.computeLoRAForward(contentEmbedding, adapter);
        const own = cosine(output, targetEmbedding!);
        return wanted.every(
          (other) => other.targetEmbedding === targetEmbedding || cosine(output, other.targetEmbedding!) < own,
        );
      }).length;
    let adapter = engine.createAdapter('u');
    const before = rankOne(adapter);
    const losses: number[] = [];
    for (let i = 0; i < 150; i++) {
      adapter = await engine.updateAdapter(adapter, wanted);
      losses.push(adapter.metadata.lastBatch!.lossBefore);
    }
    expect(before).toBeLessThan(4);
    expect(rankOne(adapter)).toBe(6);
    expect(losses.at(-1)).toBeLessThan(0.1 * losses[0]);
    await engine.close();
  });

  it('is reproducible', async () => {
    const targetPolicy = {
      kind: 'contrastive',
      negatives: 'items',
      items: randomVector(200 * 64, 12),
      count: 2,
    } as const;
    const learn = async (seed: number) => {
      const engine = createLoRAPersonalizationEngine({ ...quiet, targetPolicy, seed });
      let adapter: UserLoRAAdapter = { ...engine.createAdapter('u'), matrixA: new Float32Array(256).fill(0.1) };
      for (let i = 0; i < 3; i++) adapter = await engine.updateAdapter(adapter, wanted);
      return adapter;
    };
    const [a, b, c] = [await learn(1), await learn(1), await learn(2)];
    expect(b.matrixB).toEqual(a.matrixB);
    expect(c.matrixB).not.toEqual(a.matrixB);
  });

  it('alone in its batch has nothing to learn from', async () => {
    const engine = createLoRAPersonalizationEngine({ ...quiet, targetPolicy: { kind: 'contrastive' } });
    const updated = await engine.updateAdapter(engine.createAdapter('u'), wanted.slice(0, 1));
    expect(updated.matrixB).toEqual(new Float32Array(256));
    expect(updated.metadata.lastBatch).toEqual({ lossBefore: 0, lossAfter: 0 });
  });
});

describe('a pool with the contrastive policy', () => {
  const table = randomVector(40 * 64, 31);
  const feedbackOf = (userId: string, first: number): (AdapterFeedback & { userId: string })[] =>
    feedbackRows(4, 64, first).map((row, i) => ({ ...row, userId, reward: (i + 1) / 4 }));

  it.each(['batch', 'items'] as const)(
    'learns as the engine does, user by user, negatives of the %s',
    async (negatives) => {
      const targetPolicy: TargetPolicy = { kind: 'contrastive', negatives, count: 3 };
      const pool = createAdapterPool({ ...quiet, targetPolicy, items: table });
      const engine = createLoRAPersonalizationEngine({ ...quiet, targetPolicy: { ...targetPolicy, items: table } });
      const users = ['a', 'b', 'c'];
      const adapters = new Map(users.map((userId) => [userId, engine.createAdapter(userId)]));
      for (let round = 0; round < 3; round++) {
        const feedback = users.map((userId, i) => feedbackOf(userId, 10 * round + i));
        const report = await pool.learn(feedback.flat());
        let losses = 0;
        for (const [i, userId] of users.entries()) {
          const updated = await engine.updateAdapter(adapters.get(userId)!, feedback[i]);
          adapters.set(userId, updated);
          losses += updated.metadata.lastBatch!.lossBefore;
        }
        expect(report.meanLoss).toBeCloseTo(losses / 3, 5);
      }
      for (const userId of users) {
        const { matrixA, matrixB, metadata } = pool.getAdapter(userId)!;
        expect(matrixA).toEqual(adapters.get(userId)!.matrixA);
        expect(matrixB).toEqual(adapters.get(userId)!.matrixB);
        expect(metadata.avgLoss).toBeCloseTo(adapters.get(userId)!.metadata.avgLoss, 6);
      }
      await Promise.all([pool.close(), engine.close()]);
    },
  );

  it('takes columns, of vectors and of item numbers, with rewards', async () => {
    const learned = async (numbers: boolean, reward?: Float32Array) => {
      const pool = createAdapterPool({ ...quiet, targetPolicy: { kind: 'contrastive' }, items: table });
      const [content, target] = [Uint32Array.of(1, 2, 3, 4), Uint32Array.of(5, 6, 7, 8)];
      const vectors = (rows: Uint32Array) =>
        Float32Array.from([...rows].flatMap((row) => [...table.subarray(64 * row, 64 * row + 64)]));
      const userIds = ['a', 'b', 'a', 'b'];
      await pool.learn(
        numbers
          ? { userIds, content, target, reward }
          : { userIds, content: vectors(content), target: vectors(target), reward },
      );
      const { matrixB } = pool.getAdapter('a')!;
      await pool.close();
      return matrixB;
    };
    const whole = await learned(true);
    expect(whole).not.toEqual(new Float32Array(256));
    expect(await learned(false)).toEqual(whole);
    expect(await learned(true, Float32Array.of(1, 0, 1, 0))).toEqual(whole);
    expect(await learned(true, Float32Array.of(0, 1, 0, 1))).toEqual(new Float32Array(256));
    await expect(learned(true, Float32Array.of(0, 1, 0, 1.5))).rejects.toEqual(coded('ERR_OUT_OF_RANGE', 'reward[3]'));
  });

  it('rejects rewards that nothing would use', async () => {
    const pool = createAdapterPool({ ...quiet, items: table });
    const batch = { userIds: ['a'], content: Uint32Array.of(1), target: Uint32Array.of(2), reward: Float32Array.of(1) };
    await expect(pool.learn(batch)).rejects.toEqual(coded('ERR_INVALID_ARGUMENT', 'feedback.reward'));
    await pool.close();
  });
});
