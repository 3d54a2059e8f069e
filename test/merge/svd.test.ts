/** The truncated SVD, in particular of what is too large for a Gram matrix. */
import { describe, expect, it } from 'vitest';
import { denseKernels } from '../../src/kernels/dense.js';
import { type Matrix, matrix, timesColumns, transpose } from '../../src/kernels/matrix.js';
import { truncatedSvd } from '../../src/merge/svd.js';
import { SeededRandom } from '../../src/testing/random.js';

const dense = denseKernels();

/** Random with singular values that fall like 1/√i; noise alone would be harder, and nobody merges noise. */
function falling(rows: number, columns: number): Matrix {
  const random = new SeededRandom(4);
  const inner = Math.min(rows, columns);
  const left = matrix(random.normals(rows * inner), rows, inner);
  const right = matrix(random.normals(inner * columns), inner, columns);
  const values = Float64Array.from({ length: inner }, (_, i) => 1 / Math.sqrt(i + 1));
  return dense.multiply(timesColumns(left, values), right);
}

function expectOrthonormal(columns: Matrix, tolerance: number): void {
  const gram = dense.multiply(transpose(columns), columns);
  let worst = 0;
  for (let i = 0; i < gram.rows; i++) {
    for (let j = 0; j < gram.rows; j++) {
      worst = Math.max(worst, Math.abs(gram.data[i * gram.rows + j] - (i === j ? 1 : 0)));
    }
  }
  expect(worst).toBeLessThan(tolerance);
}

describe.each([
  [560, 540],
  [520, 700],
])('of %i × %i, by block Krylov iteration', (rows, columns) => {
  const m = falling(rows, columns);
  const count = 12;
  const { values, left, right, normSquare, missedSquare } = truncatedSvd(dense, m, count);
  const gram = rows < columns ? dense.multiply(m, transpose(m)) : dense.multiply(transpose(m), m);
  const expected = dense.symmetricEigen(gram).values;

  it('finds the singular values', () => {
    expect(values).toHaveLength(count);
    values.forEach((value, i) => {
      expect(value / Math.sqrt(expected[i])).toBeCloseTo(1, 5);
    });
    const total = expected.reduce((sum, value) => sum + value, 0);
    const best = expected.subarray(count).reduce((sum, value) => sum + value, 0);
    expect(normSquare / total).toBeCloseTo(1, 10);
    expect(missedSquare / best).toBeCloseTo(1, 7);
  });

  it('has orthonormal vectors that belong to them', () => {
    expectOrthonormal(left, 1e-5);
    expectOrthonormal(right, 1e-10);
    const image = dense.multiply(m, right).data;
    const wanted = timesColumns(left, values).data;
    const worst = image.reduce((largest, value, i) => Math.max(largest, Math.abs(value - wanted[i])), 0);
    expect(worst).toBeLessThan(1e-6 * values[0]);
  });

  it('is the same every time', () => {
    expect(truncatedSvd(dense, m, count).values).toEqual(values);
  });
});

describe('of less than was asked for', () => {
  it('ends where the rank ends', () => {
    const random = new SeededRandom(1);
    const [b, a] = [matrix(random.normals(700 * 3), 700, 3), matrix(random.normals(3 * 600), 3, 600)];
    const { values, missedSquare, normSquare } = truncatedSvd(dense, dense.multiply(b, a), 10);
    expect(values).toHaveLength(3);
    expect(missedSquare / normSquare).toBeLessThan(1e-12);
  });

  it('is nothing for zeros', () => {
    for (const size of [3, 600]) {
      const svd = truncatedSvd(dense, matrix(new Float32Array(size * size), size, size), 2);
      expect([svd.values.length, svd.normSquare, svd.missedSquare]).toEqual([0, 0, 0]);
    }
  });
});
