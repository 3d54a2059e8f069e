/**
 * Dense linear algebra in double, for what is not a step of a pool: merges. The addon's where there is one, otherwise
 * JavaScript's; LORAKEET_BACKEND=js asks for the latter. Nothing here is public.
 */
import { jsDense } from './dense-js.js';
import type { Magnitudes, MergeRule, Product, Summand } from './entries.js';
import type { DoubleMatrix, Matrix } from './matrix.js';
import { nativeDense } from './native.js';

export interface Eigen {
  /** In falling order. */
  values: Float64Array;
  /** Row i is the vector of values[i], of length 1; its sign means nothing. */
  vectors: DoubleMatrix;
}

export interface DenseKernels {
  readonly device: string;
  /** x·y, every sum in double. x.columns equals y.rows. */
  multiply(x: Matrix, y: Matrix): DoubleMatrix;
  /** Of a row-major symmetric matrix, of which only the upper triangle counts. Throws ERR_NOT_FINITE for NaN and infinity. */
  symmetricEigen(symmetric: DoubleMatrix): Eigen;
  /** The count-th largest magnitude among the product's entries, 1 ≤ count ≤ rows·columns, and the largest. */
  magnitudeAt(product: Product, count: number): Magnitudes;
  /** The merge of summands of one shape, entry by entry, row-major. */
  mergeEntries(summands: readonly Summand[], rule: MergeRule): Float32Array;
}

export function denseKernels(): DenseKernels {
  return process.env.LORAKEET_BACKEND === 'js' ? jsDense : (nativeDense() ?? jsDense);
}
