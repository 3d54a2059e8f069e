/** Task singular vectors: what the adapters' singular vectors share is taken apart before they are added. */
import type { LoraModule, LoraModules } from '../adapter/lora-module.js';
import { requireInteger, requireNumber } from '../checks.js';
import { type DenseKernels, denseKernels } from '../kernels/dense.js';
import { copyOf, type DoubleMatrix, matrix, timesColumns, transpose } from '../kernels/matrix.js';
import { requireAdapters, requireOptions, requireRank, requireWeights } from './checks.js';
import { linearModule } from './linear.js';
import { withPrecision } from './precision.js';
import { mergeEach, moduleOf } from './result.js';
import { coreOf, spanOf } from './span.js';
import { stackOf } from './stack.js';
import { truncatedSvd } from './svd.js';
import type { MergeResult, RankOption, WeightOption } from './types.js';

export interface TsvOptions extends RankOption, WeightOption {
  /** Singular triplets that each adapter brings, at most; default: min(inFeatures, outFeatures) / number of adapters. */
  keep?: number;
  /** What the merged ΔW is multiplied with; finite, default 1. */
  lambda?: number;
}

/**
 * TSV-Merge (Gargiulo et al. 2025, "Task singular vectors: reducing task interference in model merging"): the singular
 * vectors of all ΔWᵢ are set side by side, replaced by the nearest orthonormal ones, and put together with the singular
 * values. It does not depend on the basis, so that it is computed in the small space of the factors. Throws as
 * `taskArithmetic` does, and ERR_INVALID_CONFIG for keep and lambda.
 */
export function tsv(adapters: readonly LoraModules[], options: TsvOptions = {}): MergeResult {
  requireOptions(options, ['rank', 'weights', 'keep', 'lambda']);
  const rank = requireRank(options.rank);
  const keep = options.keep === undefined ? undefined : requireInteger('keep', options.keep, 1, 2 ** 31 - 1);
  const lambda = requireNumber('lambda', options.lambda ?? 1);
  const sets = requireAdapters(adapters);
  const weights = requireWeights(options.weights, adapters.length);
  const dense = denseKernels();
  return mergeEach(sets, (set) => {
    const { inFeatures, outFeatures } = set[0];
    const share = Math.max(1, Math.floor(Math.min(inFeatures, outFeatures) / set.length));
    const parts = set.map((module, i) => singularTriplets(dense, module, weights[i], keep ?? share));
    const merged = linearModule(dense, [orthogonalSum(dense, parts)], [lambda], rank);
    return { ...merged, module: withPrecision(merged.module, set) };
  });
}

/** Of weight · ΔW, with the vectors as rows. */
interface Triplets {
  values: Float64Array;
  left: DoubleMatrix;
  right: DoubleMatrix;
}

function singularTriplets(dense: DenseKernels, module: LoraModule, weight: number, keep: number): Triplets {
  const { a, b, coefficients } = stackOf([module], [weight]);
  const spanB = spanOf(dense, transpose(b));
  const spanA = spanOf(dense, a);
  const svd = truncatedSvd(
    dense,
    coreOf(dense, spanB.coordinates, coefficients, spanA.coordinates),
    Math.min(keep, module.rank),
  );
  return {
    values: svd.values,
    left: dense.multiply(transpose(spanB.expand(svd.left)), transpose(b)),
    right: dense.multiply(transpose(spanA.expand(svd.right)), a),
  };
}

/** U⊥·diag(values)·V⊥ᵀ as a module. */
function orthogonalSum(dense: DenseKernels, parts: readonly Triplets[]): LoraModule {
  const roots = Float64Array.from(parts.flatMap(({ values }) => Array.from(values, Math.sqrt)));
  const side = (rows: DoubleMatrix) => timesColumns(dense.multiply(transpose(rows), inverseRoot(dense, rows)), roots);
  const left = side(stackRows(parts.map((part) => part.left)));
  const right = side(stackRows(parts.map((part) => part.right)));
  return moduleOf(left, transpose(right), Math.max(1, roots.length));
}

/**
 * Vectors that agree to six digits are one: they share its direction, and merging an adapter with itself changes nothing.
 */
const DEPENDENT = 1e-12;

/** (X·Xᵀ)^(−1/2) for the rows of X, on the space that they span: it turns them into the nearest orthonormal ones. */
function inverseRoot(dense: DenseKernels, rows: DoubleMatrix): DoubleMatrix {
  const { values, vectors } = dense.symmetricEigen(dense.multiply(rows, transpose(rows)));
  const scaled = copyOf(vectors);
  for (let i = 0; i < scaled.rows; i++) {
    const factor = values[i] > DEPENDENT * values[0] ? 1 / Math.sqrt(values[i]) : 0;
    for (let j = 0; j < scaled.columns; j++) scaled.data[i * scaled.columns + j] *= factor;
  }
  return dense.multiply(transpose(vectors), scaled);
}

function stackRows(parts: readonly DoubleMatrix[]): DoubleMatrix {
  const { columns } = parts[0];
  const data = new Float64Array(parts.reduce((sum, { rows }) => sum + rows * columns, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part.data, at);
    at += part.data.length;
  }
  return matrix(data, data.length / columns, columns);
}
