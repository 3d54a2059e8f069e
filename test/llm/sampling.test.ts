import { describe, expect, it } from 'vitest';
import { hashSeed, Random } from '../../src/adapter/random.js';
import { requireSampling, type SamplingOptions, sampleToken } from '../../src/llm/sampling.js';

const LOGITS = Float32Array.from([1, 3, 0, 3, -2, 2.5, -40]);

function frequencies(options: SamplingOptions, logits = LOGITS, draws = 20_000): number[] {
  const random = new Random(hashSeed(1, 'test'));
  const sampling = requireSampling(options);
  const counts = new Array(logits.length).fill(0);
  for (let i = 0; i < draws; i++) counts[sampleToken(logits, sampling, random).token]++;
  return counts.map((count) => count / draws);
}

function softmax(logits: ArrayLike<number>, temperature = 1): number[] {
  const weights = Array.from(logits, (logit) => Math.exp(logit / temperature));
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}

function expectDistribution(found: number[], expected: number[]): void {
  expected.forEach((p, i) => {
    expect(Math.abs(found[i] - p)).toBeLessThanOrEqual(5 * Math.sqrt((p * (1 - p)) / 20_000) + 1e-12);
  });
}

describe('sampling', () => {
  it('takes the likeliest token, the lowest of equals, without temperature', () => {
    expect(frequencies({})[1]).toBe(1);
  });

  it('draws by the softmax of the logits over the temperature', () => {
    expectDistribution(frequencies({ temperature: 1 }), softmax(LOGITS));
    expectDistribution(frequencies({ temperature: 2.5 }), softmax(LOGITS, 2.5));
  });

  it('draws among the likeliest k', () => {
    const three = [1, 3, 5].map((i) => LOGITS[i]);
    const [a, b, c] = softmax(three);
    expectDistribution(frequencies({ temperature: 1, topK: 3 }), [0, a, 0, b, 0, c, 0]);
    expect(frequencies({ temperature: 1, topK: 1 })[1]).toBe(1);
  });

  it('draws among the fewest that make up p', () => {
    const [p1, p3] = [softmax(LOGITS)[1], softmax(LOGITS)[3]];
    expectDistribution(frequencies({ temperature: 1, topP: p1 + p3 - 1e-6 }), [0, 0.5, 0, 0.5, 0, 0, 0]);
    const [a, b, c] = softmax([3, 3, 2.5]);
    expectDistribution(frequencies({ temperature: 1, topP: p1 + p3 + 1e-6 }), [0, a, 0, b, 0, c, 0]);
    expect(frequencies({ temperature: 1, topP: 1e-9 })[1]).toBe(1);
  });

  it('takes p of what k left', () => {
    // of three, the first two have a share of 2e³ / (2e³ + e^2.5) ≈ 0.767
    expectDistribution(frequencies({ temperature: 1, topK: 3, topP: 0.76 }), [0, 0.5, 0, 0.5, 0, 0, 0]);
    const [a, b, c] = softmax([3, 3, 2.5]);
    expectDistribution(frequencies({ temperature: 1, topK: 3, topP: 0.77 }), [0, a, 0, b, 0, c, 0]);
  });

  it('finds the likeliest of a large flat vocabulary', () => {
    const flat = Float32Array.from({ length: 500 }, (_, i) => Math.sin(i) * 1e-3);
    const top = [...flat.keys()].sort((a, b) => flat[b] - flat[a]).slice(0, 200);
    const found = frequencies({ temperature: 1, topK: 200 }, flat, 2000);
    expect(found.every((p, token) => p === 0 || top.includes(token))).toBe(true);
    expect(found.filter((p) => p > 0).length).toBeGreaterThan(150);
  });

  it('gives the log-probability that the model has', () => {
    const { token, logProbability } = sampleToken(LOGITS, requireSampling(), new Random(hashSeed(1, 'x')));
    expect(logProbability).toBeCloseTo(Math.log(softmax(LOGITS)[token]), 6);
  });

  it('refuses settings outside their ranges', () => {
    for (const bad of [
      { temperature: -1 },
      { temperature: Infinity },
      { topK: 0 },
      { topP: 0 },
      { topP: 1.1 },
      { seed: -1 },
      { topk: 3 },
    ]) {
      expect(() => requireSampling(bad as SamplingOptions)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_CONFIG' }),
      );
    }
  });
});
