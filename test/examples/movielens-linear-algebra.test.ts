import { expect, test } from 'vitest';
import { solvePositiveDefinite, symmetricEigen } from '../../examples/movielens/linear-algebra.js';

const N = 16;

/** Symmetric, with entries that look arbitrary. */
function symmetric(): Float64Array {
  const m = new Float64Array(N * N);
  for (let i = 0; i < N; i++) {
    for (let j = 0; j <= i; j++) m[i * N + j] = m[j * N + i] = Math.sin(3 + 7 * i + 11 * j + i * j);
  }
  return m;
}

function times(m: Float64Array, x: ArrayLike<number>): number[] {
  return Array.from({ length: N }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < N; j++) sum += m[i * N + j] * x[j];
    return sum;
  });
}

test('solves a hand case', () => {
  const b = Float64Array.of(1, 2);
  solvePositiveDefinite(Float64Array.of(4, 1, 1, 3), b);
  expect(b[0]).toBeCloseTo(1 / 11, 15);
  expect(b[1]).toBeCloseTo(7 / 11, 15);
});

test('solves positive definite systems', () => {
  const m = symmetric();
  for (let i = 0; i < N; i++) m[i * N + i] += 20;
  const x = Array.from({ length: N }, (_, i) => i - 5.5);
  const b = Float64Array.from(times(m, x));
  solvePositiveDefinite(m.slice(), b);
  b.forEach((value, i) => {
    expect(value).toBeCloseTo(x[i], 12);
  });
});

test('finds eigenvectors: rising values, unit length, fixed sign, M·v = λ·v', () => {
  const m = symmetric();
  const { values, vectors } = symmetricEigen(m, N);
  for (let j = 0; j < N; j++) {
    const v = Array.from({ length: N }, (_, i) => vectors[i * N + j]);
    times(m, v).forEach((value, i) => {
      expect(value).toBeCloseTo(values[j] * v[i], 12);
    });
    expect(Math.hypot(...v)).toBeCloseTo(1, 12);
    expect(v.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most))).toBeGreaterThan(0);
    if (j > 0) expect(values[j]).toBeGreaterThanOrEqual(values[j - 1]);
  }
});

test('leaves a diagonal matrix as it is', () => {
  const { values, vectors } = symmetricEigen(Float64Array.of(2, 0, 0, 1), 2);
  expect([...values]).toEqual([1, 2]);
  expect([...vectors].map(Math.abs)).toEqual([0, 1, 1, 0]);
});
