/** The dense operations, on every instruction set that is here and in JavaScript, against loops and definitions. */
import { afterEach, describe, expect, it } from 'vitest';
import { type DenseKernels, denseKernels } from '../../src/kernels/dense.js';
import { jsDense } from '../../src/kernels/dense-js.js';
import { columnsOf, copyOf, type Matrix, matrix, transpose, zeros } from '../../src/kernels/matrix.js';
import { nativeDense, nativeInfo } from '../../src/kernels/native.js';
import { SeededRandom } from '../../src/testing/random.js';
import { codeOf } from '../adapter/helpers.js';

/** Environment variables are read at each call; this puts them back. */
const saved = { ...process.env };
afterEach(() => {
  for (const key of ['LORAKEET_BACKEND', 'LORAKEET_ISA']) {
    if (saved[key] === undefined) delete process.env[key];
    else process.env[key] = saved[key];
  }
});

function onIsa(isa: string): DenseKernels {
  process.env.LORAKEET_ISA = isa;
  return nativeDense() as DenseKernels;
}

const entry = (m: Matrix, i: number, j: number) => m.data[i * m.rowStride + j * m.columnStride];

function random(seed: number, rows: number, columns: number, kind: 'floats' | 'doubles' = 'floats'): Matrix {
  const values = new SeededRandom(seed).normals(rows * columns);
  return matrix(kind === 'floats' ? values : Float64Array.from(values, (value) => value / 3), rows, columns);
}

function expectProduct(dense: DenseKernels, x: Matrix, y: Matrix): void {
  const product = dense.multiply(x, y);
  expect([product.rows, product.columns, product.rowStride]).toEqual([x.rows, y.columns, y.columns]);
  let worst = 0;
  for (let i = 0; i < x.rows; i++) {
    for (let j = 0; j < y.columns; j++) {
      let [sum, size] = [0, 0];
      for (let k = 0; k < x.columns; k++) {
        sum += entry(x, i, k) * entry(y, k, j);
        size += Math.abs(entry(x, i, k) * entry(y, k, j));
      }
      worst = Math.max(worst, Math.abs(product.data[i * y.columns + j] - sum) / size);
    }
  }
  expect(worst).toBeLessThan(1e-13);
}

/** V·S = Λ·V, V·Vᵀ = 1, values falling. */
function expectEigen(dense: DenseKernels, symmetric: ReturnType<typeof zeros>): Float64Array {
  const n = symmetric.rows;
  const before = symmetric.data.slice();
  const { values, vectors } = dense.symmetricEigen(symmetric);
  expect(symmetric.data).toEqual(before);
  const norm = before.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) || 1;
  const image = jsDense.multiply(vectors, symmetric);
  const gram = jsDense.multiply(vectors, transpose(vectors));
  let [wrongImage, wrongGram] = [0, 0];
  for (let i = 0; i < n; i++) {
    if (i > 0) expect(values[i]).toBeLessThanOrEqual(values[i - 1]);
    for (let j = 0; j < n; j++) {
      wrongImage = Math.max(wrongImage, Math.abs(image.data[i * n + j] - values[i] * vectors.data[i * n + j]));
      wrongGram = Math.max(wrongGram, Math.abs(gram.data[i * n + j] - (i === j ? 1 : 0)));
    }
  }
  expect(wrongImage).toBeLessThan(1e-13 * n * norm);
  expect(wrongGram).toBeLessThan(1e-13 * n);
  return values;
}

function symmetricOf(n: number, of: (i: number, j: number) => number) {
  const m = zeros(n, n);
  for (let i = 0; i < n; i++) for (let j = i; j < n; j++) m.data[i * n + j] = m.data[j * n + i] = of(i, j);
  return m;
}

describe.each([...nativeInfo().isas, 'js'])('dense operations on %s', (isa) => {
  const open = () => (isa === 'js' ? jsDense : onIsa(isa));

  it.each([
    [1, 1, 1],
    [1, 300, 2],
    [5, 7, 9],
    [4, 256, 8],
    [33, 257, 131],
    [130, 3, 260],
    [260, 3, 130],
  ])('multiplies %i × %i by %i columns, whatever the strides', (rows, inner, columns) => {
    const dense = open();
    expect(dense.device).toBe(isa);
    expectProduct(dense, random(1, rows, inner), random(2, inner, columns, 'doubles'));
    expectProduct(dense, transpose(random(1, inner, rows, 'doubles')), random(2, inner, columns));
    expectProduct(dense, random(1, rows, inner), transpose(random(2, columns, inner)));
    expectProduct(dense, columnsOf(random(1, rows, inner + 2), 1, inner + 1), random(2, inner, columns));
  });

  it('multiplies nothing', () => {
    const dense = open();
    expect(dense.multiply(zeros(0, 3), zeros(3, 2)).data).toHaveLength(0);
    expect(dense.multiply(zeros(2, 0), zeros(0, 2)).data).toEqual(new Float64Array(4));
    expect(dense.symmetricEigen(zeros(0, 0)).values).toHaveLength(0);
  });

  it('finds the eigenvalues of matrices that are known', () => {
    const dense = open();
    expect(
      expectEigen(
        dense,
        symmetricOf(1, () => -3),
      ),
    ).toEqual(Float64Array.of(-3));
    expect([
      ...expectEigen(
        dense,
        symmetricOf(3, () => 0),
      ),
    ]).toEqual([0, 0, 0]);
    expect([
      ...expectEigen(
        dense,
        symmetricOf(4, (i, j) => (i === j ? 4 - i : 0)),
      ),
    ]).toEqual([4, 3, 2, 1]);
    // of ones everywhere: n and zeros
    const ones = expectEigen(
      dense,
      symmetricOf(6, () => 1),
    );
    expect(ones[0]).toBeCloseTo(6, 12);
    expect(Math.max(...ones.slice(1).map(Math.abs))).toBeLessThan(1e-14);
    // the second difference: 2 − 2·cos(kπ/(n + 1))
    const n = 20;
    const second = expectEigen(
      dense,
      symmetricOf(n, (i, j) => (i === j ? 2 : j === i + 1 ? -1 : 0)),
    );
    second.forEach((value, i) => {
      expect(value).toBeCloseTo(2 - 2 * Math.cos(((n - i) * Math.PI) / (n + 1)), 12);
    });
  });

  it('finds the eigenvalues of random, rank-deficient and badly scaled matrices', () => {
    const dense = open();
    for (const [rows, columns] of [
      [2, 5],
      [17, 40],
      [40, 17],
      [64, 64],
    ]) {
      const m = random(rows, rows, columns);
      expectEigen(dense, jsDense.multiply(m, transpose(m)));
    }
    expectEigen(
      dense,
      symmetricOf(12, (i, j) => 10 ** (-i - j) * (i === j ? 2 : 1)),
    );
    expectEigen(
      dense,
      symmetricOf(5, (i, j) => 1e-300 * (i + j + 1)),
    );
  });

  it('refuses what has no eigenvalues', () => {
    const dense = open();
    for (const bad of [Number.NaN, Infinity]) {
      expect(codeOf(() => dense.symmetricEigen(symmetricOf(3, (i, j) => (i === 1 && j === 2 ? bad : 1))))).toBe(
        'ERR_NOT_FINITE',
      );
    }
  });
});

describe('denseKernels', () => {
  it('is JavaScript where that is asked for, and the addon where there is one', () => {
    process.env.LORAKEET_BACKEND = 'js';
    expect(denseKernels().device).toBe('js');
    delete process.env.LORAKEET_BACKEND;
    expect(denseKernels().device).toBe(nativeDense()?.device ?? 'js');
  });
});

describe('copyOf', () => {
  it('follows the strides', () => {
    const m = matrix(Float32Array.of(1, 2, 3, 4, 5, 6), 2, 3);
    expect([...copyOf(transpose(m)).data]).toEqual([1, 4, 2, 5, 3, 6]);
  });
});
