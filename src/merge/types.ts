/** What merges take and give. The methods are in docs/merging.md, with their equations and references. */
import type { LoraModules } from '../adapter/lora-module.js';

export interface MergeResult {
  /** The merged adapter; every module has scaling 1. With fisher and anchor where every input has them. */
  modules: LoraModules;
  /**
   * What the chosen rank could not hold: ‖M − M′‖ / ‖M‖ over all modules together (Frobenius), where M is the merge before
   * it was brought to that rank and M′ is the result; 0 for M = 0. Below about 1e-7 it is rounding.
   */
  residual: number;
  /** The same for each module. */
  residuals: ReadonlyMap<string, number>;
}

export interface RankOption {
  /**
   * Rank of every module of the result, at least 1: the best approximation of that rank; padded with zeros where the merge
   * has less. Default: as many as hold the merge exactly, Σ of the inputs' ranks but at most min(inFeatures, outFeatures);
   * for merges entry by entry in ΔW, which no small rank holds exactly, the largest rank among the inputs.
   */
  rank?: number;
}

export interface WeightOption {
  /** One finite number for each adapter, negative ones allowed; default: 1 for each. */
  weights?: readonly number[];
}

export const SPACES = ['delta', 'core'] as const;
/** Where entries are compared: in ΔW itself, or in the adapters' common core space, which is much smaller. */
export type Space = (typeof SPACES)[number];

export interface SpaceOption {
  /** Default 'delta'. */
  space?: Space;
}

export interface DensityOption {
  /** The share of entries that is kept, above 0 and at most 1. */
  density: number;
}

export const MAJORITY_SIGNS = ['total', 'frequency'] as const;
/** Who elects the sign of an entry: the sum of the weighted values, or the number of adapters on each side. */
export type MajoritySign = (typeof MAJORITY_SIGNS)[number];

export interface ElectionOption {
  /** Default 'total'. */
  majoritySign?: MajoritySign;
  /** What the merged ΔW is multiplied with; finite, default 1. */
  lambda?: number;
}

export interface SeedOption {
  /** 0 … 2³² − 1, default 0. */
  seed?: number;
}
