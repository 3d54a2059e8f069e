/** Entries of ΔW itself, of which only the merge is ever whole. */
import type { LoraModule } from '../adapter/lora-module.js';
import type { DenseKernels } from '../kernels/dense.js';
import type { Product } from '../kernels/entries.js';
import { matrix } from '../kernels/matrix.js';
import type { ModuleSet } from './checks.js';
import type { EntrySpace } from './entries.js';
import { moduleOfSvd } from './result.js';
import { truncatedSvd } from './svd.js';

export function deltaOf({ rank, inFeatures, outFeatures, loraA, loraB, scaling }: LoraModule): Product {
  return { b: matrix(loraB, outFeatures, rank), a: matrix(loraA, rank, inFeatures), scale: scaling };
}

export function deltaSpace(dense: DenseKernels, set: ModuleSet): EntrySpace {
  const { inFeatures, outFeatures } = set[0];
  const deltas = set.map(deltaOf);
  return {
    length: outFeatures * inFeatures,
    magnitudeAt: (adapter, count) => dense.magnitudeAt(deltas[adapter], count),
    merge(weights, selections, rule, rank) {
      const summands = deltas.map((delta, i) => ({ ...delta, ...selections[i], weight: weights[i] }));
      const merged = dense.mergeEntries(summands, rule);
      return moduleOfSvd(truncatedSvd(dense, matrix(merged, outFeatures, inFeatures), rank), rank);
    },
  };
}
