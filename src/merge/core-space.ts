/**
 * Core space (Panariello et al. 2025, "Accurate and efficient low-rank model merging in core space"): all ΔWᵢ = U·Cᵢ·Vᵀ with
 * common orthonormal U and V, so entries of the small cores Cᵢ can be compared in place of those of ΔWᵢ.
 *
 * The paper takes U and V from the stacked Bs and As, which change with the factorisation of an input. Here U holds the
 * left singular vectors of [ΔW₁ … ΔWₙ] and V the right ones of [ΔW₁; …; ΔWₙ], which do not. Signs of the vectors stay
 * undetermined; merges that treat v and −v alike do not see them.
 */
import type { DenseKernels } from '../kernels/dense.js';
import { combineBy, combineEntries, type EntrySource, magnitudeAt, sparsifyBy } from '../kernels/entries.js';
import { type DoubleMatrix, matrix, transpose, zeros } from '../kernels/matrix.js';
import type { ModuleSet } from './checks.js';
import type { EntrySpace } from './entries.js';
import { balance, moduleOf } from './result.js';
import { coreOf, spanOf } from './span.js';
import { stackOf } from './stack.js';
import { truncatedSvd } from './svd.js';

export function coreSpace(dense: DenseKernels, set: ModuleSet): EntrySpace {
  const stack = stackOf(set, new Array<number>(set.length).fill(1));
  const spanB = spanOf(dense, transpose(stack.b));
  const spanA = spanOf(dense, stack.a);
  const cores = set.map((_, i) => {
    const [first, end] = [stack.offsets[i], stack.offsets[i + 1]];
    const coefficients = stack.coefficients.subarray(first, end);
    return coreOf(dense, rowsOf(spanB.coordinates, first, end), coefficients, rowsOf(spanA.coordinates, first, end));
  });
  const u = principalVectors(dense, cores, spanB.coordinates.columns, (core) => dense.multiply(core, transpose(core)));
  const v = principalVectors(dense, cores, spanA.coordinates.columns, (core) => dense.multiply(transpose(core), core));
  const turned = cores.map((core) => dense.multiply(dense.multiply(u, core), transpose(v)));
  const [rows, columns] = [u.rows, v.rows];
  const source: EntrySource = {
    matrices: set.length,
    blocks: 1,
    length: rows * columns,
    offset: () => 0,
    read: (adapter) => turned[adapter].data.slice(),
  };
  return {
    length: source.length,
    magnitudeAt: (adapter, count) => magnitudeAt(source, adapter, count),
    merge(weights, selections, rule, rank) {
      const merged = zeros(rows, columns);
      combineEntries(source, weights, sparsifyBy(selections), combineBy(rule), merged.data);
      const svd = truncatedSvd(dense, merged, rank);
      const { left, right } = balance(svd);
      const b = dense.multiply(stack.b, spanB.expand(dense.multiply(transpose(u), left)));
      const a = dense.multiply(transpose(spanA.expand(dense.multiply(transpose(v), right))), stack.a);
      const { normSquare, missedSquare } = svd;
      return { module: moduleOf(b, a, rank), normSquare: () => normSquare, missedSquare };
    },
  };
}

/** The eigenvectors of Σ square(core), as rows. */
function principalVectors(
  dense: DenseKernels,
  cores: readonly DoubleMatrix[],
  size: number,
  square: (core: DoubleMatrix) => DoubleMatrix,
): DoubleMatrix {
  const sum = zeros(size, size);
  for (const core of cores) {
    const { data } = square(core);
    for (let i = 0; i < data.length; i++) sum.data[i] += data[i];
  }
  return dense.symmetricEigen(sum).vectors;
}

function rowsOf(m: DoubleMatrix, first: number, end: number): DoubleMatrix {
  return matrix(m.data.subarray(first * m.columns, end * m.columns), end - first, m.columns);
}
