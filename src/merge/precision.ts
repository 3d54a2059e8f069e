/**
 * Fisher information and anchors under merging.
 *
 * The entries of A and B of two adapters have nothing in common, so neither do their Fishers. What they have in common is
 * ΔW, and there the Gauss–Newton precision of the squared error is, entry by entry, E[xⱼ²] for input feature j (docs/
 * math.md, section 6; a language model's Fisher is read the same way, as a mean over the outputs). F_A = s²·E[xⱼ²]·Σₒ B²ₒₖ
 * gives it back; precisions of independent data add; and in the merged factors they make the merged Fisher.
 */
import type { LoraModule } from '../adapter/lora-module.js';
import type { ModuleSet } from './checks.js';
import { anchorOf } from './stack.js';

export function haveFisher(set: ModuleSet): boolean {
  return set.every(({ fisher }) => fisher !== undefined);
}

/**
 * The merged module with the Fisher of the sum of its inputs' precisions, if all of them have one. `anchor` holds the
 * merged anchors as weights; without it the merged weights are what is to be kept.
 */
export function withPrecision(module: LoraModule, set: ModuleSet, anchor: LoraModule = module): LoraModule {
  if (!haveFisher(set)) return module;
  const fisher = fisherOf(module, sumOf(set.map(precisionOf)));
  return { ...module, fisher, anchor: joined(anchor.loraA, anchor.loraB) };
}

/** E[xⱼ²] for each input feature, from the Fisher of A at the anchor, where it was measured. */
export function precisionOf(module: LoraModule): Float64Array {
  const { rank, inFeatures, outFeatures, scaling } = module;
  const fisher = module.fisher as Float32Array;
  const { loraA, loraB } = anchorOf(module);
  const precision = new Float64Array(inFeatures);
  const squareOfB = scaling ** 2 * squareOf(loraB);
  if (squareOfB > 0) {
    for (let k = 0, at = 0; k < rank; k++) {
      for (let j = 0; j < inFeatures; j++, at++) precision[j] += fisher[at] / squareOfB;
    }
    return precision;
  }
  // B = 0: A's Fisher says nothing, and B's, s²·E[z²], knows the features only together
  let sum = 0;
  for (let at = loraA.length; at < fisher.length; at++) sum += fisher[at];
  const squareOfA = outFeatures * scaling ** 2 * squareOf(loraA);
  return precision.fill(squareOfA > 0 ? sum / squareOfA : 0);
}

/** F_A = mⱼ·Σₒ B²ₒₖ and F_B = Σⱼ A²ₖⱼ·mⱼ, for scaling 1. */
export function fisherOf(
  { rank, inFeatures, outFeatures, loraA, loraB }: LoraModule,
  precision: Float64Array,
): Float32Array {
  const fisher = new Float32Array(rank * (inFeatures + outFeatures));
  for (let k = 0; k < rank; k++) {
    let squareOfB = 0;
    for (let o = 0; o < outFeatures; o++) squareOfB += loraB[o * rank + k] ** 2;
    let ofB = 0;
    for (let j = 0, at = k * inFeatures; j < inFeatures; j++, at++) {
      fisher[at] = precision[j] * squareOfB;
      ofB += loraA[at] ** 2 * precision[j];
    }
    for (let o = 0; o < outFeatures; o++) fisher[loraA.length + o * rank + k] = ofB;
  }
  return fisher;
}

export function joined(a: Float32Array, b: Float32Array): Float32Array {
  const both = new Float32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

export function sumOf(arrays: readonly Float64Array[]): Float64Array {
  return arrays[0].map((_, j) => arrays.reduce((sum, array) => sum + array[j], 0));
}

function squareOf(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value ** 2, 0);
}
