import { expect, it } from 'vitest';
import { feedbackStatistics } from '../../src/reasoning/feedback-statistics.js';

const known = { meanReward: 0.25, targetShare: 0.5 };

it('is what its docstring says, by hand', () => {
  const x = Float32Array.of(3, 4, 0, 2);
  const target = Float32Array.of(3, 3, 2, 2);
  // directions (.6, .8) and (0, 1): mean (.3, .9)
  const { inputRms, residualRms, coherence, ...rest } = feedbackStatistics({ count: 2, x, target }, known);
  expect(inputRms).toBeCloseTo(Math.sqrt(29 / 4), 12);
  expect(residualRms).toBeCloseTo(Math.sqrt(5 / 4), 12);
  expect(coherence).toBeCloseTo(0.9, 12);
  expect(rest).toEqual(known);
});

it('has coherence 1 for one direction, 0 for opposed ones and for zeros', () => {
  const of = (...x: number[]) => {
    const rows = Float32Array.from(x);
    return feedbackStatistics({ count: 2, x: rows, target: rows }, known);
  };
  expect(of(1, 2, 10, 20).coherence).toBeCloseTo(1, 12);
  expect(of(1, 2, -1, -2).coherence).toBeCloseTo(0, 12);
  expect(of(0, 0, 0, 0)).toEqual({ ...known, inputRms: 0, residualRms: 0, coherence: 0 });
});
