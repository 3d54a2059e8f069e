/** One module of all adapters side by side: Σ cᵢ·ΔWᵢ = B·diag(c)·A, with all columns of the Bs and all rows of the As. */
import type { LoraModule } from '../adapter/lora-module.js';
import { type Matrix, matrix, transpose } from '../kernels/matrix.js';
import type { ModuleSet } from './checks.js';

export interface Stack {
  /** [outFeatures × R] */
  b: Matrix;
  /** [R × inFeatures] */
  a: Matrix;
  /** weightᵢ · scalingᵢ for each of the R columns of b and rows of a. */
  coefficients: Float64Array;
  /** Where the columns of each adapter begin; the last entry is R. */
  offsets: readonly number[];
}

interface Pair {
  rank: number;
  loraA: Float32Array;
  loraB: Float32Array;
}

export function stackOf(set: ModuleSet, weights: readonly number[]): Stack {
  const coefficients = set.flatMap(({ rank, scaling }, i) => new Array<number>(rank).fill(weights[i] * scaling));
  const offsets = [0];
  for (const { rank } of set) offsets.push((offsets.at(-1) as number) + rank);
  return { ...stackPairs(set, set[0]), coefficients: Float64Array.from(coefficients), offsets };
}

/** The same for the anchors of modules that all have one. */
export function anchorStackOf(set: ModuleSet): { b: Matrix; a: Matrix } {
  return stackPairs(set.map(anchorOf), set[0]);
}

/** The anchor as if it were the module's weights. */
export function anchorOf(module: LoraModule): LoraModule {
  const anchor = module.anchor as Float32Array;
  const split = module.loraA.length;
  return { ...module, loraA: anchor.subarray(0, split), loraB: anchor.subarray(split) };
}

function stackPairs(pairs: readonly Pair[], { inFeatures, outFeatures }: LoraModule): { b: Matrix; a: Matrix } {
  const total = pairs.reduce((sum, { rank }) => sum + rank, 0);
  const a = new Float32Array(total * inFeatures);
  const bTransposed = new Float32Array(total * outFeatures);
  let first = 0;
  for (const { rank, loraA, loraB } of pairs) {
    a.set(loraA, first * inFeatures);
    for (let k = 0; k < rank; k++) {
      for (let o = 0, at = (first + k) * outFeatures; o < outFeatures; o++, at++) bTransposed[at] = loraB[o * rank + k];
    }
    first += rank;
  }
  return { a: matrix(a, total, inFeatures), b: transpose(matrix(bTransposed, total, outFeatures)) };
}
