/**
 * Eigenvalues and eigenvectors of a symmetric matrix: Householder's reduction to tridiagonal form and the implicit QL
 * method (Bowdler, Martin, Reinsch and Wilkinson 1968, "The QR and QL algorithms for symmetric matrices"; the book is
 * Golub and Van Loan, "Matrix Computations", chapter 8). Vectors are kept as rows, so that every inner loop runs along
 * memory. native/dense/eigen.inl is the same in C++.
 */
import { type DoubleMatrix, zeros } from './matrix.js';

interface Tridiagonal {
  diagonal: Float64Array;
  /** offDiagonal[i] stands between i and i + 1; the last is 0. */
  offDiagonal: Float64Array;
  /** Orthogonal; basis · symmetric · basisᵀ is the tridiagonal matrix. */
  basis: DoubleMatrix;
}

/** Only the upper triangle of `symmetric` is read; its largest entry is 1, or all are 0. */
export function tridiagonalise(symmetric: DoubleMatrix): Tridiagonal {
  const n = symmetric.rows;
  const a = symmetric.data.slice();
  const offDiagonal = new Float64Array(n);
  const factors = new Float64Array(n);
  const p = new Float64Array(n);
  for (let k = 0; k + 2 < n; k++) {
    // row k right of the diagonal becomes the reflector v that maps it to (offDiagonal, 0, 0, …)
    const v = a.subarray(k * n, (k + 1) * n);
    let scale = 0;
    for (let j = k + 1; j < n; j++) scale = Math.max(scale, Math.abs(v[j]));
    if (scale === 0) continue;
    let square = 0;
    for (let j = k + 1; j < n; j++) square += (v[j] / scale) ** 2;
    const norm = scale * Math.sqrt(square);
    offDiagonal[k] = v[k + 1] > 0 ? -norm : norm;
    v[k + 1] -= offDiagonal[k];
    // v is scaled to a largest entry near 1, so that its square can be neither 0 nor infinite
    square = 0;
    for (let j = k + 1; j < n; j++) {
      v[j] /= scale;
      square += v[j] * v[j];
    }
    const factor = 2 / square;
    factors[k] = factor;
    multiplyUpper(a, n, k + 1, v, p);
    let half = 0;
    for (let j = k + 1; j < n; j++) half += v[j] * p[j];
    half *= (factor * factor) / 2;
    for (let j = k + 1; j < n; j++) p[j] = factor * p[j] - half * v[j];
    for (let i = k + 1; i < n; i++) {
      const [vi, pi] = [v[i], p[i]];
      for (let j = i, at = i * n + i; j < n; j++, at++) a[at] -= vi * p[j] + pi * v[j];
    }
  }
  if (n > 1) offDiagonal[n - 2] = a[(n - 2) * n + n - 1];
  const diagonal = Float64Array.from({ length: n }, (_, i) => a[i * n + i]);
  return { diagonal, offDiagonal, basis: reflections(a, n, factors) };
}

/** p = S·v for the symmetric S whose upper triangle stands in `a` from row and column `first` on. */
function multiplyUpper(a: Float64Array, n: number, first: number, v: Float64Array, p: Float64Array): void {
  p.fill(0, first);
  for (let i = first; i < n; i++) {
    const vi = v[i];
    let sum = a[i * n + i] * vi;
    for (let j = i + 1, at = i * n + i + 1; j < n; j++, at++) {
      sum += a[at] * v[j];
      p[j] += a[at] * vi;
    }
    p[i] += sum;
  }
}

/** The transposed product of all reflections, whose vectors stand right of the diagonal of `a`. */
function reflections(a: Float64Array, n: number, factors: Float64Array): DoubleMatrix {
  const basis = zeros(n, n);
  const q = basis.data;
  for (let i = 0; i < n; i++) q[i * n + i] = 1;
  for (let k = n - 3; k >= 0; k--) {
    const factor = factors[k];
    if (factor === 0) continue;
    const v = a.subarray(k * n, (k + 1) * n);
    for (let i = k + 1; i < n; i++) {
      let sum = 0;
      for (let j = k + 1, at = i * n + k + 1; j < n; j++, at++) sum += q[at] * v[j];
      sum *= factor;
      for (let j = k + 1, at = i * n + k + 1; j < n; j++, at++) q[at] -= sum * v[j];
    }
  }
  return basis;
}

/** `diagonal` becomes the eigenvalues, in no order, and row i of `basis` the vector of the i-th. */
export function eigenOfTridiagonal(diagonal: Float64Array, offDiagonal: Float64Array, basis: DoubleMatrix): void {
  const n = diagonal.length;
  let largest = 0;
  for (let i = 0; i < n; i++) largest = Math.max(largest, Math.abs(diagonal[i]), Math.abs(offDiagonal[i]));
  const floor = Number.EPSILON * Number.EPSILON * largest;
  const isNegligible = (i: number) => {
    const neighbours = Math.abs(diagonal[i]) + Math.abs(diagonal[i + 1]);
    return Math.abs(offDiagonal[i]) <= Math.max(Number.EPSILON * neighbours, floor);
  };
  for (let l = 0; l < n; l++) {
    for (;;) {
      let m = l;
      while (m < n - 1 && !isNegligible(m)) m++;
      if (m === l) break;
      sweep(diagonal, offDiagonal, basis, l, m);
    }
  }
}

/** One QL step with Wilkinson's shift on the unreduced block from l to m. */
function sweep(d: Float64Array, e: Float64Array, basis: DoubleMatrix, l: number, m: number): void {
  let g = (d[l + 1] - d[l]) / (2 * e[l]);
  let r = Math.hypot(g, 1);
  g = d[m] - d[l] + e[l] / (g + (g < 0 ? -r : r));
  let [sine, cosine, p] = [1, 1, 0];
  for (let i = m - 1; i >= l; i--) {
    const f = sine * e[i];
    const b = cosine * e[i];
    r = Math.hypot(f, g);
    e[i + 1] = r;
    if (r === 0) {
      // the block falls apart here: what is left is dealt with in later sweeps
      d[i + 1] -= p;
      e[m] = 0;
      return;
    }
    sine = f / r;
    cosine = g / r;
    g = d[i + 1] - p;
    r = (d[i] - g) * sine + 2 * cosine * b;
    p = sine * r;
    d[i + 1] = g + p;
    g = cosine * r - b;
    rotateRows(basis, i, sine, cosine);
  }
  d[l] -= p;
  e[l] = g;
  e[m] = 0;
}

function rotateRows({ data, columns }: DoubleMatrix, i: number, sine: number, cosine: number): void {
  for (let j = i * columns, k = j + columns, end = k; j < end; j++, k++) {
    const f = data[k];
    data[k] = sine * data[j] + cosine * f;
    data[j] = cosine * data[j] - sine * f;
  }
}
