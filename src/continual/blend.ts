/** One adapter from several, in the space of the changes ΔW = s·B·A that they make, never factor by factor. */
import { type AdapterFactors, findCommonDirections } from './common-directions.js';

/** Σ w·ΔW as the factors of one adapter of the ranks' sum: nothing is lost, nothing multiplied out. */
export function stackAdapters(
  adapters: readonly AdapterFactors[],
  weights: readonly number[],
  rank: number,
): AdapterFactors {
  const inFeatures = adapters[0].loraA.length / rank;
  const outFeatures = adapters[0].loraB.length / rank;
  const total = rank * adapters.length;
  const loraA = new Float32Array(total * inFeatures);
  const loraB = new Float32Array(outFeatures * total);
  adapters.forEach((adapter, i) => {
    loraA.set(adapter.loraA, i * rank * inFeatures);
    for (let o = 0; o < outFeatures; o++) {
      for (let k = 0; k < rank; k++) loraB[o * total + i * rank + k] = weights[i] * adapter.loraB[o * rank + k];
    }
  });
  return { loraA, loraB };
}

/**
 * The A [rank × inFeatures] with which s·B·A comes closest to the stack's ΔW, for a `loraB` [outFeatures × rank] whose
 * columns are orthogonal; the row of a column of zeros is taken from `otherwise`.
 */
export function fitLoraA(
  stack: AdapterFactors,
  scaling: number,
  loraB: Float32Array,
  rank: number,
  otherwise: Float32Array,
): Float32Array {
  const loraA = otherwise.slice();
  const outFeatures = loraB.length / rank;
  const total = stack.loraB.length / outFeatures;
  const inFeatures = stack.loraA.length / total;
  for (let k = 0; k < rank; k++) {
    const column = Float64Array.from({ length: outFeatures }, (_, o) => loraB[o * rank + k]);
    const square = column.reduce((sum, value) => sum + value * value, 0);
    if (square === 0) continue;
    const response = responseAlong(stack, scaling, column, inFeatures);
    for (let j = 0; j < inFeatures; j++) loraA[k * inFeatures + j] = response[j] / (scaling * square);
  }
  return loraA;
}

/**
 * The factors of rank `rank` that come closest to the stack's ΔW (Eckart & Young 1936): the singular directions, with
 * the singular values shared evenly between s·B and A. Directions that the stack does not use keep A's row of `fresh`
 * and a column of zeros in B, as a fresh adapter has them.
 */
export function truncateStack(
  stack: AdapterFactors,
  scaling: number,
  rank: number,
  fresh: AdapterFactors,
): AdapterFactors {
  const inFeatures = fresh.loraA.length / rank;
  const outFeatures = fresh.loraB.length / rank;
  const ones = new Float64Array(inFeatures).fill(1);
  const count = Math.min(rank, outFeatures);
  const { directions, totalEnergy } = findCommonDirections([stack], scaling, ones, outFeatures, count);
  const result = { loraA: fresh.loraA.slice(), loraB: new Float32Array(fresh.loraB.length) };
  directions.forEach((direction, k) => {
    const response = responseAlong(stack, scaling, direction, inFeatures);
    const singularValue = Math.sqrt(response.reduce((sum, value) => sum + value * value, 0));
    if (!(singularValue ** 2 > 1e-12 * totalEnergy)) return;
    const share = Math.sqrt(singularValue);
    for (let o = 0; o < outFeatures; o++) result.loraB[o * rank + k] = (share * direction[o]) / scaling;
    for (let j = 0; j < inFeatures; j++) result.loraA[k * inFeatures + j] = response[j] / share;
  });
  return result;
}

/** uᵀ·ΔW */
function responseAlong(
  { loraA, loraB }: AdapterFactors,
  scaling: number,
  u: Float64Array,
  inFeatures: number,
): Float64Array {
  const total = loraA.length / inFeatures;
  const response = new Float64Array(inFeatures);
  for (let k = 0; k < total; k++) {
    let along = 0;
    for (let o = 0; o < u.length; o++) along += scaling * u[o] * loraB[o * total + k];
    if (along !== 0) for (let j = 0; j < inFeatures; j++) response[j] += along * loraA[k * inFeatures + j];
  }
  return response;
}
