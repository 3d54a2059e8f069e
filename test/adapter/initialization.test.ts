import { describe, expect, it } from 'vitest';
import { initializeWeights } from '../../src/adapter/initialization.js';
import { hashSeed, Random } from '../../src/adapter/random.js';
import { golden } from './helpers.js';

const shape = { rank: 16, inFeatures: 2000, outFeatures: 30, alpha: 16 };
const initialize = (seed: number, text: string) => initializeWeights(shape, new Random(hashSeed(seed, text)));

describe('initializeWeights', () => {
  it('agrees with an independent program', () => {
    const { shape: small, seed, text, weights } = golden.initialWeights;
    expect([...initializeWeights(small, new Random(hashSeed(seed, text)))]).toEqual(weights);
  });

  it('fills A uniformly in ±√(6/(inFeatures + rank))', () => {
    const loraA = initialize(5, 'user').subarray(0, 32_000);
    const bound = Math.sqrt(6 / 2016);
    const n = loraA.length;
    const mean = loraA.reduce((sum, value) => sum + value, 0) / n;
    const variance = loraA.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
    const largest = loraA.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    expect(Math.abs(mean)).toBeLessThan((4 * bound) / Math.sqrt(3 * n)); // four standard errors
    // the variance of a uniform variance estimate: Var(x²)/n = (4/45)·bound⁴/n
    expect(Math.abs(variance - bound ** 2 / 3)).toBeLessThan(4 * Math.sqrt(4 / 45 / n) * bound ** 2);
    expect(largest).toBeLessThanOrEqual(Math.fround(bound));
    expect(largest).toBeGreaterThan(bound * (1 - 20 / n));
  });

  it('leaves B at zero, so that B·A·x is zero', () => {
    const loraB = initialize(5, 'user').subarray(32_000);
    expect(loraB.length).toBe(480);
    expect(loraB.every((value) => Object.is(value, 0))).toBe(true);
  });

  it('depends on seed and text and on nothing else', () => {
    const first = initialize(5, 'user');
    initialize(6, 'another');
    expect(initialize(5, 'user')).toEqual(first);
    expect(initialize(6, 'user')).not.toEqual(first);
    expect(initialize(5, 'another')).not.toEqual(first);
  });
});
