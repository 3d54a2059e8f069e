/** Entries of ΔW itself: each adapter's in blocks of rows, and only the merge whole. */
import type { DenseKernels } from '../kernels/dense.js';
import { matrix } from '../kernels/matrix.js';
import type { ModuleSet } from './checks.js';
import { combineEntries, type EntrySource, type EntrySpace } from './entries.js';
import { moduleOfSvd } from './result.js';
import { truncatedSvd } from './svd.js';

/** Entries of one block, about: small enough to stay in cache with those of a few adapters. */
const BLOCK = 2 ** 16;

/** `blockOffset` is where the entries of a block begin in ΔW. */
export function deltaEntries(
  dense: DenseKernels,
  set: ModuleSet,
): { source: EntrySource; blockOffset: (block: number) => number } {
  const { inFeatures, outFeatures } = set[0];
  const height = Math.max(1, Math.floor(BLOCK / inFeatures));
  const source: EntrySource = {
    adapters: set.length,
    blocks: Math.ceil(outFeatures / height),
    length: outFeatures * inFeatures,
    read(adapter, block) {
      const { rank, loraA, loraB, scaling } = set[adapter];
      const first = block * height;
      const rows = Math.min(height, outFeatures - first);
      const b = matrix(loraB.subarray(first * rank, (first + rows) * rank), rows, rank);
      const { data } = dense.multiply(b, matrix(loraA, rank, inFeatures));
      if (scaling !== 1) for (let i = 0; i < data.length; i++) data[i] *= scaling;
      return data;
    },
  };
  return { source, blockOffset: (block) => block * height * inFeatures };
}

export function deltaSpace(dense: DenseKernels, set: ModuleSet): EntrySpace {
  const { inFeatures, outFeatures } = set[0];
  const { source, blockOffset } = deltaEntries(dense, set);
  return {
    ...source,
    merge(weights, sparsify, combine, rank) {
      const merged = new Float32Array(source.length);
      combineEntries(source, weights, sparsify, combine, (values, block) => merged.set(values, blockOffset(block)));
      return moduleOfSvd(truncatedSvd(dense, matrix(merged, outFeatures, inFeatures), rank), rank);
    },
  };
}
