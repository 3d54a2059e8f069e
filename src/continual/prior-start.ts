/**
 * The adapter that users of a population start from: factors in the population's output directions, scaled so that the
 * engine's own optimizer takes steps of the right size, and an importance that pulls back to it. docs/continual.md has
 * the derivation.
 */
import type { PoolConfig } from '../kernels/contract.js';
import { type SlabSection, slabLayout } from '../kernels/layout.js';
import type { CommonDirections } from './common-directions.js';
import type { FeedbackHistories } from './histories.js';

/** Mean squares over the rows of a population. */
export interface RowStatistics {
  /** [inFeatures] of the inputs */
  inputSquares: Float64Array;
  /** [outFeatures] of what the targets are away from an adapter that changes nothing */
  residualSquares: Float64Array;
  /** [directions] of the same along each direction */
  directionSquares: number[];
}

export interface StartSettings {
  /** Share of an error along the strongest direction that the first step of one row takes away, on average. */
  learnedShare: number;
  /** Importance F in units of the Gauss–Newton Fisher at the start. */
  importance: number;
  /** [directions × inFeatures] The users' mean response uᵀ·ΔW along each direction; absent: zero. */
  mean?: Float64Array;
}

/** Relative trust in directions that the population hardly uses: somebody unlike the others can still learn them. */
const LEAST_TRUST = 0.01;

/** Relative to the mean over outputs; errors of less were none so far. */
const LEAST_NOISE = 1e-3;

/** The sections of a slab, all of [parameterCount]; those that the pool does not have are missing. */
export type PriorSections = { weights: Float32Array } & Partial<Record<SlabSection, Float32Array>>;

export function rowStatistics(
  { residual, inFeatures, outFeatures }: PoolConfig,
  { x, target }: FeedbackHistories,
  directions: readonly Float64Array[],
): RowStatistics {
  const rows = x.length / inFeatures;
  const inputSquares = new Float64Array(inFeatures);
  const residualSquares = new Float64Array(outFeatures);
  const directionSquares = directions.map(() => 0);
  const difference = new Float64Array(outFeatures);
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < inFeatures; j++) inputSquares[j] += x[row * inFeatures + j] ** 2 / rows;
    for (let o = 0; o < outFeatures; o++) {
      difference[o] = target[row * outFeatures + o] - (residual ? x[row * outFeatures + o] : 0);
      residualSquares[o] += difference[o] ** 2 / rows;
    }
    directions.forEach((direction, k) => {
      let along = 0;
      for (let o = 0; o < outFeatures; o++) along += direction[o] * difference[o];
      directionSquares[k] += along ** 2 / rows;
    });
  }
  return { inputSquares, residualSquares, directionSquares };
}

/**
 * B's columns are the directions, as long as makes A's entries move by the wanted amount at the step size `firstRate`;
 * A's rows are the mean response. With AdamW the second moment is the mean square of the gradients to come, so that a
 * step is in proportion to the gradient from the first one on.
 */
export function startInDirections(
  config: PoolConfig,
  { directions, energies }: CommonDirections,
  statistics: RowStatistics,
  firstRate: number,
  { learnedShare, importance, mean }: StartSettings,
): PriorSections {
  const { rank, inFeatures, outFeatures, scaling, optimizer, ewc, maxGradNorm } = config;
  const { parameterCount, loraALength } = slabLayout({ ...config, ewc: ewc !== null, moments: false });
  const section = () => new Float32Array(parameterCount);
  const [weights, fisher, moment2] = [section(), section(), section()];
  const inputPower = statistics.inputSquares.reduce((sum, square) => sum + square, 0);
  const inputSquare = inputPower / inFeatures;
  const residualSquare = statistics.residualSquares.reduce((sum, square) => sum + square, 0) / outFeatures;
  const lossSlope = 2 / outFeatures;
  const noises = statistics.directionSquares.map((square) => Math.max(square, LEAST_NOISE * residualSquare));
  const trust = energies.map((energy, k) => energy / noises[k]);
  const mostTrusted = Math.max(...trust);
  // how far one row moves the response along each direction, per unit of error times input
  const gains = trust.map((each) => (learnedShare * Math.max(each / mostTrusted, LEAST_TRUST)) / inputPower);
  const reaches = gains.map((gain, k) =>
    optimizer.kind === 'adamw'
      ? (gain * Math.sqrt(noises[k] * inputSquare)) / firstRate
      : Math.sqrt(gain / (lossSlope * firstRate)),
  );
  if (optimizer.kind === 'adamw') {
    // gradients that are usually clipped would all be as good as one bit; a shorter B makes them smaller
    const squares = reaches.map((reach, k) => (lossSlope * reach) ** 2 * noises[k] * inputPower);
    const gradNorm = Math.sqrt(squares.reduce((sum, square) => sum + square, 0));
    const shrink = Math.min(1, maxGradNorm / gradNorm);
    for (let k = 0; k < reaches.length; k++) reaches[k] *= shrink;
  }

  directions.forEach((direction, k) => {
    const noise = noises[k];
    const [gain, reach] = [gains[k], reaches[k]];
    // of z = A·x, once the users have come to differ
    const latentSquare = (gain * noise * inputPower) / reach ** 2;
    for (let j = 0; j < inFeatures; j++) {
      const index = k * inFeatures + j;
      weights[index] = mean ? mean[index] / reach : 0;
      fisher[index] = importance * reach ** 2 * inputSquare;
      moment2[index] = ((lossSlope * reach ** 2 * firstRate) / gain) ** 2;
    }
    for (let o = 0; o < outFeatures; o++) {
      const index = loraALength + o * rank + k;
      weights[index] = (reach / scaling) * direction[o];
      fisher[index] = importance * scaling ** 2 * latentSquare;
      // an output without errors so far must not take a giant step at its first one
      const errorSquare = Math.max(statistics.residualSquares[o], residualSquare);
      moment2[index] = (lossSlope * scaling) ** 2 * errorSquare * latentSquare;
    }
  });
  return {
    weights,
    ...(ewc && { fisher, anchor: weights }),
    ...(optimizer.kind === 'adamw' && { moment1: section(), moment2 }),
  };
}
