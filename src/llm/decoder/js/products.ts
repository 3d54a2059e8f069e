/** The products of the reference decoder: rows of doubles with matrices [out × in] of floats, row-major. */

/** y [rows × out] = x [rows × in] · Wᵀ + bias */
export function timesTransposed(
  x: Float64Array,
  rows: number,
  weight: Float32Array,
  features: { in: number; out: number },
  bias?: Float32Array,
): Float64Array {
  const { in: columns, out } = features;
  const y = new Float64Array(rows * out);
  for (let o = 0; o < out; o++) {
    const w = weight.subarray(o * columns, (o + 1) * columns);
    const start = bias ? bias[o] : 0;
    for (let r = 0; r < rows; r++) {
      const base = r * columns;
      let sum = start;
      for (let i = 0; i < columns; i++) sum += w[i] * x[base + i];
      y[r * out + o] = sum;
    }
  }
  return y;
}

/** x [rows × in] += factor · y [rows × out] · W */
export function addTimes(
  x: Float64Array,
  factor: number,
  y: Float64Array,
  rows: number,
  weight: Float32Array,
  features: { in: number; out: number },
): void {
  const { in: columns, out } = features;
  for (let r = 0; r < rows; r++) {
    const base = r * columns;
    for (let o = 0; o < out; o++) {
      const by = factor * y[r * out + o];
      if (by === 0) continue;
      const row = o * columns;
      for (let i = 0; i < columns; i++) x[base + i] += by * weight[row + i];
    }
  }
}

/** to [out × in] += factor · yᵀ · x, from `offset` on; y [rows × out], x [rows × in] */
export function addOuter(
  to: Float64Array,
  offset: number,
  factor: number,
  y: Float64Array,
  x: Float64Array,
  rows: number,
  features: { in: number; out: number },
): void {
  const { in: columns, out } = features;
  for (let r = 0; r < rows; r++) {
    const base = r * columns;
    for (let o = 0; o < out; o++) {
      const by = factor * y[r * out + o];
      const row = offset + o * columns;
      for (let i = 0; i < columns; i++) to[row + i] += by * x[base + i];
    }
  }
}
