/** Consolidation by hand and by policy, and replay: engine and pool alike. */
import { describe, expect, it } from 'vitest';
import { LoRAPersonalizationEngine } from '../../src/personalization/engine.js';
import { AdapterPool } from '../../src/personalization/pool.js';
import type { AdapterFeedback, LoRAConfig, UserLoRAAdapter } from '../../src/personalization/types.js';
import { coded, feedbackRows, quiet } from './samples.js';

const DIM = 6;
const base = { embeddingDim: DIM, rank: 2, seed: 3, ewcLambda: 20, ...quiet };

async function withEngine<T>(config: LoRAConfig, use: (engine: LoRAPersonalizationEngine) => Promise<T>): Promise<T> {
  const engine = new LoRAPersonalizationEngine({ ...base, ...config });
  return use(engine).finally(() => engine.close());
}

/** One update after the other; returns the last adapter. */
async function learned(engine: LoRAPersonalizationEngine, updates: readonly AdapterFeedback[][]) {
  let adapter = engine.createAdapter('ada');
  for (const feedback of updates) adapter = await engine.updateAdapter(adapter, feedback);
  return adapter;
}

const updates = (count: number, rows = 2) => Array.from({ length: count }, (_, i) => feedbackRows(rows, DIM, i + 1));

/** The Gauss–Newton Fisher by its definition in docs/math.md, section 6. */
function fisherOf({ matrixA, matrixB, rank, scalingFactor }: UserLoRAAdapter, feedback: readonly AdapterFeedback[]) {
  const squared = (scalingFactor / rank) ** 2 / feedback.length;
  const inputs = feedback.map(({ contentEmbedding }) => contentEmbedding);
  const a = Array.from(matrixA, (_, index) => {
    const [k, j] = [Math.floor(index / DIM), index % DIM];
    let column = 0;
    for (let o = 0; o < DIM; o++) column += matrixB[o * rank + k] ** 2;
    return squared * column * inputs.reduce((sum, x) => sum + x[j] ** 2, 0);
  });
  const b = Array.from(matrixB, (_, index) => {
    const row = matrixA.subarray((index % rank) * DIM, ((index % rank) + 1) * DIM);
    return squared * inputs.reduce((sum, x) => sum + row.reduce((z, value, j) => z + value * x[j], 0) ** 2, 0);
  });
  return [...a, ...b];
}

function expectClose(values: Float32Array | undefined, expected: readonly number[]) {
  expect(values).toHaveLength(expected.length);
  expected.forEach((value, i) => {
    expect((values as Float32Array)[i]).toBeCloseTo(value, 6);
  });
}

describe('consolidateAdapter', () => {
  const seen = feedbackRows(4, DIM, 50);

  it('renews Fisher and anchor, and leaves weights, version and its argument alone', () =>
    withEngine({}, async (engine) => {
      const adapter = await learned(engine, updates(3));
      const before = engine.serializeAdapter(adapter);
      const kept = await engine.consolidateAdapter(adapter, seen);
      expectClose(kept.fisherInformation, fisherOf(adapter, seen));
      expect([...(kept.anchorWeights as Float32Array)]).toEqual([...adapter.matrixA, ...adapter.matrixB]);
      expect(kept.matrixA).toEqual(adapter.matrixA);
      expect(kept).toMatchObject({ version: adapter.version, optimizerState: adapter.optimizerState });
      expect(engine.serializeAdapter(adapter)).toEqual(before);
    }));

  it('lets the old Fisher count by the configured decay', () =>
    withEngine({ consolidation: { decay: 0.5 } }, async (engine) => {
      const adapter = await learned(engine, updates(3));
      const more = feedbackRows(3, DIM, 60);
      const twice = await engine.consolidateAdapter(await engine.consolidateAdapter(adapter, seen), more);
      const [first, second] = [fisherOf(adapter, seen), fisherOf(adapter, more)];
      expectClose(
        twice.fisherInformation,
        first.map((value, i) => 0.5 * value + second[i]),
      );
    }));

  it('holds later updates to what was learned, and takes its turn among them', () =>
    withEngine({}, async (engine) => {
      const adapter = await learned(engine, updates(3));
      const pulled = (from: UserLoRAAdapter) =>
        Math.hypot(...from.matrixB.map((value, i) => value - adapter.matrixB[i]));
      const [, , free] = await Promise.all([1, 2, 3].map(() => engine.updateAdapter({ ...adapter }, seen)));
      const calls = [engine.consolidateAdapter(adapter, seen), engine.updateAdapter(adapter, feedbackRows(2, DIM, 70))];
      const [kept, held] = await Promise.all(calls);
      expect(held.fisherInformation).toEqual(kept.fisherInformation);
      expect(held.version).toBe(adapter.version + 1);
      const unheld = await engine.updateAdapter(adapter, feedbackRows(2, DIM, 70));
      expect(pulled(held)).toBeLessThan(pulled(unheld));
      expect(free.version).toBe(adapter.version + 1);
    }));

  it('gives the adapter back where there is no feedback', () =>
    withEngine({}, async (engine) => {
      const adapter = engine.createAdapter('ada');
      expect(await engine.consolidateAdapter(adapter, [])).toBe(adapter);
    }));

  it('rejects what it cannot use', () =>
    withEngine({}, async (engine) => {
      const adapter = engine.createAdapter('ada');
      const wrong = [{ ...seen[0], contentEmbedding: new Float32Array(DIM).fill(Number.NaN) }];
      await expect(engine.consolidateAdapter(adapter, wrong)).rejects.toEqual(coded('ERR_NOT_FINITE', 'feedback[0]'));
      await expect(engine.consolidateAdapter(adapter, null as never)).rejects.toEqual(coded('ERR_INVALID_ARGUMENT'));
      await withEngine({ useEWC: false }, async (without) => {
        const rejected = without.consolidateAdapter(without.createAdapter('ada'), seen);
        await expect(rejected).rejects.toEqual(coded('ERR_INVALID_ARGUMENT', 'EWC'));
      });
      await engine.close();
      await expect(engine.consolidateAdapter(adapter, seen)).rejects.toEqual(coded('ERR_POOL_CLOSED'));
    }));
});

describe('AdapterPool.consolidate', () => {
  it('does the same for many users, and counts those who are here', () =>
    withEngine({}, async (engine) => {
      const pool = new AdapterPool(base);
      const adapter = await learned(engine, updates(3));
      for (const userId of ['ada', 'bob']) pool.setAdapter({ ...adapter, userId });
      const seen = feedbackRows(4, DIM, 50);
      const before = pool.revision;
      const rows = ['eve', 'ada', 'bob', 'ada'].map((userId, i) => ({ ...seen[i], userId }));
      expect(await pool.consolidate(rows)).toBe(2);
      const kept = await engine.consolidateAdapter(adapter, [seen[1], seen[3]]);
      expect(pool.getAdapter('ada')?.fisherInformation).toEqual(kept.fisherInformation);
      expect(pool.getAdapter('ada')?.anchorWeights).toEqual(kept.anchorWeights);
      expect(pool.getAdapter('bob')?.version).toBe(adapter.version);
      expectClose(pool.getAdapter('bob')?.fisherInformation, fisherOf(adapter, [seen[2]]));
      expect(pool.has('eve')).toBe(false);
      expect(pool.snapshot({ changedSince: before }).length).toBe(pool.snapshot().length);
      await pool.close();
      await expect(pool.consolidate(rows)).rejects.toEqual(coded('ERR_POOL_CLOSED'));
    }));

  it('takes items, keeps its place among learns, and needs EWC', async () => {
    const items = Float32Array.from({ length: 20 * DIM }, (_, i) => Math.sin(i));
    const pool = new AdapterPool({ ...base, items });
    const row = { userId: 'ada', item: 3, reward: 0.5 };
    const [, consolidated] = await Promise.all([pool.learn([row]), pool.consolidate([row]), pool.learn([row])]);
    expect(consolidated).toBe(1);
    const { anchorWeights, matrixB, version } = pool.getAdapter('ada') as UserLoRAAdapter;
    expect(version).toBe(3);
    expect(anchorWeights?.subarray(2 * DIM)).not.toEqual(matrixB);
    expect(anchorWeights?.subarray(2 * DIM).some((value) => value !== 0)).toBe(true);
    await pool.close();
    const without = new AdapterPool({ ...base, useEWC: false });
    await expect(without.consolidate([])).rejects.toEqual(coded('ERR_INVALID_ARGUMENT', 'EWC'));
    await without.close();
  });
});

describe('consolidation by policy', () => {
  const everyEight = { consolidation: { when: 'samples', everySamples: 8 } } as const;

  it('comes after so many samples: never before, and again after as many', () =>
    withEngine(everyEight, async (engine) => {
      const three = await learned(engine, updates(3));
      expect(Math.max(...(three.fisherInformation as Float32Array))).toBe(0);
      const four = await engine.updateAdapter(three, feedbackRows(2, DIM, 4));
      const rows = updates(4).flat();
      expectClose(four.fisherInformation, fisherOf(four, rows));
      expect([...(four.anchorWeights as Float32Array)]).toEqual([...four.matrixA, ...four.matrixB]);
      const seven = await updates(3).reduce(
        async (adapter, feedback) => engine.updateAdapter(await adapter, feedback),
        Promise.resolve(four),
      );
      expect(seven.fisherInformation).toEqual(four.fisherInformation);
      const eight = await engine.updateAdapter(seven, feedbackRows(2, DIM, 9));
      expect(eight.anchorWeights).not.toEqual(four.anchorWeights);
    }));

  it.each([
    ['consolidation', everyEight],
    ['replay', { replayRows: 3 }],
    ['both', { ...everyEight, replayRows: 3 }],
  ])('gives pool and engine the same adapters: %s', (_, options) =>
    withEngine(options, async (engine) => {
      const pool = new AdapterPool({ ...base, ...options });
      for (const feedback of updates(9)) {
        await pool.learn(
          feedback.flatMap((row) => [
            { ...row, userId: 'ada' },
            { ...row, userId: 'bob' },
          ]),
        );
      }
      const adapter = await learned(engine, updates(9));
      const pooled = pool.getAdapter('ada') as UserLoRAAdapter;
      for (const field of ['matrixA', 'matrixB', 'fisherInformation', 'anchorWeights'] as const) {
        expect(pooled[field]).toEqual(adapter[field]);
      }
      expect(pooled.metadata).toMatchObject({ totalSamples: 18, avgLoss: adapter.metadata.avgLoss });
      await pool.close();
    }),
  );

  it('learns replayed rows again, but not where new ones have no weight', async () => {
    const [plain, replaying] = [new AdapterPool(base), new AdapterPool({ ...base, replayRows: 4 })];
    const [first, second] = [feedbackRows(2, DIM, 1), feedbackRows(2, DIM, 2)];
    const of = (rows: AdapterFeedback[], weight = 1) => rows.map((row) => ({ ...row, userId: 'ada', weight }));
    for (const pool of [plain, replaying]) await pool.learn(of(first));
    expect(replaying.getAdapter('ada')?.matrixB).toEqual(plain.getAdapter('ada')?.matrixB);
    expect(await replaying.learn(of(second, 0))).toMatchObject({ updates: 0 });
    await plain.learn(of([...second, ...first]));
    await replaying.learn(of(second));
    expect(replaying.getAdapter('ada')?.matrixB).toEqual(plain.getAdapter('ada')?.matrixB);
    // a user who was removed is a new one
    replaying.removeUser('ada');
    await replaying.learn(of(first));
    const fresh = new AdapterPool(base);
    await fresh.learn(of(first));
    expect(replaying.getAdapter('ada')?.matrixB).toEqual(fresh.getAdapter('ada')?.matrixB);
    await Promise.all([plain, replaying, fresh].map((pool) => pool.close()));
  });
});

it.each([
  [{ consolidation: { when: 'sometimes' } }, 'consolidation.when'],
  [{ consolidation: { everySamples: 0 } }, 'consolidation.everySamples'],
  [{ consolidation: { rows: 0 } }, 'consolidation.rows'],
  [{ consolidation: { decay: 1.1 } }, 'consolidation.decay'],
  [{ consolidation: { often: 1 } }, 'consolidation.often'],
  [{ consolidation: 'samples' }, 'consolidation'],
  [{ consolidation: { when: 'shift' }, useEWC: false }, 'consolidation.when'],
  [{ replayRows: -1 }, 'replayRows'],
  [{ replayRows: 1, targetPolicy: { kind: 'contrastive' } }, 'replayRows'],
])('%j is refused by name', (options, name) => {
  const config = { ...base, ...options } as LoRAConfig;
  expect(() => new LoRAPersonalizationEngine(config)).toThrow(coded('ERR_INVALID_CONFIG', name));
});

it('getConfig shows the policy in effect, as a copy', () =>
  withEngine({ consolidation: { when: 'shift' }, replayRows: 5 }, async (engine) => {
    const { consolidation, replayRows } = engine.getConfig();
    expect(consolidation).toEqual({ when: 'shift', everySamples: 256, rows: 64, decay: 0.95 });
    expect(replayRows).toBe(5);
    consolidation.when = 'manual';
    expect(engine.getConfig().consolidation.when).toBe('shift');
  }));
