import { afterAll, describe, expect, it } from 'vitest';
import { createLoRAPersonalizationEngine, type UserLoRAAdapter } from '../../src/index.js';
import { denseKernels } from '../../src/kernels/dense.js';
import { matrix, transpose } from '../../src/kernels/matrix.js';
import { coded, feedbackRows, quiet, randomVector } from './samples.js';

const engine = createLoRAPersonalizationEngine({ ...quiet, scalingFactor: 2 });
const doubled = createLoRAPersonalizationEngine({ ...quiet, scalingFactor: 4 });
afterAll(() => Promise.all([engine.close(), doubled.close()]));

async function learned(userId: string, seed: number, by = engine): Promise<UserLoRAAdapter> {
  let adapter = by.createAdapter(userId);
  for (let i = 0; i < 5; i++) adapter = await by.updateAdapter(adapter, feedbackRows(4, 64, seed));
  return adapter;
}

const delta = ({ rank, embeddingDim: d, matrixA, matrixB, scalingFactor }: UserLoRAAdapter): Float64Array =>
  Float64Array.from({ length: d * d }, (_, at) => {
    const [o, j] = [Math.floor(at / d), at % d];
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += matrixB[o * rank + k] * matrixA[k * d + j];
    return (scalingFactor / rank) * sum;
  });
const norm = (values: Float64Array) => Math.hypot(...values);
const mean = (adapters: UserLoRAAdapter[], weights: number[]) => {
  const sum = weights.reduce((a, b) => a + b);
  const parts = adapters.map(delta);
  return parts[0].map((_, at) => parts.reduce((total, part, i) => total + (weights[i] / sum) * part[at], 0));
};
const distance = (a: Float64Array, b: Float64Array) => norm(a.map((value, i) => value - b[i])) / norm(b);

/** Relative distance of the nearest matrix of that rank (Eckart & Young 1936), from the eigenvalues of WᵀW. */
function bestError(wanted: Float64Array, d: number, rank: number): number {
  const w = matrix(wanted, d, d);
  const { values } = denseKernels().symmetricEigen(denseKernels().multiply(transpose(w), w));
  const falling = [...values].sort((a, b) => b - a);
  const sum = (numbers: number[]) => numbers.reduce((total, value) => total + Math.max(0, value), 0);
  return Math.sqrt(sum(falling.slice(rank)) / sum(falling));
}

/** Of rank 2, in a record of rank 4, so that the mean of two of them is held exactly. */
function halved(adapter: UserLoRAAdapter): UserLoRAAdapter {
  return { ...adapter, matrixB: adapter.matrixB.map((value, i) => (i % 4 < 2 ? value : 0)) };
}

describe('mergeAdapters', () => {
  it('is the weighted mean of ΔW where the rank can hold it, each with its own scaling', async () => {
    const adapters = [halved(await learned('a', 1)), halved(await learned('b', 2, doubled))];
    for (const weights of [
      [1, 1],
      [3, 1],
      [2, -1],
    ]) {
      const merged = engine.mergeAdapters(adapters, weights);
      expect(distance(delta(merged), mean(adapters, weights))).toBeLessThan(1e-5);
      expect(merged).toMatchObject({ rank: 4, embeddingDim: 64, scalingFactor: 2 });
    }
    expect(delta(engine.mergeAdapters(adapters))).toEqual(delta(engine.mergeAdapters(adapters, [7, 7])));
  });

  it('is as near to it as an adapter of that rank can be where the rank cannot, which the mean of the factors is not', async () => {
    const adapters = await Promise.all([1, 2, 3].map((seed) => learned(`user-${seed}`, seed)));
    for (const weights of [
      [1, 1, 1],
      [4, 1, 2],
    ]) {
      const wanted = mean(adapters, weights);
      const best = bestError(wanted, 64, 4);
      expect(best).toBeGreaterThan(0.1);
      expect(distance(delta(engine.mergeAdapters(adapters, weights)), wanted) / best).toBeCloseTo(1, 4);
      const total = weights.reduce((a, b) => a + b);
      const factors = (name: 'matrixA' | 'matrixB') =>
        adapters[0][name].map((_, i) => adapters.reduce((sum, each, k) => sum + weights[k] * each[name][i], 0) / total);
      const naive = { ...adapters[0], matrixA: factors('matrixA'), matrixB: factors('matrixB') };
      expect(distance(delta(naive), wanted)).toBeGreaterThan(1.3 * best);
    }
  });

  it('of an adapter and its equal in other factors is that adapter, not zero', async () => {
    const a = await learned('a', 1);
    const flipped = { ...a, matrixA: a.matrixA.map((v) => -v), matrixB: a.matrixB.map((v) => -v) };
    expect(distance(delta(engine.mergeAdapters([a, flipped])), delta(a))).toBeLessThan(1e-5);
  });

  it('of one adapter does what it does', async () => {
    const a = await learned('a', 1);
    const merged = engine.mergeAdapters([a]);
    const x = randomVector(64, 8);
    const [y, z] = [a, merged].map((adapter) => engine.computeLoRAForward(x, adapter));
    expect(Math.max(...y.map((value, i) => Math.abs(value - z[i])))).toBeLessThan(1e-5);
    expect(merged).not.toBe(a);
  });

  it('has the documented fields, and can learn and be stored', async () => {
    const adapters = [await learned('a', 1), await learned('b', 2)];
    adapters[1].metadata.totalSamples = 60;
    const merged = engine.mergeAdapters(adapters);
    expect(merged).toMatchObject({ userId: 'merged', version: 1 });
    expect(merged.metadata.totalSamples).toBe(80);
    const [a, b] = adapters.map(({ metadata }) => metadata.avgLoss);
    expect(merged.metadata.avgLoss).toBeCloseTo((20 * a + 60 * b) / 80, 10);
    expect(merged.metadata.learningRate).toBe(0.001);
    expect(engine.deserializeAdapter(engine.serializeAdapter(merged))).toEqual(merged);
    const updated = await engine.updateAdapter(merged, feedbackRows(4, 64, 1));
    expect(updated.version).toBe(2);
    expect(updated.metadata.lastBatch!.lossAfter).toBeLessThan(updated.metadata.lastBatch!.lossBefore);
  });

  it('merges what was consolidated: the precision of all in the merged factors', async () => {
    // Fisher as measured on rows of second moments m, for the weights at which they are anchored
    const consolidated = (adapter: UserLoRAAdapter, m: number): UserLoRAAdapter => {
      const { matrixA, matrixB, rank, embeddingDim: d, scalingFactor } = adapter;
      const s = scalingFactor / rank;
      const fisherInformation = new Float32Array(2 * rank * d);
      for (let k = 0; k < rank; k++) {
        let [ofA, ofB] = [0, 0];
        for (let j = 0; j < d; j++) ofA += matrixA[k * d + j] ** 2;
        for (let o = 0; o < d; o++) ofB += matrixB[o * rank + k] ** 2;
        for (let j = 0; j < d; j++) fisherInformation[k * d + j] = s * s * m * ofB;
        for (let o = 0; o < d; o++) fisherInformation[rank * d + o * rank + k] = s * s * m * ofA;
      }
      return { ...adapter, fisherInformation, anchorWeights: Float32Array.of(...matrixA, ...matrixB) };
    };
    const [a, b] = [consolidated(await learned('a', 1), 2), consolidated(await learned('b', 2), 3)];
    const merged = engine.mergeAdapters([a, b]);
    const expected = consolidated(merged, 5);
    merged.fisherInformation!.forEach((value, i) => {
      expect(value / expected.fisherInformation![i]).toBeCloseTo(1, 3);
    });
    expect(distance(Float64Array.from(merged.anchorWeights!), Float64Array.from(expected.anchorWeights!))).toBeLessThan(
      1e-5,
    );
    const onlyOne = engine.mergeAdapters([a, { ...b, fisherInformation: undefined, anchorWeights: undefined }]);
    expect(onlyOne.fisherInformation).toEqual(new Float32Array(512));
  });

  it('rejects what cannot be merged', async () => {
    const a = engine.createAdapter('a');
    const merge = (adapters: unknown, weights?: unknown) => () =>
      engine.mergeAdapters(adapters as UserLoRAAdapter[], weights as number[]);
    const other = createLoRAPersonalizationEngine({ ...quiet, rank: 8 }).createAdapter('b');
    expect(merge([])).toThrow(coded('ERR_INVALID_ARGUMENT', 'adapters'));
    expect(merge(a)).toThrow(coded('ERR_INVALID_ARGUMENT', 'adapters'));
    expect(merge([a, other])).toThrow(coded('ERR_ADAPTER_MISMATCH', 'adapters[1]'));
    expect(merge([a, a], [1])).toThrow(coded('ERR_LENGTH_MISMATCH', 'weights'));
    expect(merge([a, a], [1, Number.NaN])).toThrow(coded('ERR_NOT_FINITE', 'weights'));
    expect(merge([a, a], [1, -1])).toThrow(coded('ERR_OUT_OF_RANGE', 'weights'));
    expect(merge([a, a], 'equal')).toThrow(coded('ERR_INVALID_ARGUMENT', 'weights'));
  });
});
