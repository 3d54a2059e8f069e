/** One batch of feedback in a few numbers: what a bank compares situations by. */
import type { FeedbackStatistics } from './contract.js';

/** Rows x and target, [count × features] each. */
export interface RowsSeen {
  count: number;
  x: Float32Array;
  target: Float32Array;
}

/** For at least one row; all numbers finite if those of the rows are and their squares do not overflow. */
export function feedbackStatistics(
  { count, x, target }: RowsSeen,
  { meanReward, targetShare }: Pick<FeedbackStatistics, 'meanReward' | 'targetShare'>,
): FeedbackStatistics {
  const features = x.length / count;
  const meanDirection = new Float64Array(features);
  let squares = 0;
  for (let row = 0; row < count; row++) {
    const begin = row * features;
    let rowSquares = 0;
    for (let j = 0; j < features; j++) rowSquares += x[begin + j] ** 2;
    squares += rowSquares;
    const scale = rowSquares > 0 ? 1 / (count * Math.sqrt(rowSquares)) : 0;
    for (let j = 0; j < features; j++) meanDirection[j] += scale * x[begin + j];
  }
  // in a loop of its own, which is faster than with the other sums
  let residuals = 0;
  for (let i = 0; i < x.length; i++) residuals += (target[i] - x[i]) ** 2;
  let coherence = 0;
  for (let j = 0; j < features; j++) coherence += meanDirection[j] * meanDirection[j];
  return {
    meanReward,
    targetShare,
    inputRms: Math.sqrt(squares / x.length),
    residualRms: Math.sqrt(residuals / x.length),
    coherence,
  };
}
