/**
 * The oracle of the conformance suite: the mathematics of docs/math.md in plain loops and double precision, one line per
 * formula. It shares no code with any backend, is never optimised, and is itself held to finite differences and to
 * PyTorch by the cases that use it.
 *
 * Vectors over parameters are laid out like a slab section: loraA [rank × in] row-major, then loraB [out × rank].
 */
import { type PoolConfig, UpdateFlag } from '../kernels/contract.js';
import { type SlabLayout, type SlabSection, sectionView } from '../kernels/layout.js';

export type OracleState = Record<SlabSection, Float64Array> & { step: number };

export interface OracleRow {
  x: ArrayLike<number>;
  target: ArrayLike<number>;
  weight: number;
}

export interface OracleParameters {
  learningRate: number;
  maxGradNorm: number;
  ewcLambda: number;
}

export interface OracleResult {
  state: OracleState;
  loss: number;
  gradNorm: number;
  flags: number;
}

/** The index-th slab as an oracle state; sections that the slab lacks are zero. */
export function oracleState(layout: SlabLayout, slabs: Float32Array, step: number, index = 0): OracleState {
  const section = (name: SlabSection): Float64Array =>
    Float64Array.from(sectionView(layout, slabs, name, index) ?? new Float32Array(layout.parameterCount));
  return {
    weights: section('weights'),
    fisher: section('fisher'),
    anchor: section('anchor'),
    moment1: section('moment1'),
    moment2: section('moment2'),
    step,
  };
}

/** z = A·x */
export function oracleLatent(config: PoolConfig, weights: Float64Array, x: ArrayLike<number>): Float64Array {
  const { rank, inFeatures } = config;
  const z = new Float64Array(rank);
  for (let k = 0; k < rank; k++) for (let j = 0; j < inFeatures; j++) z[k] += weights[k * inFeatures + j] * x[j];
  return z;
}

/** y = x + s·B·z (residual) or s·B·z */
export function oracleForward(config: PoolConfig, weights: Float64Array, x: ArrayLike<number>): Float64Array {
  const { rank, inFeatures, outFeatures, scaling, residual } = config;
  const z = oracleLatent(config, weights, x);
  const y = new Float64Array(outFeatures);
  for (let o = 0; o < outFeatures; o++) {
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += weights[rank * inFeatures + o * rank + k] * z[k];
    y[o] = (residual ? x[o] : 0) + scaling * sum;
  }
  return y;
}

/** Σwℓ/Σw with ℓ the mean over features of (y−t)² */
export function oracleLoss(config: PoolConfig, weights: Float64Array, rows: readonly OracleRow[]): number {
  let sum = 0;
  let totalWeight = 0;
  for (const { x, target, weight } of rows) {
    const y = oracleForward(config, weights, x);
    let squares = 0;
    for (let o = 0; o < config.outFeatures; o++) squares += (y[o] - target[o]) ** 2;
    sum += (weight * squares) / config.outFeatures;
    totalWeight += weight;
  }
  return sum / totalWeight;
}

/** eᵢ = 2wᵢ(yᵢ−tᵢ)/(out·Σw); ∂B = s·Σeᵢzᵢᵀ; ∂A = s·ΣBᵀeᵢxᵢᵀ */
export function oracleGradient(config: PoolConfig, weights: Float64Array, rows: readonly OracleRow[]): Float64Array {
  const { rank, inFeatures, outFeatures, scaling } = config;
  const startB = rank * inFeatures;
  const gradient = new Float64Array(weights.length);
  const totalWeight = rows.reduce((sum, row) => sum + row.weight, 0);
  for (const { x, target, weight } of rows) {
    const z = oracleLatent(config, weights, x);
    const y = oracleForward(config, weights, x);
    const e = y.map((value, o) => (2 * weight * (value - target[o])) / (outFeatures * totalWeight));
    for (let k = 0; k < rank; k++) {
      let back = 0;
      for (let o = 0; o < outFeatures; o++) {
        gradient[startB + o * rank + k] += scaling * e[o] * z[k];
        back += weights[startB + o * rank + k] * e[o];
      }
      for (let j = 0; j < inFeatures; j++) gradient[k * inFeatures + j] += scaling * back * x[j];
    }
  }
  return gradient;
}

export function oracleUpdate(
  config: PoolConfig,
  before: OracleState,
  rows: readonly OracleRow[],
  { learningRate, maxGradNorm, ewcLambda }: OracleParameters,
): OracleResult {
  const { optimizer, ewc } = config;
  if (rows.every((row) => row.weight === 0))
    return { state: before, loss: 0, gradNorm: 0, flags: UpdateFlag.NO_WEIGHT };

  const { fisher, anchor } = before;
  const loss = oracleLoss(config, before.weights, rows);
  let gradient = oracleGradient(config, before.weights, rows);
  if (ewc?.form === 'gradient') {
    gradient = gradient.map((g, i) => g + ewcLambda * fisher[i] * (before.weights[i] - anchor[i]));
  }
  const gradNorm = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0));
  if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) {
    return { state: before, loss, gradNorm, flags: UpdateFlag.REJECTED };
  }
  const clipped = gradNorm > maxGradNorm;
  if (clipped) gradient = gradient.map((g) => g * (maxGradNorm / gradNorm));

  let { moment1, moment2 } = before;
  const step = before.step + 1;
  let direction = gradient;
  if (optimizer.kind === 'adamw') {
    const { beta1, beta2, epsilon } = optimizer;
    moment1 = moment1.map((m, i) => beta1 * m + (1 - beta1) * gradient[i]);
    moment2 = moment2.map((v, i) => beta2 * v + (1 - beta2) * gradient[i] ** 2);
    direction = gradient.map((_, i) => {
      const mean = moment1[i] / (1 - beta1 ** step);
      const variance = moment2[i] / (1 - beta2 ** step);
      return mean / (Math.sqrt(variance) + epsilon);
    });
  }
  let weights = before.weights.map(
    (w, i) => w - learningRate * direction[i] - learningRate * optimizer.weightDecay * w,
  );
  if (ewc?.form === 'proximal') {
    weights = weights.map((w, i) => {
      const strength = learningRate * ewcLambda * fisher[i];
      return (w + strength * anchor[i]) / (1 + strength);
    });
  }
  const state = { weights, fisher, anchor, moment1, moment2, step };
  return { state, loss, gradNorm, flags: clipped ? UpdateFlag.CLIPPED : 0 };
}

/** F ← γF + F_task, anchor ← weights, with F_B[o,k] = s²·mean(z_k²), F_A[k,j] = s²·mean(x_j²)·Σ_o B_ok². */
export function oracleConsolidate(
  config: PoolConfig,
  before: OracleState,
  rows: readonly ArrayLike<number>[],
  decay: number,
): OracleState {
  const { rank, inFeatures, outFeatures, scaling } = config;
  const startB = rank * inFeatures;
  const { weights } = before;
  const latents = rows.map((x) => oracleLatent(config, weights, x));
  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const inputSquares = Array.from({ length: inFeatures }, (_, j) => mean(rows.map((x) => x[j] ** 2)));
  const fisher = before.fisher.map((f) => decay * f);
  for (let k = 0; k < rank; k++) {
    const latentSquare = mean(latents.map((z) => z[k] ** 2));
    let weightSquares = 0;
    for (let o = 0; o < outFeatures; o++) {
      fisher[startB + o * rank + k] += scaling ** 2 * latentSquare;
      weightSquares += weights[startB + o * rank + k] ** 2;
    }
    for (let j = 0; j < inFeatures; j++) {
      fisher[k * inFeatures + j] += scaling ** 2 * inputSquares[j] * weightSquares;
    }
  }
  return { ...before, fisher, anchor: weights.slice() };
}
