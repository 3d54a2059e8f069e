import { afterAll, expect, it } from 'vitest';
import { createLoRAPersonalizationEngine, type UserPreferences } from '../../src/index.js';
import { coded, feedbackRows, quiet, randomVector } from './samples.js';

const engine = createLoRAPersonalizationEngine({ ...quiet, scalingFactor: 3 });
afterAll(() => engine.close());

const liked = randomVector(64, 5);
const unit = liked.map((value) => value / Math.hypot(...liked));
const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const cosine = (a: Float32Array, b: Float32Array) => dot(a, b) / Math.hypot(...a) / Math.hypot(...b);

it('stretches what lies along the preferences by a tenth of the confidence, whatever the length of the vector', () => {
  for (const [vector, confidence, stretch] of [
    [liked, undefined, 0.1],
    [liked, 0.5, 0.05],
    [liked.map((value) => 100 * value), 1, 0.1],
    [liked, 0, 0],
  ] as const) {
    const adapter = engine.createAdapter('u', { vector, confidence });
    const x = randomVector(64, 9);
    const y = engine.computeLoRAForward(x, adapter);
    const expected = x.map((value, i) => value + stretch * dot(unit, x) * unit[i]);
    expect(Math.max(...y.map((value, i) => Math.abs(value - expected[i])))).toBeLessThan(1e-6);
  }
});

it('makes content that agrees with the preferences agree more', () => {
  const adapter = engine.createAdapter('u', { vector: liked });
  for (let seed = 20; seed < 40; seed++) {
    const x = randomVector(64, seed);
    const [before, after] = [cosine(x, liked), cosine(engine.computeLoRAForward(x, adapter), liked)];
    expect(Math.abs(after)).toBeGreaterThan(Math.abs(before));
    expect(Math.sign(after)).toBe(Math.sign(before));
  }
});

it('is the same every time, leaves the other directions of A as drawn, and can learn on', async () => {
  const plain = engine.createAdapter('u');
  const adapter = engine.createAdapter('u', { vector: liked });
  const { matrixA, matrixB } = engine.createAdapter('u', { vector: liked });
  expect(matrixA).toEqual(adapter.matrixA);
  expect(matrixB).toEqual(adapter.matrixB);
  expect(adapter.matrixA.slice(64)).toEqual(plain.matrixA.slice(64));
  expect(Math.hypot(...adapter.matrixA.slice(0, 64))).toBeCloseTo(Math.hypot(...plain.matrixA.slice(0, 64)), 5);
  expect(adapter.anchorWeights).toEqual(Float32Array.of(...matrixA, ...matrixB));
  const { lossBefore, lossAfter } = (await engine.updateAdapter(adapter, feedbackRows(4, 64))).metadata.lastBatch!;
  expect(lossAfter).toBeLessThan(lossBefore);
});

it('without a direction is a plain start', () => {
  const plain = engine.createAdapter('u').matrixB;
  const documented = { vector: null, confidence: 0.5, genreAffinities: {}, moodMappings: [], temporalPatterns: [] };
  for (const preferences of [undefined, {}, documented, { vector: new Float32Array(64) }]) {
    expect(engine.createAdapter('u', preferences).matrixB).toEqual(plain);
  }
});

it('rejects what is no preference', () => {
  const create = (preferences: unknown) => () => engine.createAdapter('u', preferences as UserPreferences);
  expect(create({ vector: new Float32Array(768) })).toThrow(coded('ERR_LENGTH_MISMATCH', 'initialPreferences.vector'));
  expect(create({ vector: liked.with(3, Infinity) })).toThrow(coded('ERR_NOT_FINITE', 'initialPreferences.vector[3]'));
  expect(create({ vector: [...liked] })).toThrow(coded('ERR_INVALID_ARGUMENT', 'initialPreferences.vector'));
  expect(create({ vector: liked, confidence: 1.5 })).toThrow(coded('ERR_OUT_OF_RANGE', 'confidence'));
  expect(create({ vector: liked, confidence: Number.NaN })).toThrow(coded('ERR_OUT_OF_RANGE', 'confidence'));
  expect(create(null)).toThrow(coded('ERR_INVALID_ARGUMENT', 'initialPreferences'));
  expect(create(liked)).toThrow(coded('ERR_INVALID_ARGUMENT', 'initialPreferences'));
});
