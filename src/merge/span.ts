/** The subspace that many vectors span, found from their products with each other alone. */
import type { DenseKernels } from '../kernels/dense.js';
import { copyOf, type DoubleMatrix, type Matrix, transpose, zeros } from '../kernels/matrix.js';

/** An orthonormal basis Q [p × length] of the rows of V [R × length], which is never formed. */
export interface Span {
  /** K [R × p]: V = K·Q. */
  coordinates: DoubleMatrix;
  /** For c [p × k]: the E [R × k] with Qᵀ·c = Vᵀ·E. */
  expand(c: Matrix): DoubleMatrix;
}

/**
 * What is left of the square of a vector of length 1 below this is rounding: entries have 7 digits, so vectors that agree
 * to 3·10⁻⁷ count as one.
 */
const DEPENDENT = 1e-13;

/**
 * Gram matrix and Cholesky decomposition with pivoting, on vectors brought to length 1, so that small vectors beside large
 * ones keep their digits (Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 10.3).
 */
export function spanOf(dense: DenseKernels, vectors: Matrix): Span {
  const gram = dense.multiply(vectors, transpose(vectors));
  const count = vectors.rows;
  const lengths = Float64Array.from({ length: count }, (_, i) => Math.sqrt(gram.data[i * count + i]));
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < count; j++) gram.data[i * count + j] /= lengths[i] * lengths[j] || 1;
  }
  const { lower, pivots } = pivotedCholesky(gram);
  const coordinates = zeros(count, pivots.length);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < pivots.length; j++) {
      coordinates.data[i * pivots.length + j] = lengths[i] * lower.data[i * lower.columns + j];
    }
  }
  return { coordinates, expand: (c) => expand(copyOf(c), lower, pivots, lengths) };
}

/** gram = lower · lowerᵀ; row pivots[j] of lower ends at column j. */
function pivotedCholesky(gram: DoubleMatrix): { lower: DoubleMatrix; pivots: number[] } {
  const n = gram.rows;
  const lower = zeros(n, n);
  const l = lower.data;
  const rest = Float64Array.from({ length: n }, (_, i) => gram.data[i * n + i]);
  const pivots: number[] = [];
  for (let k = 0; k < n; k++) {
    let pivot = 0;
    for (let i = 1; i < n; i++) if (rest[i] > rest[pivot]) pivot = i;
    if (!(rest[pivot] > DEPENDENT)) break;
    pivots.push(pivot);
    const root = Math.sqrt(rest[pivot]);
    for (let i = 0; i < n; i++) {
      if (rest[i] === 0) continue; // a pivot of before, or a vector of zeros
      let value = gram.data[i * n + pivot];
      for (let j = 0, a = i * n, b = pivot * n; j < k; j++, a++, b++) value -= l[a] * l[b];
      l[i * n + k] = value / root;
      rest[i] = i === pivot ? 0 : Math.max(Number.MIN_VALUE, rest[i] - (value / root) ** 2);
    }
    l[pivot * n + k] = root;
  }
  return { lower, pivots };
}

/** Back substitution, which uses up `c`: Q is a combination of the pivots' vectors alone. */
function expand(c: DoubleMatrix, lower: DoubleMatrix, pivots: readonly number[], lengths: Float64Array): DoubleMatrix {
  const k = c.columns;
  const expanded = zeros(lower.rows, k);
  for (let i = pivots.length - 1; i >= 0; i--) {
    const row = pivots[i] * lower.columns;
    const solved = c.data.subarray(i * k, (i + 1) * k);
    for (let j = 0; j < k; j++) solved[j] /= lower.data[row + i];
    for (let above = 0; above < i; above++) {
      const factor = lower.data[row + above];
      for (let j = 0; j < k; j++) c.data[above * k + j] -= factor * solved[j];
    }
    for (let j = 0; j < k; j++) expanded.data[pivots[i] * k + j] = solved[j] / lengths[pivots[i]];
  }
  return expanded;
}

/** K_Bᵀ · diag(coefficients) · K_A: Σ coefficientᵢ·bᵢ·aᵢᵀ in the bases of both spans. */
export function coreOf(dense: DenseKernels, b: Matrix, coefficients: Float64Array, a: DoubleMatrix): DoubleMatrix {
  const scaled = copyOf(a);
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < a.columns; j++) scaled.data[i * a.columns + j] *= coefficients[i];
  }
  return dense.multiply(transpose(b), scaled);
}
