/** The documented strategies by lorakeet/merge. */
import type { LoraModules } from '../adapter/lora-module.js';
import { average, type MergeResult, taskArithmetic, ties, weightedAverage } from '../merge/index.js';
import type { MergeStrategy } from './merge-strategy.js';

export interface MergeOptions {
  /** Of the merged adapter. Default: the largest among those merged. */
  rank?: number;
  /** One for each adapter. Default: performance scores for 'weighted', 1 for 'taskArithmetic' (negative ones take away) and 'ties'. */
  weights?: readonly number[];
  /** Share of entries that 'ties' keeps of each. Default 0.2, as the paper. */
  density?: number;
  /** λ of 'ties': scales the merge. Default 1. */
  lambda?: number;
  /** Where 'ties' compares entries: in ΔW itself (default), or in the adapters' core space, which is faster for large models. */
  space?: 'delta' | 'core';
}

const TIES_DENSITY = 0.2;

/**
 * `scores`: performance scores, or undefined where an adapter has none; where none has one, 'weighted' weighs all the same,
 * and where only some have one the others weigh as much as the mean of those. Throws what the merges throw, also for an option
 * that a strategy does not have.
 */
export function mergeModules(
  adapters: readonly LoraModules[],
  strategy: MergeStrategy,
  scores: readonly (number | undefined)[],
  options: MergeOptions,
): MergeResult {
  switch (strategy) {
    case 'average':
      return average(adapters, options);
    case 'weighted':
      return weightedAverage(adapters, { ...options, weights: options.weights ?? weightsOf(scores) });
    case 'taskArithmetic':
      return taskArithmetic(adapters, options);
    case 'ties':
      return ties(adapters, { density: TIES_DENSITY, ...options });
  }
}

function weightsOf(scores: readonly (number | undefined)[]): number[] {
  const known = scores.filter((score) => score !== undefined);
  const mean = known.length ? known.reduce((sum, score) => sum + score, 0) / known.length : 1;
  return scores.map((score) => score ?? mean);
}
