import { describe, expect, it } from 'vitest';
import { learnAll, meanCurve, sparedShare, updatesTo } from '../../bench/src/reasoning/learners.js';
import { interval } from '../../bench/src/reasoning/program.js';
import { syntheticPopulation } from '../../bench/src/reasoning/synthetic.js';
import { ReasoningBank } from '../../src/reasoning/embedded/bank.js';

describe('updates to a loss', () => {
  it('are read off the curve, between two updates by a straight line', () => {
    expect(updatesTo([1, 0.5, 0.25], 1)).toBe(0);
    expect(updatesTo([1, 0.5, 0.25], 0.75)).toBe(0.5);
    expect(updatesTo([1, 0.5, 0.25], 0.25)).toBe(2);
    expect(updatesTo([1, 0.5, 0.25], 0.2)).toBe(Infinity);
  });

  it('spared are a share of those without, to the loss that both reach; negative for a bank that does harm', () => {
    const slow = [4, 3, 2, 1];
    const fast = [4, 1, 0.5, 0.25];
    expect(sparedShare(slow, fast)).toBeCloseTo(2 / 3);
    expect(sparedShare(fast, slow)).toBeCloseTo(-2);
    expect(sparedShare(slow, slow)).toBe(0);
    expect(sparedShare([1, 2], [1, 0.5])).toBe(0);
  });
});

it('the confidence interval is that of Student', () => {
  const { mean, margin } = interval([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(mean).toBe(5.5);
  expect(margin).toBeCloseTo((2.262 * 3.02765) / Math.sqrt(10), 4);
});

it('a small population learns faster with the bank than without', async () => {
  const { features: embeddingDim, earlier, fresh } = syntheticPopulation(0, { earlier: 8, fresh: 4 });
  const bank = new ReasoningBank();
  await learnAll({ embeddingDim }, earlier, bank);
  const spared = sparedShare(await meanCurve({ embeddingDim }, fresh), await meanCurve({ embeddingDim }, fresh, bank));
  expect(spared).toBeGreaterThan(0.2);
  await bank.close();
});
