import { describe, expect, it } from 'vitest';
import { packSequences, planEpoch, splitByTargets, splitByTokens } from '../../src/llm/batches.js';

const lengths = Array.from({ length: 101 }, (_, i) => 1 + ((i * 37) % 90));

describe('batches', () => {
  it('hold every example once, in an order of seed and epoch', () => {
    const plan = planEpoch(lengths, 8, 3, 0);
    expect(plan.flat().sort((a, b) => a - b)).toEqual(lengths.map((_, i) => i));
    expect(plan.filter((batch) => batch.length === 8).length).toBeGreaterThanOrEqual(12);
    expect(planEpoch(lengths, 8, 3, 0)).toEqual(plan);
    expect(planEpoch(lengths, 8, 3, 1)).not.toEqual(plan);
    expect(planEpoch(lengths, 8, 4, 0)).not.toEqual(plan);
  });

  it('hold examples of like length', () => {
    const spread = (plan: number[][]) =>
      plan.reduce((sum, batch) => {
        const own = batch.map((i) => lengths[i]);
        return sum + Math.max(...own) - Math.min(...own);
      }, 0);
    const inOrder = Array.from({ length: 13 }, (_, i) => lengths.map((_, j) => j).slice(8 * i, 8 * i + 8));
    expect(spread(planEpoch(lengths, 8, 3, 0))).toBeLessThan(0.5 * spread(inOrder));
  });

  it('split into pieces of so many tokens', () => {
    const pieces = splitByTokens([5, 3, 9, 1, 1, 8], (n) => n, 8);
    expect(pieces).toEqual([[5, 3], [9], [1, 1], [8]]);
  });

  it('pack sequences and cut what belongs to their targets', () => {
    const sequences = [
      { tokens: Uint32Array.of(7, 8, 9), targets: Uint32Array.of(2) },
      { tokens: Uint32Array.of(4, 5, 6, 7), targets: Uint32Array.of(1, 3) },
    ];
    expect(packSequences(sequences)).toEqual({
      tokens: Uint32Array.of(7, 8, 9, 4, 5, 6, 7),
      offsets: Uint32Array.of(0, 3, 7),
      positions: Uint32Array.of(2, 4, 6),
    });
    expect(splitByTargets(Float32Array.of(1, 2, 3), sequences)).toEqual([Float32Array.of(1), Float32Array.of(2, 3)]);
  });
});
