/** Normalisation, rotation and gate of the reference decoder, forward and backward. */

/** y = w ∘ x / √(mean(x²) + ε), for every `size` numbers of x (RMSNorm, Zhang & Sennrich 2019). */
export function rmsNorm(x: Float64Array, weight: Float32Array, eps: number): Float64Array {
  const size = weight.length;
  const y = new Float64Array(x.length);
  for (let base = 0; base < x.length; base += size) {
    const inverse = inverseRootMeanSquare(x, base, size, eps);
    for (let i = 0; i < size; i++) y[base + i] = weight[i] * x[base + i] * inverse;
  }
  return y;
}

/** dx += ∂L/∂x of rmsNorm(x), dy being ∂L/∂y. */
export function addRmsNormBackward(
  dx: Float64Array,
  dy: Float64Array,
  x: Float64Array,
  weight: Float32Array,
  eps: number,
): void {
  const size = weight.length;
  for (let base = 0; base < x.length; base += size) {
    const inverse = inverseRootMeanSquare(x, base, size, eps);
    let along = 0;
    for (let i = 0; i < size; i++) along += dy[base + i] * weight[i] * x[base + i];
    along *= inverse ** 3 / size;
    for (let i = 0; i < size; i++) dx[base + i] += inverse * dy[base + i] * weight[i] - along * x[base + i];
  }
}

function inverseRootMeanSquare(x: Float64Array, base: number, size: number, eps: number): number {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += x[base + i] ** 2;
  return 1 / Math.sqrt(sum / size + eps);
}

/**
 * Turns the pairs (i, i + headDim / 2) of every head of every row, in place, by positions[row] · inverseFrequencies[i]
 * (RoPE, Su et al. 2021, in the order of Hugging Face's rotate_half); direction −1 turns back.
 */
export function rotate(
  x: Float64Array,
  positions: Uint32Array,
  inverseFrequencies: Float64Array,
  direction: 1 | -1,
): void {
  const half = inverseFrequencies.length;
  const rowSize = x.length / positions.length;
  for (let row = 0; row < positions.length; row++) {
    for (let i = 0; i < half; i++) {
      const angle = positions[row] * inverseFrequencies[i];
      const cos = Math.cos(angle);
      const sin = direction * Math.sin(angle);
      for (let at = row * rowSize + i; at < (row + 1) * rowSize; at += 2 * half) {
        const first = x[at];
        const second = x[at + half];
        x[at] = first * cos - second * sin;
        x[at + half] = second * cos + first * sin;
      }
    }
  }
}

/** silu(gate) ∘ up, with silu(z) = z / (1 + e⁻ᶻ) (SwiGLU, Shazeer 2020). */
export function swiglu(gate: Float64Array, up: Float64Array): Float64Array {
  return gate.map((z, i) => (z / (1 + Math.exp(-z))) * up[i]);
}

/** ∂L/∂gate and ∂L/∂up, dy being ∂L/∂swiglu. */
export function swigluBackward(dy: Float64Array, gate: Float64Array, up: Float64Array) {
  const dGate = new Float64Array(dy.length);
  const dUp = new Float64Array(dy.length);
  for (let i = 0; i < dy.length; i++) {
    const sigmoid = 1 / (1 + Math.exp(-gate[i]));
    dUp[i] = dy[i] * gate[i] * sigmoid;
    dGate[i] = dy[i] * up[i] * sigmoid * (1 + gate[i] * (1 - sigmoid));
  }
  return { dGate, dUp };
}
