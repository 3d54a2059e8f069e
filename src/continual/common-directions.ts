/** What the adapters of a population have in common: the output directions in which they change embeddings. */
import { Random } from '../adapter/random.js';

/** Factors of many adapters of one shape, s·B·A each. */
export interface AdapterFactors {
  /** [rank × inFeatures] */
  loraA: Float32Array;
  /** [outFeatures × rank] */
  loraB: Float32Array;
}

export interface CommonDirections {
  /** [count × outFeatures], orthonormal, the strongest first; the adapters need not use all of them */
  directions: Float64Array[];
  /** [count] Mean over users of what the adapters' changes carry along the direction: E(uᵀ·ΔW·x)² */
  energies: number[];
  /** The same over all directions; what `energies` lack of it, these directions do not reach. */
  totalEnergy: number;
}

/** Enough for directions whose energies differ by a tenth; closer ones matter equally. */
const ITERATIONS = 30;

/**
 * The leading eigenvectors of Σᵤ ΔWᵤ·D·ΔWᵤᵀ, D = diag(`inputSquares`) the mean squares of the inputs and ΔW = scaling·B·A,
 * by block power iteration: ΔW itself is never formed. `count` is at most outFeatures.
 */
export function findCommonDirections(
  adapters: readonly AdapterFactors[],
  scaling: number,
  inputSquares: Float64Array,
  outFeatures: number,
  count: number,
): CommonDirections {
  const rank = adapters[0].loraA.length / inputSquares.length;
  const grams = adapters.map(({ loraA }) => inputGram(loraA, rank, inputSquares, scaling));
  let totalEnergy = 0;
  adapters.forEach(({ loraB }, i) => {
    for (let o = 0; o < outFeatures; o++) {
      totalEnergy += quadratic(grams[i], loraB.subarray(o * rank, (o + 1) * rank)) / adapters.length;
    }
  });
  const random = new Random([1, 2, 3, 4]);
  let block: Float64Array[] = Array.from({ length: count }, () =>
    Float64Array.from({ length: outFeatures }, () => random.uniform(-1, 1)),
  );
  let energies: number[] = [];
  for (let round = 0; round < ITERATIONS; round++) {
    block = orthonormalize(block);
    const images = block.map((direction) => multiply(adapters, grams, rank, direction));
    energies = block.map((direction, k) => dot(direction, images[k]) / adapters.length);
    if (round < ITERATIONS - 1) block = images.map((image, k) => plusLittle(image, block[k], totalEnergy));
  }
  const order = energies.map((_, k) => k).sort((a, b) => energies[b] - energies[a]);
  return { directions: order.map((k) => block[k]), energies: order.map((k) => energies[k]), totalEnergy };
}

/** Keeps a direction that no adapter uses from vanishing, so that the block stays a basis. */
function plusLittle(image: Float64Array, direction: Float64Array, totalEnergy: number): Float64Array {
  return image.map((value, o) => value + 1e-9 * totalEnergy * direction[o]);
}

/** s²·A·D·Aᵀ [rank × rank]: what the rows of A carry. */
function inputGram(loraA: Float32Array, rank: number, inputSquares: Float64Array, scaling: number): Float64Array {
  const gram = new Float64Array(rank * rank);
  const width = inputSquares.length;
  for (let k = 0; k < rank; k++) {
    for (let l = 0; l <= k; l++) {
      let sum = 0;
      for (let j = 0; j < width; j++) sum += loraA[k * width + j] * loraA[l * width + j] * inputSquares[j];
      gram[k * rank + l] = gram[l * rank + k] = scaling * scaling * sum;
    }
  }
  return gram;
}

/** Σᵤ Bᵤ·Gᵤ·Bᵤᵀ·v */
function multiply(
  adapters: readonly AdapterFactors[],
  grams: readonly Float64Array[],
  rank: number,
  v: Float64Array,
): Float64Array {
  const product = new Float64Array(v.length);
  const inner = new Float64Array(rank);
  const outer = new Float64Array(rank);
  adapters.forEach(({ loraB }, i) => {
    inner.fill(0);
    for (let o = 0; o < v.length; o++) for (let k = 0; k < rank; k++) inner[k] += loraB[o * rank + k] * v[o];
    for (let k = 0; k < rank; k++) {
      outer[k] = 0;
      for (let l = 0; l < rank; l++) outer[k] += grams[i][k * rank + l] * inner[l];
    }
    for (let o = 0; o < v.length; o++) for (let k = 0; k < rank; k++) product[o] += loraB[o * rank + k] * outer[k];
  });
  return product;
}

/** Gram–Schmidt, twice for accuracy. */
function orthonormalize(block: readonly Float64Array[]): Float64Array[] {
  const basis: Float64Array[] = [];
  for (const vector of block) {
    for (let pass = 0; pass < 2; pass++) {
      for (const direction of basis) {
        const along = dot(direction, vector);
        for (let o = 0; o < vector.length; o++) vector[o] -= along * direction[o];
      }
    }
    const length = Math.sqrt(dot(vector, vector));
    basis.push(vector.map((value) => value / length));
  }
  return basis;
}

function quadratic(gram: Float64Array, b: Float32Array): number {
  let sum = 0;
  for (let k = 0; k < b.length; k++) for (let l = 0; l < b.length; l++) sum += b[k] * gram[k * b.length + l] * b[l];
  return sum;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
