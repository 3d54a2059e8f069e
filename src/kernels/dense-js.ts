/** The dense operations in plain JavaScript: reference and fallback. */
import { LorakeetError } from '../errors.js';
import type { DenseKernels, Eigen } from './dense.js';
import {
  combineBy,
  combineEntries,
  type Magnitudes,
  type MergeRule,
  magnitudeAt,
  type Product,
  productEntries,
  type Summand,
  sparsifyBy,
} from './entries.js';
import { type DoubleMatrix, type Matrix, zeros } from './matrix.js';
import { eigenOfTridiagonal, tridiagonalise } from './tridiagonal-js.js';

/** Rows of y that are worked on together, so that they stay in cache while all rows of x pass by. */
const BLOCK = 64;

export const jsDense: DenseKernels = { device: 'js', multiply, symmetricEigen, magnitudeAt: magnitudeOf, mergeEntries };

function multiply(x: Matrix, y: Matrix): DoubleMatrix {
  const product = zeros(x.rows, y.columns);
  const { columns } = y;
  const block = new Float64Array(BLOCK * columns);
  for (let first = 0; first < y.rows; first += BLOCK) {
    const height = Math.min(BLOCK, y.rows - first);
    for (let k = 0; k < height; k++) {
      const start = (first + k) * y.rowStride;
      for (let j = 0; j < columns; j++) block[k * columns + j] = y.data[start + j * y.columnStride];
    }
    for (let i = 0; i < x.rows; i++) addRow(product.data, i * columns, columns, x, i, first, height, block);
  }
  return product;
}

/** out[at …] += Σₖ x[i, first + k] · block[k, …] */
function addRow(
  out: Float64Array,
  at: number,
  columns: number,
  x: Matrix,
  i: number,
  first: number,
  height: number,
  block: Float64Array,
): void {
  for (let k = 0; k < height; k++) {
    const factor = x.data[i * x.rowStride + (first + k) * x.columnStride];
    if (factor === 0) continue;
    for (let j = 0, b = k * columns; j < columns; j++, b++) out[at + j] += factor * block[b];
  }
}

function symmetricEigen(symmetric: DoubleMatrix): Eigen {
  const n = symmetric.rows;
  if (!symmetric.data.every(Number.isFinite)) {
    throw new LorakeetError('ERR_NOT_FINITE', 'matrix: got NaN or infinity, expected finite numbers');
  }
  // at a largest entry of 1, no square on the way leaves the range of double
  const size = symmetric.data.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) || 1;
  const scaled = { ...symmetric, data: symmetric.data.map((value) => value / size) };
  const { diagonal, offDiagonal, basis } = tridiagonalise(scaled);
  eigenOfTridiagonal(diagonal, offDiagonal, basis);
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => diagonal[j] - diagonal[i]);
  const vectors = zeros(n, n);
  order.forEach((from, to) => {
    vectors.data.set(basis.data.subarray(from * n, (from + 1) * n), to * n);
  });
  return { values: Float64Array.from(order, (i) => diagonal[i] * size), vectors };
}

function magnitudeOf(product: Product, count: number): Magnitudes {
  return magnitudeAt(productEntries([product], multiply), 0, count);
}

function mergeEntries(summands: readonly Summand[], rule: MergeRule): Float32Array {
  const source = productEntries(summands, multiply);
  const merged = new Float32Array(source.length);
  const weights = summands.map(({ weight }) => weight);
  combineEntries(source, weights, sparsifyBy(summands), combineBy(rule), merged);
  return merged;
}
