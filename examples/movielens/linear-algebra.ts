/** The two dense solvers that the baselines need, for small symmetric matrices stored row-major. */

/**
 * Solves M·x = b for a symmetric positive definite M [n × n] by Cholesky's method. Only the lower triangle of M is read;
 * it is overwritten by the factor, and `b` [n] by x.
 */
export function solvePositiveDefinite(matrix: Float64Array, b: Float64Array): void {
  const n = b.length;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * n + j];
      for (let k = 0; k < j; k++) sum -= matrix[i * n + k] * matrix[j * n + k];
      matrix[i * n + j] = i === j ? Math.sqrt(sum) : sum / matrix[j * n + j];
    }
  }
  for (let i = 0; i < n; i++) {
    let sum = b[i];
    for (let k = 0; k < i; k++) sum -= matrix[i * n + k] * b[k];
    b[i] = sum / matrix[i * n + i];
  }
  for (let i = n - 1; i >= 0; i--) {
    let sum = b[i];
    for (let k = i + 1; k < n; k++) sum -= matrix[k * n + i] * b[k];
    b[i] = sum / matrix[i * n + i];
  }
}

export interface Eigen {
  /** Rising. */
  values: Float64Array;
  /** [n × n] row-major; column j belongs to values[j], has length 1, and its largest entry is positive. */
  vectors: Float64Array;
}

const MAX_SWEEPS = 50;

/** Eigenvalues and -vectors of a symmetric matrix [n × n] by cyclic Jacobi rotations (Golub & Van Loan, section 8.5). */
export function symmetricEigen(symmetric: Float64Array, n: number): Eigen {
  const a = Float64Array.from(symmetric);
  const v = new Float64Array(n * n);
  for (let i = 0; i < n; i++) v[i * n + i] = 1;
  for (let sweep = 0; sweep < MAX_SWEEPS && offDiagonal(a, n) > 0; sweep++) {
    for (let p = 0; p < n - 1; p++) for (let q = p + 1; q < n; q++) rotate(a, v, n, p, q);
  }
  const order = Array.from({ length: n }, (_, j) => j).sort((i, j) => a[i * n + i] - a[j * n + j]);
  const values = Float64Array.from(order, (j) => a[j * n + j]);
  const vectors = new Float64Array(n * n);
  order.forEach((from, to) => {
    let largest = 0;
    for (let i = 0; i < n; i++) if (Math.abs(v[i * n + from]) > Math.abs(largest)) largest = v[i * n + from];
    // an eigenvector is only defined up to its sign: fixing it makes the features reproducible
    for (let i = 0; i < n; i++) vectors[i * n + to] = Math.sign(largest) * v[i * n + from];
  });
  return { values, vectors };
}

/** The largest entry off the diagonal, as 0 once it is lost in the rounding of the largest on it. */
function offDiagonal(a: Float64Array, n: number): number {
  let off = 0;
  let on = 0;
  for (let i = 0; i < n; i++) {
    on = Math.max(on, Math.abs(a[i * n + i]));
    for (let j = 0; j < i; j++) off = Math.max(off, Math.abs(a[i * n + j]));
  }
  return off > on * Number.EPSILON ? off : 0;
}

/** Turns the axes p and q so that a[p][q] becomes 0, and the same in the collected vectors v. */
function rotate(a: Float64Array, v: Float64Array, n: number, p: number, q: number): void {
  if (a[p * n + q] === 0) return;
  const tau = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
  const t = (tau >= 0 ? 1 : -1) / (Math.abs(tau) + Math.sqrt(1 + tau * tau));
  const c = 1 / Math.sqrt(1 + t * t);
  const s = t * c;
  for (let k = 0; k < n; k++) turn(a, k * n + p, k * n + q, c, s);
  for (let k = 0; k < n; k++) turn(a, p * n + k, q * n + k, c, s);
  for (let k = 0; k < n; k++) turn(v, k * n + p, k * n + q, c, s);
}

function turn(values: Float64Array, i: number, j: number, c: number, s: number): void {
  const left = values[i];
  const right = values[j];
  values[i] = c * left - s * right;
  values[j] = s * left + c * right;
}
