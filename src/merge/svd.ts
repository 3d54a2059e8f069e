/** Truncated singular value decompositions that never look at more than they must. */
import { hashSeed, Random } from '../adapter/random.js';
import type { DenseKernels } from '../kernels/dense.js';
import {
  columnsOf,
  type DoubleMatrix,
  type Matrix,
  matrix,
  timesColumns,
  transpose,
  zeros,
} from '../kernels/matrix.js';

/** The first singular values in falling order with their vectors, and what is left out. */
export interface TruncatedSvd {
  values: Float64Array;
  /** [rows × values], as columns. */
  left: Matrix;
  /** [columns × values], as columns. */
  right: Matrix;
  /** Square of the Frobenius norm of the whole, and of what the values leave out. */
  normSquare: number;
  missedSquare: number;
}

/**
 * Singular values below this share of the largest are rounding: their squares are eigenvalues of a matrix known to 16
 * digits. Below it nothing is kept.
 */
const NEGLIGIBLE = 3e-8;

/** Up to this size of the smaller side a dense matrix is decomposed through its Gram matrix. */
const MAX_GRAM = 512;

/** The first `count` singular triplets of m, fewer if it has fewer. */
export function truncatedSvd(dense: DenseKernels, m: Matrix, count: number): TruncatedSvd {
  const smaller = Math.min(m.rows, m.columns);
  if (m.rows < m.columns) {
    const { left, right, ...rest } = truncatedSvd(dense, transpose(m), count);
    return { ...rest, left: right, right: left };
  }
  return smaller <= MAX_GRAM || 3 * (count + OVERSAMPLING) >= smaller
    ? throughGram(dense, m, count)
    : throughKrylov(dense, m, count);
}

/** For rows ≥ columns: the eigenvectors of mᵀm are the right vectors. */
function throughGram(dense: DenseKernels, m: Matrix, count: number): TruncatedSvd {
  const { values, vectors } = dense.symmetricEigen(dense.multiply(transpose(m), m));
  return fromEigen(dense, m, values, transpose(vectors), sumOf(values), count);
}

/**
 * The triplets from the squares of the singular values, in falling order, and the right vectors. Left vectors are
 * m·v/σ; so m's part in the span of the vectors is exact, whatever rounding did to the vectors.
 */
function fromEigen(
  dense: DenseKernels,
  m: Matrix,
  squares: Float64Array,
  right: Matrix,
  normSquare: number,
  count: number,
): TruncatedSvd {
  let kept = 0;
  while (kept < Math.min(count, squares.length) && squares[kept] > squares[0] * NEGLIGIBLE ** 2) kept++;
  const values = squares.slice(0, kept).map(Math.sqrt);
  const keptRight = columnsOf(right, 0, kept);
  const left = timesColumns(
    dense.multiply(m, keptRight),
    values.map((value) => 1 / value),
  );
  let missedSquare = normSquare;
  for (let i = 0; i < kept; i++) missedSquare -= squares[i];
  return { values, left, right: keptRight, normSquare, missedSquare: Math.max(0, missedSquare) };
}

/** Columns per step beyond those asked for; they make the wanted ones converge faster. */
const OVERSAMPLING = 8;
/** A step that adds less than this share of the captured energy was the last. */
const CONVERGED = 1e-9;

/**
 * Block Krylov iteration (Musco and Musco 2015, "Randomized block Krylov methods for stronger and faster approximate
 * singular value decomposition"): an orthonormal basis V of span{X, MᵀM·X, (MᵀM)²·X, …}, and the triplets of M·V. It ends
 * when the energy in the wanted values grows no more. X is random but seeded.
 */
function throughKrylov(dense: DenseKernels, m: Matrix, count: number): TruncatedSvd {
  const n = m.columns;
  const normSquare = squareOf(m);
  const width = count + OVERSAMPLING;
  let block = orthonormalise(dense, null, randomMatrix(width, n));
  let basis = block;
  let image: DoubleMatrix | null = null; // rows: M times the rows of basis
  let captured = 0;
  for (;;) {
    const imageOfBlock = dense.multiply(block, transpose(m));
    image = appendRows(image, imageOfBlock);
    const { values, vectors } = dense.symmetricEigen(dense.multiply(image, transpose(image)));
    const energy = sumOf(values.subarray(0, count));
    const next = orthonormalise(dense, basis, dense.multiply(imageOfBlock, m));
    if (energy - captured <= CONVERGED * energy || next.rows === 0) {
      const right = dense.multiply(transpose(basis), transpose(vectors));
      return fromEigen(dense, m, values, right, normSquare, count);
    }
    captured = energy;
    block = next;
    basis = appendRows(basis, block);
  }
}

/** Orthonormal rows that span what the rows of m add to those of `basis`. */
function orthonormalise(dense: DenseKernels, basis: DoubleMatrix | null, m: DoubleMatrix): DoubleMatrix {
  let rows = m;
  // twice is enough (Parlett): the second pass removes what rounding left of the first
  for (let pass = 0; pass < 2; pass++) {
    if (basis) {
      const shares = dense.multiply(rows, transpose(basis));
      const part = dense.multiply(shares, basis);
      for (let i = 0; i < rows.data.length; i++) rows.data[i] -= part.data[i];
    }
    const { values, vectors } = dense.symmetricEigen(dense.multiply(rows, transpose(rows)));
    let rank = 0;
    while (rank < values.length && values[rank] > 1e-20 * values[0] && values[rank] > 0) rank++;
    const combination = matrix(vectors.data.slice(0, rank * rows.rows), rank, rows.rows);
    for (let i = 0; i < rank; i++) {
      for (let j = 0; j < rows.rows; j++) combination.data[i * rows.rows + j] /= Math.sqrt(values[i]);
    }
    rows = dense.multiply(combination, rows);
  }
  return rows;
}

function randomMatrix(rows: number, columns: number): DoubleMatrix {
  const values = new Float32Array(rows * columns);
  new Random(hashSeed(0, 'block Krylov')).fillUniform(values, -1, 1);
  return matrix(Float64Array.from(values), rows, columns);
}

function appendRows(m: DoubleMatrix | null, more: DoubleMatrix): DoubleMatrix {
  if (!m) return more;
  const all = zeros(m.rows + more.rows, more.columns);
  all.data.set(m.data);
  all.data.set(more.data, m.data.length);
  return all;
}

function sumOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + Math.max(0, value), 0);
}

function squareOf(m: Matrix): number {
  let sum = 0;
  for (let i = 0; i < m.rows; i++) {
    for (let j = 0; j < m.columns; j++) sum += m.data[i * m.rowStride + j * m.columnStride] ** 2;
  }
  return sum;
}
