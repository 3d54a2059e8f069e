/**
 * The three loops that all the arithmetic of the js backend goes through, on one or two rows at a time.
 *
 * Blocks of 4 ranks × 2 rows keep eight sums in registers and load every weight once for both rows. Each sum still runs
 * in the order of the plain loop (over features, over ranks, over rows), so a row's result does not depend on the block
 * it fell into: the blocked and the plain form agree bit for bit.
 *
 * `w` and `g` are [rank × length] matrices that start at `base`; row r of `v` is v[r·length …], of `h` h[r·rank …].
 */

/** h = v·wᵀ: h[r,k] = Σ_j w[k,j]·v[r,j]. */
export function project(
  w: Float32Array,
  base: number,
  rank: number,
  length: number,
  v: Float64Array,
  rows: number,
  h: Float64Array,
): void {
  const blocked = rank & ~3;
  for (let k = 0; k < blocked; k += 4) {
    const w0 = base + k * length;
    const w1 = w0 + length;
    const w2 = w1 + length;
    const w3 = w2 + length;
    let p0 = 0;
    let p1 = 0;
    let p2 = 0;
    let p3 = 0;
    if (rows === 2) {
      let q0 = 0;
      let q1 = 0;
      let q2 = 0;
      let q3 = 0;
      for (let j = 0; j < length; j++) {
        const a = v[j];
        const b = v[length + j];
        const c0 = w[w0 + j];
        const c1 = w[w1 + j];
        const c2 = w[w2 + j];
        const c3 = w[w3 + j];
        p0 += c0 * a;
        p1 += c1 * a;
        p2 += c2 * a;
        p3 += c3 * a;
        q0 += c0 * b;
        q1 += c1 * b;
        q2 += c2 * b;
        q3 += c3 * b;
      }
      h[rank + k] = q0;
      h[rank + k + 1] = q1;
      h[rank + k + 2] = q2;
      h[rank + k + 3] = q3;
    } else {
      for (let j = 0; j < length; j++) {
        const a = v[j];
        p0 += w[w0 + j] * a;
        p1 += w[w1 + j] * a;
        p2 += w[w2 + j] * a;
        p3 += w[w3 + j] * a;
      }
    }
    h[k] = p0;
    h[k + 1] = p1;
    h[k + 2] = p2;
    h[k + 3] = p3;
  }
  for (let k = blocked; k < rank; k++) {
    for (let r = 0; r < rows; r++) {
      let sum = 0;
      for (let j = 0; j < length; j++) sum += w[base + k * length + j] * v[r * length + j];
      h[r * rank + k] = sum;
    }
  }
}

/** v = h·w: v[r,j] = Σ_k h[r,k]·w[k,j]. */
export function expand(
  w: Float32Array,
  base: number,
  rank: number,
  length: number,
  h: Float64Array,
  rows: number,
  v: Float64Array,
): void {
  v.fill(0, 0, rows * length);
  const blocked = rank & ~3;
  for (let k = 0; k < blocked; k += 4) {
    const w0 = base + k * length;
    const w1 = w0 + length;
    const w2 = w1 + length;
    const w3 = w2 + length;
    const p0 = h[k];
    const p1 = h[k + 1];
    const p2 = h[k + 2];
    const p3 = h[k + 3];
    if (rows === 2) {
      const q0 = h[rank + k];
      const q1 = h[rank + k + 1];
      const q2 = h[rank + k + 2];
      const q3 = h[rank + k + 3];
      for (let j = 0; j < length; j++) {
        const c0 = w[w0 + j];
        const c1 = w[w1 + j];
        const c2 = w[w2 + j];
        const c3 = w[w3 + j];
        v[j] = v[j] + p0 * c0 + p1 * c1 + p2 * c2 + p3 * c3;
        v[length + j] = v[length + j] + q0 * c0 + q1 * c1 + q2 * c2 + q3 * c3;
      }
    } else {
      for (let j = 0; j < length; j++) {
        v[j] = v[j] + p0 * w[w0 + j] + p1 * w[w1 + j] + p2 * w[w2 + j] + p3 * w[w3 + j];
      }
    }
  }
  for (let k = blocked; k < rank; k++) {
    for (let r = 0; r < rows; r++) {
      const p = h[r * rank + k];
      for (let j = 0; j < length; j++) v[r * length + j] += p * w[base + k * length + j];
    }
  }
}

/** g += hᵀ·v: g[k,j] += Σ_r h[r,k]·v[r,j]. */
export function accumulate(
  g: Float64Array,
  base: number,
  rank: number,
  length: number,
  h: Float64Array,
  rows: number,
  v: Float64Array,
): void {
  const blocked = rank & ~3;
  for (let k = 0; k < blocked; k += 4) {
    const g0 = base + k * length;
    const g1 = g0 + length;
    const g2 = g1 + length;
    const g3 = g2 + length;
    const p0 = h[k];
    const p1 = h[k + 1];
    const p2 = h[k + 2];
    const p3 = h[k + 3];
    if (rows === 2) {
      const q0 = h[rank + k];
      const q1 = h[rank + k + 1];
      const q2 = h[rank + k + 2];
      const q3 = h[rank + k + 3];
      for (let j = 0; j < length; j++) {
        const a = v[j];
        const b = v[length + j];
        g[g0 + j] = g[g0 + j] + p0 * a + q0 * b;
        g[g1 + j] = g[g1 + j] + p1 * a + q1 * b;
        g[g2 + j] = g[g2 + j] + p2 * a + q2 * b;
        g[g3 + j] = g[g3 + j] + p3 * a + q3 * b;
      }
    } else {
      for (let j = 0; j < length; j++) {
        const a = v[j];
        g[g0 + j] += p0 * a;
        g[g1 + j] += p1 * a;
        g[g2 + j] += p2 * a;
        g[g3 + j] += p3 * a;
      }
    }
  }
  for (let k = blocked; k < rank; k++) {
    for (let r = 0; r < rows; r++) {
      const p = h[r * rank + k];
      for (let j = 0; j < length; j++) g[base + k * length + j] += p * v[r * length + j];
    }
  }
}
