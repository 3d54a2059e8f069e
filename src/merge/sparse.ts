/** Merges entry by entry: TIES, DARE and magnitude pruning, in ΔW or in core space. */
import type { LoraModules } from '../adapter/lora-module.js';
import { hashSeed, Random } from '../adapter/random.js';
import { requireInteger, requireNumber, requireOneOf } from '../checks.js';
import { denseKernels } from '../kernels/dense.js';
import type { MergeRule, Selection } from '../kernels/entries.js';
import {
  type ModuleSet,
  requireAdapters,
  requireDensity,
  requireOptions,
  requireRank,
  requireWeights,
} from './checks.js';
import { coreSpace } from './core-space.js';
import { deltaSpace } from './delta-space.js';
import { type EntrySpace, keepAtRandom, keepLargest } from './entries.js';
import { withPrecision } from './precision.js';
import { mergeEach } from './result.js';
import {
  type DensityOption,
  type ElectionOption,
  MAJORITY_SIGNS,
  type MergeResult,
  type RankOption,
  type SeedOption,
  SPACES,
  type SpaceOption,
  type WeightOption,
} from './types.js';

export type SparseOptions = RankOption & WeightOption & DensityOption & SpaceOption;

/**
 * TIES (Yadav et al. 2023, "TIES-Merging: resolving interference when merging models"): trim each adapter to its entries of
 * largest magnitude, elect a sign for each place, average the adapters that have it. Throws as `average` does, for the
 * weights as `taskArithmetic` does, and ERR_INVALID_CONFIG for any other option outside its range.
 */
export function ties(adapters: readonly LoraModules[], options: SparseOptions & ElectionOption): MergeResult {
  requireOptions(options, ['rank', 'weights', 'density', 'space', 'majoritySign', 'lambda']);
  const density = requireDensity(options.density);
  return mergeSparsely(adapters, options, largest(density), election(options));
}

/** Σ wᵢ·(ΔWᵢ trimmed to its entries of largest magnitude). Throws as `ties` does. */
export function magnitudePrune(adapters: readonly LoraModules[], options: SparseOptions): MergeResult {
  requireOptions(options, ['rank', 'weights', 'density', 'space']);
  const density = requireDensity(options.density);
  return mergeSparsely(adapters, options, largest(density), SUM);
}

/**
 * DARE (Yu et al. 2024, "Language models are super Mario"): drop entries at random, rescale the rest, add. The masks
 * depend on the seed, the module's name and the adapters' ΔW, not on their order. Throws as `ties` does.
 */
export function dareLinear(adapters: readonly LoraModules[], options: SparseOptions & SeedOption): MergeResult {
  requireOptions(options, ['rank', 'weights', 'density', 'space', 'seed']);
  return mergeSparsely(adapters, options, atRandom(options), SUM);
}

/** DARE's random dropping in place of the trimming of TIES. Throws as `ties` does. */
export function dareTies(
  adapters: readonly LoraModules[],
  options: SparseOptions & ElectionOption & SeedOption,
): MergeResult {
  requireOptions(options, ['rank', 'weights', 'density', 'space', 'majoritySign', 'lambda', 'seed']);
  return mergeSparsely(adapters, options, atRandom(options), election(options));
}

const SUM: MergeRule = { election: 'none', lambda: 1 };

/** One selection for each adapter. */
type Select = (space: EntrySpace, set: ModuleSet, name: string, weights: readonly number[]) => readonly Selection[];

function mergeSparsely(
  adapters: readonly LoraModules[],
  options: SparseOptions,
  select: Select,
  rule: MergeRule,
): MergeResult {
  const space = requireOneOf('space', options.space ?? 'delta', SPACES);
  const rank = requireRank(options.rank);
  const sets = requireAdapters(adapters);
  const weights = requireWeights(options.weights, adapters.length);
  const dense = denseKernels();
  return mergeEach(sets, (set, name) => {
    const entries = space === 'core' ? coreSpace(dense, set) : deltaSpace(dense, set);
    const target = rank ?? defaultRank(set, space === 'core');
    const merged = entries.merge(weights, select(entries, set, name, weights), rule, target);
    return { ...merged, module: withPrecision(merged.module, set) };
  });
}

function defaultRank(set: ModuleSet, exact: boolean): number {
  const ranks = set.map(({ rank }) => rank);
  const rank = exact ? ranks.reduce((sum, each) => sum + each, 0) : Math.max(...ranks);
  return Math.min(rank, set[0].inFeatures, set[0].outFeatures);
}

function election({ majoritySign, lambda }: ElectionOption): MergeRule {
  const method = requireOneOf('majoritySign', majoritySign ?? 'total', MAJORITY_SIGNS);
  return { election: method, lambda: requireNumber('lambda', lambda ?? 1) };
}

function largest(density: number): Select {
  return (space, set) => set.map((_, adapter) => keepLargest(space, adapter, density));
}

function atRandom({ density, seed = 0 }: DensityOption & SeedOption): Select {
  requireDensity(density);
  requireInteger('seed', seed, 0, 2 ** 32 - 1);
  return (_, set, name, weights) => {
    const selections = new Array<Selection>(set.length);
    orderOf(set, weights, seed).forEach((adapter, position) => {
      const [first, second] = hashSeed(seed, `dare ${position} ${name}`);
      selections[adapter] = keepAtRandom(density, [first, second]);
    });
    return selections;
  };
}

/**
 * The adapters in the order of gᵀ·ΔW·h for random g and h: an order that knows neither their order in the input nor their
 * factors. Equal ones go by their weights.
 */
function orderOf(set: ModuleSet, weights: readonly number[], seed: number): number[] {
  const { inFeatures, outFeatures } = set[0];
  const random = new Random(hashSeed(seed, 'dare order'));
  const g = new Float32Array(outFeatures);
  const h = new Float32Array(inFeatures);
  random.fillUniform(g, -1, 1);
  random.fillUniform(h, -1, 1);
  const keys = set.map(({ rank, loraA, loraB, scaling }) => {
    let key = 0;
    for (let k = 0; k < rank; k++) {
      let [left, right] = [0, 0];
      for (let o = 0; o < outFeatures; o++) left += g[o] * loraB[o * rank + k];
      for (let j = 0; j < inFeatures; j++) right += loraA[k * inFeatures + j] * h[j];
      key += scaling * left * right;
    }
    return key;
  });
  return set.map((_, i) => i).sort((i, j) => keys[i] - keys[j] || weights[i] - weights[j]);
}
