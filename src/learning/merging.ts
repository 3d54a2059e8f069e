/** The documented strategies by lorakeet/merge. */
import type { LoraModules } from '../adapter/lora-module.js';
import { average, type MergeResult, taskArithmetic, ties, weightedAverage } from '../merge/index.js';
import type { MergeStrategy } from './merge-strategy.js';
import { failure, type Result, success } from './result.js';

export interface MergeOptions {
  /** Of the merged adapter. Default: the largest among those merged. */
  rank?: number;
  /** One for each adapter: of 'weighted' (default: performance scores) and 'taskArithmetic' (default 1, negative ones take away). */
  weights?: readonly number[];
  /** Share of entries that 'ties' keeps of each. Default 0.2, as the paper. */
  density?: number;
  /** Where 'ties' compares entries: in ΔW itself (default), or in the adapters' core space, which is faster for large models. */
  space?: 'delta' | 'core';
}

const TIES_DENSITY = 0.2;

/**
 * `scores`: performance scores, or undefined where an adapter has none; where none has one, 'weighted' weighs all the same,
 * and where only some have one the others weigh as much as the mean of those.
 */
export function mergeModules(
  adapters: readonly LoraModules[],
  strategy: MergeStrategy,
  scores: readonly (number | undefined)[],
  { rank, weights, density = TIES_DENSITY, space }: MergeOptions,
): Result<MergeResult> {
  switch (strategy) {
    case 'average':
      return success(average(adapters, { rank }));
    case 'weighted': {
      const chosen = weights ?? weightsOf(scores);
      if (!(chosen.reduce((sum, weight) => sum + weight, 0) > 0)) {
        return failure('the weights must have a positive sum');
      }
      return success(weightedAverage(adapters, { rank, weights: chosen }));
    }
    case 'taskArithmetic':
      return success(taskArithmetic(adapters, { rank, weights }));
    case 'ties':
      return success(ties(adapters, { rank, density, space }));
  }
}

function weightsOf(scores: readonly (number | undefined)[]): number[] {
  const known = scores.filter((score) => score !== undefined);
  const mean = known.length ? known.reduce((sum, score) => sum + score, 0) / known.length : 1;
  return scores.map((score) => score ?? mean);
}
