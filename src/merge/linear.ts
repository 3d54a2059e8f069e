/** Merges that are sums of ΔW: exact as long as the rank allows it, and ΔW itself is never formed. */
import type { LoraModule, LoraModules } from '../adapter/lora-module.js';
import { fail } from '../checks.js';
import { type DenseKernels, denseKernels } from '../kernels/dense.js';
import { type Matrix, timesColumns, transpose } from '../kernels/matrix.js';
import { type ModuleSet, requireAdapters, requireOptions, requireRank, requireWeights } from './checks.js';
import { haveFisher, withPrecision } from './precision.js';
import { balance, type MergedModule, mergeEach, moduleOf } from './result.js';
import { coreOf, spanOf } from './span.js';
import { anchorStackOf, type Stack, stackOf } from './stack.js';
import { truncatedSvd } from './svd.js';
import type { MergeResult, RankOption, WeightOption } from './types.js';

/**
 * (1/n)·Σ ΔWᵢ. Throws ERR_MERGE_MISMATCH for adapters that differ in modules or features, ERR_INVALID_CONFIG for a rank
 * that is no integer ≥ 1, and what requireLoraModules throws.
 */
export function average(adapters: readonly LoraModules[], options: RankOption = {}): MergeResult {
  const sets = requireAdapters(adapters);
  const { rank } = requireOptions(options, ['rank']);
  return mergeLinear(sets, new Array(adapters.length).fill(1 / adapters.length), requireRank(rank));
}

/**
 * Σ wᵢ·ΔWᵢ / Σ wᵢ. Throws as `average` does, ERR_LENGTH_MISMATCH and ERR_NOT_FINITE for the weights, and ERR_OUT_OF_RANGE
 * unless their sum is positive; single ones may be negative.
 */
export function weightedAverage(
  adapters: readonly LoraModules[],
  options: RankOption & Required<WeightOption>,
): MergeResult {
  const sets = requireAdapters(adapters);
  const { rank, weights } = requireOptions(options, ['rank', 'weights']);
  if (weights === undefined) fail('ERR_INVALID_ARGUMENT', 'weights', weights, `an array of ${adapters.length} numbers`);
  const checked = requireWeights(weights, adapters.length);
  const sum = checked.reduce((total, weight) => total + weight, 0);
  const size = checked.reduce((total, weight) => total + Math.abs(weight), 0);
  // a sum that is only rounding, as of 0.1 + 0.2 − 0.3, counts as 0
  if (!(sum > 1e-12 * size)) fail('ERR_OUT_OF_RANGE', 'the sum of weights', sum, 'a positive number');
  const shares = checked.map((weight) => weight / sum);
  return mergeLinear(sets, shares, requireRank(rank));
}

/** Σ wᵢ·ΔWᵢ, wᵢ = 1 by default; a negative weight takes away what an adapter has learned. Throws as `average` does. */
export function taskArithmetic(adapters: readonly LoraModules[], options: RankOption & WeightOption = {}): MergeResult {
  const sets = requireAdapters(adapters);
  const { rank, weights } = requireOptions(options, ['rank', 'weights']);
  return mergeLinear(sets, requireWeights(weights, adapters.length), requireRank(rank));
}

/** Σ wᵢ·ΔWᵢ by setting the factors side by side: exact, of rank Σ rankᵢ, with no arithmetic but wᵢ·scalingᵢ on B. */
export function concatenate(adapters: readonly LoraModules[], options: WeightOption = {}): MergeResult {
  const sets = requireAdapters(adapters);
  const { weights } = requireOptions(options, ['weights']);
  const checked = requireWeights(weights, adapters.length);
  const dense = denseKernels();
  return mergeEach(sets, (set) => {
    const stack = stackOf(set, checked);
    return concatenation(dense, set, stack, stack.coefficients.length);
  });
}

/** One adapter at another rank: the best approximation there is (Eckart and Young). Throws as `average` does. */
export function truncate(adapter: LoraModules, options: Required<RankOption>): MergeResult {
  const sets = requireAdapters([adapter]);
  const { rank } = requireOptions(options, ['rank']);
  if (rank === undefined) fail('ERR_INVALID_CONFIG', 'rank', rank, 'an integer of at least 1');
  return mergeLinear(sets, [1], requireRank(rank));
}

function mergeLinear(
  sets: ReadonlyMap<string, ModuleSet>,
  weights: readonly number[],
  rank: number | undefined,
): MergeResult {
  const dense = denseKernels();
  return mergeEach(sets, (set) => linearModule(dense, set, weights, rank));
}

/** Σ wᵢ·ΔWᵢ of one module at `rank`, or at the rank that holds it exactly. */
export function linearModule(
  dense: DenseKernels,
  set: ModuleSet,
  weights: readonly number[],
  rank: number | undefined,
): MergedModule {
  const stack = stackOf(set, weights);
  const { inFeatures, outFeatures } = set[0];
  const total = stack.coefficients.length;
  const target = rank ?? Math.min(total, inFeatures, outFeatures);
  return target >= total ? concatenation(dense, set, stack, target) : compression(dense, set, stack, target);
}

function concatenation(dense: DenseKernels, set: ModuleSet, stack: Stack, rank: number): MergedModule {
  const pairOf = ({ b, a }: { b: Matrix; a: Matrix }) => moduleOf(timesColumns(b, stack.coefficients), a, rank);
  const module = pairOf(stack);
  const anchor = haveFisher(set) ? pairOf(anchorStackOf(set)) : undefined;
  return {
    module: withPrecision(module, set, anchor),
    normSquare: () => normSquareOf(dense, stack),
    missedSquare: 0,
  };
}

/** Σᵢⱼ cᵢ·cⱼ·(bᵢ·bⱼ)·(aᵢ·aⱼ) */
function normSquareOf(dense: DenseKernels, { b, a, coefficients }: Stack): number {
  const gramOfB = dense.multiply(transpose(b), b).data;
  const gramOfA = dense.multiply(a, transpose(a)).data;
  let sum = 0;
  coefficients.forEach((ci, i) => {
    coefficients.forEach((cj, j) => {
      const at = i * coefficients.length + j;
      sum += ci * cj * gramOfB[at] * gramOfA[at];
    });
  });
  return sum;
}

/** The best approximation of rank `rank`, by an SVD in the small space that the factors span. */
function compression(dense: DenseKernels, set: ModuleSet, stack: Stack, rank: number): MergedModule {
  const spanB = spanOf(dense, transpose(stack.b));
  const spanA = spanOf(dense, stack.a);
  const svd = truncatedSvd(dense, coreOf(dense, spanB.coordinates, stack.coefficients, spanA.coordinates), rank);
  const { left, right } = balance(svd);
  const [fromB, fromA] = [spanB.expand(left), transpose(spanA.expand(right))];
  // what makes the new factors out of the old ones makes the new anchors out of the old anchors
  const pairOf = ({ b, a }: { b: Matrix; a: Matrix }): LoraModule =>
    moduleOf(dense.multiply(b, fromB), dense.multiply(fromA, a), rank);
  const anchor = haveFisher(set) ? pairOf(anchorStackOf(set)) : undefined;
  const { normSquare, missedSquare } = svd;
  return { module: withPrecision(pairOf(stack), set, anchor), normSquare: () => normSquare, missedSquare };
}
