/** One batch of feedback in a few numbers: what a bank compares situations by. */
import type { FeedbackStatistics } from './contract.js';

/** Rows x and target, [count × features] each, and what the application knows about them. */
export interface FeedbackRowsSeen {
  count: number;
  x: Float32Array;
  target: Float32Array;
  meanReward: number;
  targetShare: number;
}

/** For at least one row; all numbers finite if those of the rows are and their squares do not overflow. */
export function feedbackStatistics({ count, x, target, ...known }: FeedbackRowsSeen): FeedbackStatistics {
  const features = x.length / count;
  const meanDirection = new Float64Array(features);
  let squares = 0;
  let residuals = 0;
  for (let row = 0; row < count; row++) {
    const begin = row * features;
    let rowSquares = 0;
    for (let j = 0; j < features; j++) {
      const value = x[begin + j];
      const residual = target[begin + j] - value;
      rowSquares += value * value;
      residuals += residual * residual;
    }
    squares += rowSquares;
    const scale = rowSquares > 0 ? 1 / (count * Math.sqrt(rowSquares)) : 0;
    for (let j = 0; j < features; j++) meanDirection[j] += scale * x[begin + j];
  }
  let coherence = 0;
  for (let j = 0; j < features; j++) coherence += meanDirection[j] * meanDirection[j];
  return {
    meanReward: known.meanReward,
    targetShare: known.targetShare,
    inputRms: Math.sqrt(squares / x.length),
    residualRms: Math.sqrt(residuals / x.length),
    coherence,
  };
}
