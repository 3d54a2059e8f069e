/**
 * Dense linear algebra in double, for what is not a step of a pool: merges. The addon's where there is one, otherwise
 * JavaScript's; LORAKEET_BACKEND=js asks for the latter. Nothing here is public.
 */
import { jsDense } from './dense-js.js';
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
}

export function denseKernels(): DenseKernels {
  return process.env.LORAKEET_BACKEND === 'js' ? jsDense : (nativeDense() ?? jsDense);
}
